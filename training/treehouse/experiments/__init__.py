"""Experiments: who gets which variant, and whether it helped. The statistics are SQL (macros/)."""

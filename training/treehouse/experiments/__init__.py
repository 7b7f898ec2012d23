"""Experiments: who gets which variant, and whether it helped. The statistics are SQL (macros/).

May import registry and what lies below it.
"""

"""Answers of named queries, asked before somebody needs them; models/prefetch/ says which."""

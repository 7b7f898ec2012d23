"""Tuning: a search over trainers, objectives and parameters, on folds that respect time.

May import registry and what lies below it.
"""

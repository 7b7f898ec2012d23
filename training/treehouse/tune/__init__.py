"""Tuning: a search over trainers, objectives and parameters, on folds that respect time."""

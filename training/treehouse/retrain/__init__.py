"""Retraining by hand or by schedule, and its log.

May import experiments, monitor, tune and what lies below them.
"""

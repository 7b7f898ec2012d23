"""Versions: published through gates, promoted, compared, handed to each node, cleared away.

May import simulation and what lies below it.
"""

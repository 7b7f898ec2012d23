"""The database itself as a use case: its query log, result cache, prefetching, tiering, replays.

May import fit and what lies below it.
"""

"""Data to try Treehouse with: a simulated app, a shop that is queried, a real purchase log.

May import platform and what lies below it.
"""

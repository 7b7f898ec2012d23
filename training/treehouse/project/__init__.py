"""The project and what everything stands on: settings, contracts, errors, files, the console.

May import nothing of treehouse.
"""

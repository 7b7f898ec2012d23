"""The engine: clients, state and its DDL, turns, dbt, the install on a server.

May import bundle and what lies below it.
"""

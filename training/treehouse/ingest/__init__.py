"""Files and tables of others into the sources: read, checked, quarantined, merged, profiled.

May import clickhouse and what lies below it.
"""

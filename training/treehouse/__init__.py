"""Treehouse: fits, compiles, verifies and publishes tree models; the rest is SQL in ClickHouse."""

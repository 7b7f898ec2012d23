"""Monitoring: drift and quality measured in SQL, and the alerts that follow from them.

May import registry and what lies below it.
"""

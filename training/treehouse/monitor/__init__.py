"""Monitoring: measure in SQL, judge by the spec's thresholds, keep alerts, tell people."""

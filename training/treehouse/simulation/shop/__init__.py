"""A workload that really runs: dashboards and analysts on tables of a simulated shop."""

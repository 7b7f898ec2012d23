"""Moving partitions between volumes: what is planned, done, logged and taken back."""

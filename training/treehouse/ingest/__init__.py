"""Data in: the sources' contracts, loading with quarantine, reconciling."""

"""What the engine itself did: its logs, kept without literals and names of people."""

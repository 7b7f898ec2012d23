"""Replays traces under policies that one could run, and beside what foresight could reach."""

"""Treehouse's upper right corner: fit, compile, verify and publish. The rest is SQL."""

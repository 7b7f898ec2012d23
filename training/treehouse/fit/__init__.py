"""From a training set to a bundle: fit, choose, measure, compile.

May import ingest, network and what lies below them.
"""

"""Fitted tree models as one logical forest: what the bundle stores and the scorer runs.

``compile_forest(booster, features)`` reads LightGBM, XGBoost and scikit-learn ensembles through
Treelite and answers a :class:`Forest`; nothing is compiled to machine code.

May import project.
"""

from treehouse.forest.importers import compile_forest
from treehouse.forest.model import Forest, PostProcessor

__all__ = ["Forest", "PostProcessor", "compile_forest"]

"""The artifact: forests, category tables and head programs in one memory-mapped file."""

from training.bundle import expressions as e
from training.bundle.artifact import Bundle, Inputs, bundle_id
from training.bundle.expressions import Expression, evaluate

__all__ = ["Bundle", "Expression", "Inputs", "bundle_id", "e", "evaluate"]

"""The artifact: forests, networks, category tables and head programs in one file."""

from training.bundle import expressions as e
from training.bundle.artifact import Bundle, Inputs, bundle_id
from training.bundle.expressions import Expression, evaluate
from training.bundle.networks import Network

__all__ = ["Bundle", "Expression", "Inputs", "Network", "bundle_id", "e", "evaluate"]

"""The artifact: forests, networks, category tables and head programs in one file.

May import forest, spec and project.
"""

from treehouse.bundle import expressions as e
from treehouse.bundle.artifact import Bundle, Inputs, bundle_id
from treehouse.bundle.expressions import Expression, evaluate
from treehouse.bundle.networks import Network

__all__ = ["Bundle", "Expression", "Inputs", "Network", "bundle_id", "e", "evaluate"]

"""What is particular to a use case's model: its task, trainers, gates and what is watched.

May import project.
"""

from treehouse.spec.gates import Gates
from treehouse.spec.options import Bagging, Boosting, Chain, Recurrent
from treehouse.spec.spec import (
    SPECS,
    Also,
    Refit,
    Retrain,
    Spec,
    Task,
    TrainingRows,
    load_spec,
    specs,
)
from treehouse.spec.watch import Watch

__all__ = [
    "SPECS", "Also", "Bagging", "Boosting", "Chain", "Gates", "Recurrent", "Refit", "Retrain",
    "Spec", "Task", "TrainingRows", "Watch", "load_spec", "specs",
]  # fmt: skip

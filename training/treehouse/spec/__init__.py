"""What is particular to a use case's model: its task, trainers, gates and what is watched."""

from treehouse.spec.gates import Gates
from treehouse.spec.options import Bagging, Boosting, Chain, Recurrent
from treehouse.spec.spec import (
    SPECS,
    Also,
    Refit,
    Retrain,
    Spec,
    Task,
    load_spec,
    specs,
)
from treehouse.spec.watch import Watch

__all__ = [
    "SPECS", "Also", "Bagging", "Boosting", "Chain", "Gates", "Recurrent", "Refit", "Retrain",
    "Spec", "Task", "Watch", "load_spec", "specs",
]  # fmt: skip

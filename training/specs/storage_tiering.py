"""Whether a partition is hot, warm or cold in the coming days, from the engine's own logs."""

from __future__ import annotations

from treehouse.platform.tiering.costs import mistakes
from treehouse.platform.tiering.prices import Prices
from treehouse.project.settings import project_vars
from treehouse.spec import Bagging, Retrain, Spec

SPEC = Spec(
    use_case="storage_tiering",
    about="Whether a partition is hot, warm or cold in the coming days.",
    demo="shop_workload",
    task="classes",
    cost=mistakes(Prices.configured(), project_vars()["storage_tiering_horizon_days"]),
    trainers=("random_forest",),
    bagging=Bagging(trees=100, depth=8, rows_per_leaf=30, column_share=0.2),
    baselines={
        "age": "multiIf(newer_partitions > 28, 'cold', newer_partitions > 7, 'warm', 'hot')",
        "last access": (
            "multiIf(ifNull(days_since_read, 99) > 30, 'cold',"
            " ifNull(days_since_read, 99) > 7, 'warm', 'hot')"
        ),
        "all hot": "'hot'",
    },
    retrain=Retrain(promote=True),
)

"""Whether a query's answer is asked for again while it may be served, and until when it holds."""

from __future__ import annotations

from training.demo_data import shop_workload
from training.spec import Also, Boosting, Retrain, Spec

SPEC = Spec(
    use_case="cache_admission",
    about="Whether a query is asked again while its answer may be served, and until when it holds.",
    demo=shop_workload,
    task="probability",
    trainers=("xgboost",),
    boosting=Boosting(trees=400, depth=6, leaves=63, rows_per_leaf=30),
    baselines={
        "asked in the last hour": (
            "avgIf(is_reused, split = 'train') over (partition by requests_1h > 0)"
        ),
        "dashboard and panel": (
            "avgIf(is_reused, split = 'train') over (partition by dashboard, panel)"
        ),
        "shape": "avgIf(is_reused, split = 'train') over (partition by shape)",
    },
    also={
        "ttl_seconds": Also(
            objectives=("squared_error",),
            trainers=("xgboost",),
            baselines={
                "mean of the tables": (
                    "avgIf(ttl_seconds, split = 'train') over (partition by tables)"
                ),
            },
        ),
    },
    retrain=Retrain(promote=True),
)

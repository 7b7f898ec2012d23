"""Whether an answer is read again while it may be served, how soon, and for how long it may be."""

from __future__ import annotations

from treehouse.spec import Also, Boosting, Retrain, Spec

SPEC = Spec(
    use_case="cache_admission",
    about="Whether a query is asked again while its answer may be served, and how long that is.",
    demo="shop_workload",
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
        "kept_seconds": Also(
            objectives=("squared_error",),
            trainers=("xgboost",),
            baselines={
                "mean of the panel": (
                    "avgIf(kept_seconds, split = 'train') over (partition by dashboard, panel)"
                ),
            },
        ),
    },
    retrain=Retrain(promote=True),
)

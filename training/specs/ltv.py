"""Revenue to day 90 from days 1 to 7."""

from __future__ import annotations

from training.demo_data import simulated_platform
from training.spec import Retrain, Spec

SPEC = Spec(
    use_case="ltv",
    about="Revenue of a user to day 90, from the first 7 days.",
    demo=simulated_platform,
    known="d7_revenue",
    pace="d7_revenue",
    baselines={
        "cohort mean": (
            "avgIf(d90_ltv, split = 'train') over (partition by campaign_id, country, platform)"
        ),
        "early revenue": "d7_revenue",
        "early revenue x multiplier": (
            "d7_revenue * sumIf(d90_ltv, split = 'train') over ()"
            " / sumIf(d7_revenue, split = 'train') over ()"
        ),
    },
    cohort=("campaign_id",),
    best_possible=(
        "select user_id as key, best_d90_ltv as mean, best_median_d90_ltv as median"
        " from simulation_truth.users"
    ),
    retrain=Retrain(promote=True),
)

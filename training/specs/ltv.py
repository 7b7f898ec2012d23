"""Revenue to day 90 from days 1 to 7."""

from __future__ import annotations

from treehouse.project.settings import project_vars
from treehouse.spec import Retrain, Spec

_WINDOWS = tuple(project_vars()[f"ltv_{name}_days"] for name in ("observation", "horizon"))

SPEC = Spec(
    use_case="ltv",
    about=f"Revenue of a user to day {_WINDOWS[1]}, from the first {_WINDOWS[0]} days.",
    demo="simulated_platform",
    known="d7_revenue",
    pace="d7_revenue",
    baselines={
        "cohort mean": (
            "avgIf(ltv_usd, split = 'train') over (partition by campaign_id, country, platform)"
        ),
        "early revenue": "d7_revenue",
        "early revenue x multiplier": (
            "d7_revenue * sumIf(ltv_usd, split = 'train') over ()"
            " / sumIf(d7_revenue, split = 'train') over ()"
        ),
    },
    cohort=("campaign_id",),
    best_possible=(
        "select user_id as key, best_d90_ltv as mean, best_median_d90_ltv as median"
        f" from simulation_truth.users where {_WINDOWS} = (7, 90)"
    ),
    retrain=Retrain(promote=True),
)

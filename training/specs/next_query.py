"""What a user or a dashboard asks next, from the engine's own query log."""

from __future__ import annotations

from treehouse.spec import Chain, Retrain, Spec

# What came most often: after any query, after the same one, after the same two, after the same one
# of the same dashboard. What the training rows never had falls back to the shorter one, as it does
# in Katz's back-off (1987).
_MOST = "topKIf(5)(next_query_id, split = 'train')"
_POPULAR = f"({_MOST} over ())"
_ORDER_1 = f"({_MOST} over (partition by recent[-1]))"
_ORDER_2 = f"({_MOST} over (partition by recent[-1], recent[-2]))"
_ON_DASHBOARD = f"({_MOST} over (partition by recent[-1], dashboard))"
_ORDER_1_OR_LESS = f"if(empty({_ORDER_1}), {_POPULAR}, {_ORDER_1})"

SPEC = Spec(
    use_case="next_query",
    about="What a user or a dashboard asks next, and how likely it is.",
    demo="shop_workload",
    task="sequence",
    trainers=("markov", "lstm"),
    baselines={
        "popularity": _POPULAR,
        "Markov of order 1": _ORDER_1_OR_LESS,
        "Markov of order 2": f"if(empty({_ORDER_2}), {_ORDER_1_OR_LESS}, {_ORDER_2})",
        "Markov of order 1 on the dashboard": (
            f"if(empty({_ON_DASHBOARD}), {_ORDER_1_OR_LESS}, {_ON_DASHBOARD})"
        ),
    },
    chain=Chain(within=("dashboard",)),
    groups={
        "viewers": "role = 'viewer'",
        "analysts": "role = 'analyst'",
        "cold start": "queries_before < 2",
        # A page asks for its panels at once; what people then do is harder, and worth more.
        "after a pause of a second": "dateDiff('millisecond', asked_at, next_at) >= 1000",
    },
    retrain=Retrain(promote=True),
)

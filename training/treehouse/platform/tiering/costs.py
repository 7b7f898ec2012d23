"""What a wrong tier costs, from the price list."""

from __future__ import annotations

import numpy as np

from treehouse.platform.tiering.prices import GB, Prices

_FAR = 10.0  # times the break-even to the next tier, at which the hottest tier's data is read


def mistakes(prices: Prices, days: float) -> tuple[tuple[float, ...], ...]:
    """cost[tier that is best][tier decided for], as shares of the worst mistake in that row.

    A training row counts as much as its own worst mistake costs (cost-proportionate weighting:
    Zadrozny, Langford, Abe 2003), so that only the shape of the costs is left to say. Each tier
    stands for a demand that suits it: how often in `days` all of its data is read; none for the
    last, well above the break-even with the second for the first, and between two break-evens for
    those between.

    Args:
        prices: Of the tiers, from hot to cold.
        days: How long the decision holds.
    """
    one = np.ones(1)
    stay = prices.stay_usd(one * GB, days * 24)[0]
    waiting = prices.waiting_hours(one, one * GB)[0] * prices.waiting_usd_per_hour
    read = prices.read_usd(one, one * GB)[0] + waiting
    with np.errstate(divide="ignore", invalid="ignore"):
        even = np.maximum(0.0, np.nan_to_num(-np.diff(stay) / np.diff(read), posinf=0.0))
    reads = np.array([_FAR * even[0], *np.sqrt(even[:-1] * even[1:]), 0.0])
    moves = prices.move_usd(one * GB)[0]
    lasts = np.maximum(prices.minimum_hours() / 24 / days, 1.0)  # what nobody reads stays
    usd = stay + reads[:, None] * read
    usd += (moves[0] + moves[:, 0]) / np.where(reads[:, None] > 0, 1.0, lasts)
    regret = np.maximum(0.0, usd - usd.diagonal()[:, None])
    worst = np.maximum(regret.max(axis=1, keepdims=True), 1e-12)
    return tuple(tuple(float(share) for share in row) for row in regret / worst)

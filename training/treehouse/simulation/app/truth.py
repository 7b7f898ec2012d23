"""True expected values of a block's users: the best that two ideal forecasters could say.

Both know the generator, a user's attributes and all that happened on days 1-7; revenue of
those days is part of the answer.

`ideal`
    also knows the hidden traits and whether the user has left by the end of day 7. Nobody can;
    it shows how much of the outcome is chance after all.
`best`
    knows no hidden trait but infers them (posterior.py). No model that reads days 1-7 can beat
    it on average, so it is the *best possible*: its mean for squared error, its median for
    absolute error. A model that reads fewer things than it may not get there.
"""

from __future__ import annotations

import numpy as np

from treehouse.simulation.app import catalog
from treehouse.simulation.app.blocks import Block
from treehouse.simulation.app.future import Traits, chance_to_pay, draw_revenue, mean_purchases
from treehouse.simulation.app.generate import revenue_cents
from treehouse.simulation.app.posterior import Posterior, posterior
from treehouse.simulation.app.world import Bools, Floats, Ints

COLUMNS = {
    "engagement": ("Float64", "Hidden: e, standard normal"),
    "engagement_index": ("Float64", "Hidden: G, e plus the effects of the attributes"),
    "shop_views_per_active_day": ("Float64", "Hidden: rate before the factor of the weekday"),
    "mean_log_amount": ("Float64", "Hidden: mean log USD of a purchase"),
    "lifetime_days": ("Int64", "Hidden: last day of life on which the user may be active"),
    "prior_d90_ltv": ("Float64", "Expected USD of days 1-90 given the hidden traits alone"),
    "known_d7_ltv": ("Float64", "USD of days 1-7"),
    "ideal_d8_d90_pay_chance": ("Float64", "Ideal: chance of any purchase in days 8-90"),
    "ideal_d90_ltv": ("Float64", "Ideal: expected USD of days 1-90 after day 7"),
    "ideal_median_d90_ltv": ("Float64", "Ideal: median USD of days 1-90 after day 7"),
    "best_d90_ltv": ("Float64", "Best possible: expected USD of days 1-90 after day 7"),
    "best_median_d90_ltv": ("Float64", "Best possible: median USD of days 1-90 after day 7"),
    "realised_d90_ltv": ("Float64", "USD of days 1-90, those after the present too"),
}
"""Type and meaning of the columns of true values, besides the user; `ltv` is in USD."""
_DRAWS = 200
"""Draws behind a median: its standard error is about 0.09 standard deviations."""


def truth(block: Block, users: int) -> dict[str, np.ndarray[tuple[int], np.dtype[np.generic]]]:
    """Columns of the table of true values, for the block's users of a run of `users`."""
    world, own = block.world, block.users
    days = world.parameters.observed_days
    cents = revenue_cents(block)
    early = cents[:, :days].sum(axis=1) / 100
    realised = cents[:, : world.parameters.horizon_days].sum(axis=1) / 100
    traits = Traits(own.weekday, own.index, own.views, own.price)
    alive = block.life.lifetime > days
    amount = world.mean_amount(own.price, world.parameters.spending.price_sd)
    count = np.where(alive, mean_purchases(world, traits), 0.0)
    pays = np.zeros(alive.size)
    pays[alive] = chance_to_pay(world, traits.take(np.flatnonzero(alive)))
    after = posterior(block)
    best_count, best_mean = _best(block, after)
    columns = {
        "user": block.first + np.arange(alive.size),
        "engagement": own.engagement,
        "engagement_index": own.index,
        "shop_views_per_active_day": own.views,
        "mean_log_amount": own.price,
        "lifetime_days": block.life.lifetime,
        "prior_d90_ltv": _prior(block, amount),
        "known_d7_ltv": early,
        "ideal_d8_d90_pay_chance": pays,
        "ideal_d90_ltv": early + count * amount,
        "ideal_median_d90_ltv": early + _ideal_median(block, traits, count, alive),
        "best_d90_ltv": early + best_mean,
        "best_median_d90_ltv": early + _best_median(block, after, best_count),
        "realised_d90_ltv": realised,
    }
    keep = columns["user"] < users
    return {name: column[keep] for name, column in columns.items()}


def _prior(block: Block, amount: Floats) -> Floats:
    """Expected revenue of days 1-90 given the traits alone."""
    world, own = block.world, block.users
    days = np.arange(1, world.parameters.horizon_days + 1)
    weekday = (own.weekday[:, None] + days - 1) % 7
    chance = np.exp(world.log_survival(days, own.index[:, None]))
    chance *= world.active_chance(own.index)[:, None] * np.take(catalog.WEEKDAY_ACTIVITY, weekday)
    chance[:, 0] = 1.0
    exposure = (chance * np.take(catalog.WEEKDAY_SPENDING, weekday)).sum(axis=1)
    rate = own.views * world.parameters.spending.conversion
    result: Floats = rate * exposure * amount
    return result


def _best(block: Block, after: Posterior) -> tuple[Floats, Floats]:
    """Expected purchases and revenue of days 8-90 given days 1-7."""
    world = block.world
    spending = world.parameters.spending
    views = after.views_shape[:, None] / after.views_rate
    exposure = world.future_exposure(after.weekday[:, None], after.index)
    count = spending.conversion * (after.weight * after.alive * views * exposure).sum(axis=1)
    log_sd = np.hypot(after.price_sd, spending.price_sd)
    return count, count * world.mean_amount(after.price, log_sd)


def _ideal_median(block: Block, traits: Traits, count: Floats, alive: Bools) -> Floats:
    """Median revenue of days 8-90 given the traits; 0 where under half a purchase is expected.

    P(any purchase) is at most the expected number of purchases (Markov's inequality).
    """
    rows = np.flatnonzero(alive & (count >= 0.5))
    draws = draw_revenue(
        block.world, traits.take(np.repeat(rows, _DRAWS)), block.stream("ideal median")
    )
    return _medians(draws, rows, count.size)


def _best_median(block: Block, after: Posterior, count: Floats) -> Floats:
    """Median revenue of days 8-90 given days 1-7; 0 where it must be, as above."""
    rows = np.flatnonzero(count >= 0.5)
    rng = block.stream("best median")
    traits, alive = after.draw(np.repeat(rows, _DRAWS), rng)
    return _medians(alive * draw_revenue(block.world, traits, rng), rows, count.size)


def _medians(draws: Floats, rows: Ints, size: int) -> Floats:
    result = np.zeros(size)
    if rows.size:
        result[rows] = np.median(draws.reshape(rows.size, _DRAWS), axis=1)
    return result

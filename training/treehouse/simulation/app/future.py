"""Revenue of days 8-90, given traits: its mean, its chance to be positive, draws of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from treehouse.simulation.app import catalog
from treehouse.simulation.app.purchases import cents
from treehouse.simulation.app.world import Floats, Ints, World, weekdays

_CHUNK = 20_000
"""Draws at once: bounds the memory of the active-day matrices to a few tens of MB."""


@dataclass(frozen=True)
class Traits:
    """Traits of users alive on day 8; every array is [n].

    Attributes:
        weekday: Of the install, Monday 0.
        index: Engagement index G.
        views: Rate of shop views of an active day.
        price: Mean log USD of a purchase.
    """

    weekday: Ints
    index: Floats
    views: Floats
    price: Floats

    def take(self, rows: Ints | slice) -> Traits:
        """The traits of some rows."""
        return Traits(self.weekday[rows], self.index[rows], self.views[rows], self.price[rows])


def mean_purchases(world: World, traits: Traits) -> Floats:
    """Expected purchases in days 8-90."""
    rate = traits.views * world.parameters.spending.conversion
    return rate * world.future_exposure(traits.weekday, traits.index)


def chance_to_pay(world: World, traits: Traits) -> Floats:
    """P(any purchase in days 8-90).

    With c(t) the chance of a spending-free day t if alive, and L the last day alive:
    1 - sum over l of P(L = l) prod over t <= l of c(t).
    """
    days = _days(world)
    weekday = weekdays(traits.weekday[:, None], days)
    active = world.active_chance(traits.index)[:, None] * np.take(catalog.WEEKDAY_ACTIVITY, weekday)
    rate = (traits.views * world.parameters.spending.conversion)[:, None]
    buys = active * -np.expm1(-rate * np.take(catalog.WEEKDAY_SPENDING, weekday))
    log_alive = world.log_survival(days, traits.index[:, None])
    alive = np.exp(log_alive - log_alive[:, :1])
    nothing_before = np.cumprod(1 - buys, axis=1) / (1 - buys)
    result: Floats = np.sum(alive * nothing_before * buys, axis=1)
    return result


def draw_revenue(world: World, traits: Traits, rng: np.random.Generator) -> Floats:
    """One draw of the revenue of days 8-90 for each row, in USD: [n]."""
    parts = [
        _draw(world, traits.take(slice(at, at + _CHUNK)), rng)
        for at in range(0, traits.index.size, _CHUNK)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def _draw(world: World, traits: Traits, rng: np.random.Generator) -> Floats:
    spending, n = world.parameters.spending, traits.index.size
    days = _days(world)
    shape = world.parameters.activity.churn_shape
    rate = world.churn_rate(traits.index)
    lived = (rate * (days[0] - 1)) ** shape  # Weibull, given that it is past day 8
    lifetime = 1 + (rng.standard_exponential(n) + lived) ** (1 / shape) / rate
    weekday = weekdays(traits.weekday[:, None], days)
    chance = world.active_chance(traits.index)[:, None] * np.take(catalog.WEEKDAY_ACTIVITY, weekday)
    active = (rng.random((n, days.size), dtype=np.float32) < chance) & (days <= lifetime[:, None])
    exposure = np.where(active, np.take(catalog.WEEKDAY_SPENDING, weekday), 0.0).sum(axis=1)
    count = rng.poisson(traits.views * spending.conversion * exposure)
    row = np.repeat(np.arange(n), count)
    amounts = cents(rng.normal(traits.price[row], spending.price_sd), spending.max_amount_usd)
    return np.bincount(row, amounts, minlength=n) / 100


def _days(world: World) -> Ints:
    return np.arange(world.parameters.observed_days + 1, world.parameters.horizon_days + 1)

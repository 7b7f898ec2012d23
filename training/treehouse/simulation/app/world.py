"""The parameters as arrays: shares to draw from, effects to add, exposures to look up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from treehouse.simulation.app import catalog
from treehouse.simulation.app import parameters as p

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_INDEX_GRID = np.linspace(-8.0, 8.0, 801)
CREATIVES = ("", *(f"{c.id}_{s.name}" for c in catalog.CAMPAIGNS[1:] for s in catalog.STYLES))
DEVICE_TYPES = tuple(sorted({device.name for device in catalog.DEVICES}))
OS_NAMES = tuple(
    f"{platform}_{version}" if platform != "web" else version
    for platform in catalog.PLATFORMS
    for version in catalog.OS_VERSIONS[platform]
)


def effects(rows: tuple[catalog.Effect, ...]) -> Floats:
    """Effects as an array [row, (stay, pay, price)]."""
    return np.array([(row.stay, row.pay, row.price) for row in rows])


def cumulative(weights: Floats) -> Floats:
    """Cumulative shares along the last axis; the last is exactly 1."""
    shares = np.cumsum(weights, axis=-1)
    result: Floats = shares / shares[..., -1:]
    return result


def choose(uniform: Floats, shares: Floats) -> Ints:
    """Draw a category for each uniform number.

    Args:
        uniform: [n] in [0, 1).
        shares: Cumulative, [k] for all or [n, k] for each.
    """
    if shares.ndim == 1:
        return np.searchsorted(shares, uniform, side="right")
    result: Ints = (uniform[:, None] >= shares).sum(axis=1)
    return result


@dataclass(frozen=True)
class World:
    """What `Parameters` mean, ready for vectorised use.

    Attributes:
        parameters: Where it comes from.
        interactions: Pay effect [campaign, country, platform].
        pairs: Pay effect [creative, country].
        exposure: Expected spending days of days 8-90 of a user alive on day 8, given G, over
            the chance of an active day: [weekday of the install, point of the index grid].
    """

    parameters: p.Parameters
    interactions: Floats
    pairs: Floats
    exposure: Floats

    def churn_rate(self, index: Floats) -> Floats:
        """Rate of the Weibull lifetime, per day, at engagement index G."""
        a = self.parameters.activity
        return np.exp(a.churn_log_rate - a.churn_slope * index)

    def log_survival(self, day: Ints | int, index: Floats) -> Floats:
        """Log of P(lifetime >= day) = exp(-(rate (day - 1))^shape)."""
        shape = self.parameters.activity.churn_shape
        result: Floats = -((self.churn_rate(index) * (np.asarray(day) - 1.0)) ** shape)
        return result

    def active_chance(self, index: Floats) -> Floats:
        """Chance of an active day while alive, before the weekday's factor."""
        a = self.parameters.activity
        result: Floats = a.max_active * expit(a.active_logit + a.active_slope * index)
        return result

    def future_exposure(self, weekday: Ints, index: Floats) -> Floats:
        """Expected spending days in days 8-90, given alive on day 8.

        Args:
            weekday: Of the install, Monday 0; broadcasts against `index`.
            index: Engagement index G.
        """
        step = _INDEX_GRID[1] - _INDEX_GRID[0]
        place = np.clip((index - _INDEX_GRID[0]) / step, 0, _INDEX_GRID.size - 1.001)
        low = place.astype(np.int64)
        part = place - low
        table = self.exposure
        result: Floats = (1 - part) * table[weekday, low] + part * table[weekday, low + 1]
        return result * self.active_chance(index)

    def mean_amount(self, log_mean: Floats, log_sd: Floats | float) -> Floats:
        """Mean of min(exp(N(log_mean, log_sd^2)), largest amount), in USD."""
        cap = self.parameters.spending.max_amount_usd
        score = (np.log(cap) - log_mean) / log_sd
        below = np.exp(log_mean + np.square(log_sd) / 2) * ndtr(score - log_sd)
        result: Floats = below + cap * ndtr(-score)
        return result


def weekdays(install_weekday: Ints, day: Ints | int) -> Ints:
    """Weekday (Monday 0) of a day of life; day 1 is the day of the install."""
    result: Ints = (install_weekday + np.asarray(day) - 1) % 7
    return result


@lru_cache(maxsize=4)
def world(parameters: p.Parameters) -> World:
    """The world of these parameters."""
    rng = np.random.Generator(np.random.Philox(parameters.world_seed))
    shape = (len(catalog.CAMPAIGNS), len(catalog.COUNTRIES), len(catalog.PLATFORMS))
    spending = parameters.spending
    interactions = spending.interaction_sd * rng.standard_normal(shape)
    pairs = spending.pair_sd * rng.standard_normal((len(CREATIVES), len(catalog.COUNTRIES)))
    bare = World(parameters, interactions, pairs, np.zeros((7, _INDEX_GRID.size)))
    first = parameters.observed_days + 1
    days = np.arange(first, parameters.horizon_days + 1)
    log_alive = bare.log_survival(days[:, None], _INDEX_GRID) - bare.log_survival(
        first, _INDEX_GRID
    )
    weekday = weekdays(np.arange(7)[:, None], days)
    factor = np.take(catalog.WEEKDAY_ACTIVITY, weekday) * np.take(catalog.WEEKDAY_SPENDING, weekday)
    return World(parameters, interactions, pairs, factor @ np.exp(log_alive))

"""What days 1-7 say about a user's traits: Bayes' rule with the generator's own parameters.

Given the engagement e, everything seen is conjugate or a two-state chain:

- alive or gone, from the active days: the forward algorithm over days 2-7;
- sessions and plays: Poisson; log session lengths: normal, with known means at each e;
- shop views V over B spending days: Poisson, with a rate ~ Gamma(k, k / m(e)), so that the
  rate's posterior is Gamma(k + V, k / m(e) + B) and V's marginal is negative binomial;
- log amounts: normal with a normal mean, whatever e is.

So only e, one number, is integrated, on a grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from treehouse.simulation.app import catalog
from treehouse.simulation.app import parameters as p
from treehouse.simulation.app.blocks import Block, merge
from treehouse.simulation.app.future import Traits
from treehouse.simulation.app.world import Bools, Floats, Ints, weekdays

_GRID = np.linspace(-4.5, 4.5, 46)


@dataclass(frozen=True)
class Seen:
    """Sufficient statistics of days 1-7; arrays [n], but for `active` [n, 7].

    Attributes:
        active: Active days.
        sessions, plays, views: Counts.
        log_seconds: Sum of the sessions' log lengths (before they are cut: a forecaster
            who reads the cut lengths knows a little less).
        spending_days: Sum of the weekday factors of active days, B.
        purchases: Count; log_amounts: sum of their log USD.
    """

    active: Bools
    sessions: Floats
    plays: Floats
    views: Floats
    log_seconds: Floats
    spending_days: Floats
    purchases: Floats
    log_amounts: Floats


@dataclass(frozen=True)
class Posterior:
    """Traits of users after day 7.

    Attributes:
        index: [n, grid] Engagement index at each point of the grid.
        weight: [n, grid] Probability of the point; rows sum to 1.
        alive: [n, grid] P(alive on day 8), given the point.
        views_shape: [n] and views_rate: [n, grid] Gamma of the rate of shop views.
        price, price_sd: [n] Normal of the mean log amount.
        weekday: [n] Of the install.
    """

    index: Floats
    weight: Floats
    alive: Floats
    views_shape: Floats
    views_rate: Floats
    price: Floats
    price_sd: Floats
    weekday: Ints

    def draw(self, rows: Ints, rng: np.random.Generator) -> tuple[Traits, Floats]:
        """Traits drawn for each of `rows`, and 1.0 for those alive on day 8, else 0.0."""
        below = np.cumsum(self.weight[rows], axis=1)
        point = np.minimum((rng.random(rows.size)[:, None] >= below).sum(axis=1), _GRID.size - 1)
        step = (_GRID[1] - _GRID[0]) * (rng.random(rows.size) - 0.5)
        views = rng.gamma(self.views_shape[rows], 1 / self.views_rate[rows, point])
        price = rng.normal(self.price[rows], self.price_sd[rows])
        alive = (rng.random(rows.size) < self.alive[rows, point]).astype(float)
        return Traits(self.weekday[rows], self.index[rows, point] + step, views, price), alive


def seen(block: Block) -> Seen:
    """What a forecaster saw of a block's users by the end of day 7."""
    world, users, sessions = block.world, block.users, block.sessions
    n, days = users.index.size, world.parameters.observed_days
    active = block.life.active[:, :days]
    weekday = weekdays(users.weekday[:, None], np.arange(1, days + 1))
    early = sessions.day <= days
    events = merge(block.events)
    owner = sessions.user[events.session]
    kept = early[events.session]
    bought = kept & (events.name == p.PURCHASE)

    def count(rows: Bools) -> Floats:
        return np.bincount(owner[rows], minlength=n).astype(float)

    def total(user: Ints, values: Floats) -> Floats:
        return np.bincount(user, values, minlength=n).astype(float)

    return Seen(
        active=active,
        sessions=np.bincount(sessions.user[early], minlength=n).astype(float),
        plays=count(kept & np.isin(events.name, (p.LEVEL_COMPLETE, p.AD_VIEW))),
        views=count(kept & (events.name == p.SHOP_VIEW)),
        log_seconds=total(sessions.user[early], sessions.log_seconds[early]),
        spending_days=(active * np.take(catalog.WEEKDAY_SPENDING, weekday)).sum(axis=1),
        purchases=count(bought),
        log_amounts=total(owner[bought], np.log(events.cents[bought] / 100)),
    )


def posterior(block: Block) -> Posterior:
    """The users' traits, as a forecaster knows them who knows the generator but no trait."""
    world, users, data = block.world, block.users, seen(block)
    a, spending = world.parameters.activity, world.parameters.spending
    index = (users.index - users.engagement)[:, None] + _GRID
    log_alive, log_gone = _forward(block, index, data)
    log_weight = -(_GRID**2) / 2 + np.logaddexp(log_alive, log_gone)
    more = a.sessions_log + a.sessions_slope * index
    starts = data.active.sum(axis=1)
    log_weight += (data.sessions - starts)[:, None] * more - starts[:, None] * np.exp(more)
    play = a.play_log + a.play_slope * index
    log_weight += data.plays[:, None] * play - data.sessions[:, None] * np.exp(play)
    length = a.length_log + a.length_slope * index
    log_weight += (
        data.log_seconds[:, None] * length - data.sessions[:, None] * length**2 / 2
    ) / a.length_sd**2
    shift = spending.views_slope * (_GRID - users.engagement[:, None])
    prior_rate = spending.views_shape / (users.mean_views[:, None] * np.exp(shift))
    rate = prior_rate + data.spending_days[:, None]
    shape = spending.views_shape + data.views
    log_weight += spending.views_shape * np.log(prior_rate) - shape[:, None] * np.log(rate)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    precision = spending.price_sd_users**-2 + data.purchases * spending.price_sd**-2
    price = users.mean_price * spending.price_sd_users**-2
    price += data.log_amounts * spending.price_sd**-2
    return Posterior(
        index=index,
        weight=weight / weight.sum(axis=1, keepdims=True),
        alive=np.exp(log_alive - np.logaddexp(log_alive, log_gone)),
        views_shape=shape,
        views_rate=rate,
        price=price / precision,
        price_sd=precision**-0.5,
        weekday=users.weekday,
    )


def _forward(block: Block, index: Floats, data: Seen) -> tuple[Floats, Floats]:
    """Log P(active days, alive on day 8) and log P(active days, gone), at each point."""
    world, users = block.world, block.users
    chance = world.active_chance(index)
    alive, gone = np.ones_like(index), np.zeros_like(index)
    survival = world.log_survival(1, index)
    for day in range(2, data.active.shape[1] + 2):
        following = world.log_survival(day, index)
        stays = np.exp(following - survival)
        alive, gone, survival = alive * stays, gone + alive * (1 - stays), following
        if day > data.active.shape[1]:
            break
        factor = np.take(catalog.WEEKDAY_ACTIVITY, weekdays(users.weekday, day))[:, None]
        came = data.active[:, day - 1, None]
        alive = alive * np.where(came, chance * factor, 1 - chance * factor)
        gone = np.where(came, 0.0, gone)
    with np.errstate(divide="ignore"):
        return np.log(alive), np.log(gone)

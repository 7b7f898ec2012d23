"""Process `activity`: lifetimes, active days, sessions, and what is played in them."""

from __future__ import annotations

import numpy as np

from treehouse.simulation.app import catalog
from treehouse.simulation.app import parameters as p
from treehouse.simulation.app.blocks import DAY_MS, Block, Events, Life, Sessions
from treehouse.simulation.app.installs import utc_ms
from treehouse.simulation.app.world import Ints, weekdays


def activity(block: Block, rng: np.random.Generator) -> None:
    """Set `block.life` and `block.sessions`; add session starts, levels and ads."""
    block.life = _life(block, rng)
    block.sessions = _sessions(block, rng)
    block.events.append(_play(block, rng))


def _life(block: Block, rng: np.random.Generator) -> Life:
    users, shape = block.users, block.world.parameters.activity.churn_shape
    n = users.index.size
    whole_days = rng.weibull(shape, n) / block.world.churn_rate(users.index)
    days = np.arange(1, block.world.parameters.activity.life_days + 1)
    lifetime = 1 + np.minimum(whole_days, days[-1] - 1).astype(np.int64)
    weekday = weekdays(users.weekday[:, None], days)
    chance = block.world.active_chance(users.index)[:, None]
    active = rng.random((n, days.size)) < chance * np.take(catalog.WEEKDAY_ACTIVITY, weekday)
    active &= days <= lifetime[:, None]
    active[:, 0] = True
    return Life(lifetime, active)


def _sessions(block: Block, rng: np.random.Generator) -> Sessions:
    a, users = block.world.parameters.activity, block.users
    who, day = np.nonzero(block.life.active)
    more = rng.poisson(np.exp(a.sessions_log + a.sessions_slope * users.index[who]))
    user, day = np.repeat(who, 1 + more), np.repeat(day, 1 + more)
    start = utc_ms(users.country[user], rng)
    installed = users.install_ms - users.install_day * DAY_MS
    on_first = day == 0
    left = DAY_MS - installed[user[on_first]]
    start[on_first] = installed[user[on_first]] + (rng.random(left.size) * left).astype(np.int64)
    _, first_rows = np.unique(user, return_index=True)
    start[first_rows] = installed
    start += day * DAY_MS
    log_seconds = rng.normal(a.length_log + a.length_slope * users.index[user], a.length_sd)
    order = np.lexsort((start, user))
    user, day, start, log_seconds = user[order], day[order], start[order], log_seconds[order]
    _, first_rows, counts = np.unique(user, return_index=True, return_counts=True)
    number = np.arange(user.size) - np.repeat(first_rows, counts) + 1
    end = (day + 1) * DAY_MS
    follows = user[1:] == user[:-1]
    end[:-1][follows] = np.minimum(end[:-1], start[1:])[follows]
    length = np.minimum(np.exp(log_seconds) * 1000, end - start).astype(np.int64)
    return Sessions(user, day + 1, start, length, log_seconds, number)


def _play(block: Block, rng: np.random.Generator) -> Events:
    a, sessions = block.world.parameters.activity, block.sessions
    count = rng.poisson(np.exp(a.play_log + a.play_slope * block.users.index[sessions.user]))
    row = np.repeat(np.arange(count.size), count)
    name = np.where(rng.random(row.size) < a.level_share, p.LEVEL_COMPLETE, p.AD_VIEW)
    offset = (rng.random(row.size) * sessions.length_ms[row]).astype(np.int64)
    started: Ints = np.arange(count.size)
    return Events(
        session=np.concatenate([started, row]),
        name=np.concatenate([np.full(count.size, p.SESSION_START), name]),
        offset_ms=np.concatenate([np.zeros(count.size, np.int64), offset]),
        cents=np.zeros(count.size + row.size, np.int64),
    )

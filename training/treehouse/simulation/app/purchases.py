"""Process `purchases`: looks at the shop, some of which end in a purchase."""

from __future__ import annotations

import numpy as np

from treehouse.simulation.app import catalog
from treehouse.simulation.app import parameters as p
from treehouse.simulation.app.blocks import Block, Events
from treehouse.simulation.app.world import Floats, Ints, weekdays


def purchases(block: Block, rng: np.random.Generator) -> None:
    """Add shop views and purchases, in sessions of active days."""
    spending, users, sessions = block.world.parameters.spending, block.users, block.sessions
    who, day = np.nonzero(block.life.active)
    weekday = weekdays(users.weekday[who], day + 1)
    count = rng.poisson(users.views[who] * np.take(catalog.WEEKDAY_SPENDING, weekday))
    of_day = np.repeat(np.arange(who.size), count)
    row = _session_of_day(block, of_day, rng)
    share = rng.random(row.size)
    buys = rng.random(row.size) < spending.conversion
    later = share[buys] + (1 - share[buys]) * rng.random(int(buys.sum()))
    bought = row[buys]
    log_amount = rng.normal(users.price[sessions.user[bought]], spending.price_sd)
    block.events.append(
        Events(
            session=np.concatenate([row, bought]),
            name=np.repeat([p.SHOP_VIEW, p.PURCHASE], [row.size, bought.size]),
            offset_ms=np.concatenate([_within(share, block, row), _within(later, block, bought)]),
            cents=np.concatenate(
                [np.zeros(row.size, np.int64), cents(log_amount, spending.max_amount_usd)]
            ),
        )
    )


def cents(log_amount: Floats, max_amount_usd: float) -> Ints:
    """Amounts in whole cents, at least one, from log USD."""
    amount = np.minimum(np.exp(log_amount), max_amount_usd)
    result: Ints = np.maximum(np.rint(amount * 100), 1).astype(np.int64)
    return result


def _session_of_day(block: Block, of_day: Ints, rng: np.random.Generator) -> Ints:
    """A session at random for each row of the active day that it belongs to.

    Sessions are ordered by user and time, as the active days are: those of an active day
    stand together.
    """
    sessions = block.sessions
    key = sessions.user * block.life.active.shape[1] + sessions.day - 1
    _, first, count = np.unique(key, return_index=True, return_counts=True)
    result: Ints = first[of_day] + (rng.random(of_day.size) * count[of_day]).astype(np.int64)
    return result


def _within(share: Floats, block: Block, row: Ints) -> Ints:
    result: Ints = (share * block.sessions.length_ms[row]).astype(np.int64)
    return result

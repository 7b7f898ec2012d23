"""Blocks from start to end: run the processes, put the events in order, cut at the present."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from treehouse.simulation.app.activity import activity
from treehouse.simulation.app.blocks import DAY_MS, Block, merge
from treehouse.simulation.app.installs import installs
from treehouse.simulation.app.parameters import BLOCK_USERS, Parameters
from treehouse.simulation.app.purchases import purchases
from treehouse.simulation.app.world import Ints, world

Process = Callable[[Block, np.random.Generator], None]
PROCESSES: tuple[Process, ...] = (installs, activity, purchases)
"""In order. Each has a random stream named after it, so that one more changes no other's draws."""


@dataclass(frozen=True)
class EventRows:
    """Events as they reach the engine, ordered by user and time; every array is [events].

    Attributes:
        user: Number of the user in the run.
        number: Of the event within its user, from 1.
        session: Number of the session within its user, from 1.
        name: Index into EVENT_NAMES.
        at_ms: Milliseconds since 1970, UTC.
        duration_ms: Until the session's next event, or its end.
        cents: Revenue in hundredths of a USD.
    """

    user: Ints
    number: Ints
    session: Ints
    name: Ints
    at_ms: Ints
    duration_ms: Ints
    cents: Ints


def day_number(day: date) -> int:
    """Days since 1970."""
    return (day - date(1970, 1, 1)) // timedelta(days=1)


def generate(parameters: Parameters, seed: int, end: date, number: int) -> Block:
    """Block `number` of a run, with its whole future.

    Args:
        parameters: Of the generative model.
        seed: Of the run.
        end: The present; installs come in the `acquisition.days` days before it.
        number: Of the block, from 0.
    """
    first_day = day_number(end) - parameters.acquisition.days
    block = Block(world(parameters), first_day, seed, number)
    for process in PROCESSES:
        process(block, block.stream(process.__name__))
    return block


def event_rows(block: Block, users: int, end: date | None = None) -> EventRows:
    """The events of a block's first users, up to the present.

    Args:
        block: A generated block.
        users: Users of the run; later ones of the block are left out.
        end: Nothing on this day or later is seen; None shows the future too.
    """
    events, sessions = merge(block.events), block.sessions
    order = np.lexsort((events.offset_ms, events.session))
    session, offset = events.session[order], events.offset_ms[order]
    until = sessions.length_ms[session]
    follows = session[1:] == session[:-1]
    until[:-1][follows] = offset[1:][follows]
    user = sessions.user[session]
    at = block.users.install_day[user] * DAY_MS + sessions.start_ms[session] + offset
    _, first, count = np.unique(user, return_index=True, return_counts=True)
    event_number = np.arange(user.size) - np.repeat(first, count) + 1
    keep = block.first + user < users
    if end is not None:
        keep &= at < day_number(end) * DAY_MS
    columns = (
        block.first + user,
        event_number,
        sessions.number[session],
        events.name[order],
        at,
        until - offset,
        events.cents[order],
    )
    return EventRows(*(column[keep] for column in columns))


def revenue_cents(block: Block) -> Ints:
    """Revenue of each user on each day of life: [BLOCK_USERS, life_days], in cents."""
    events, days = merge(block.events), block.life.active.shape[1]
    cell = block.sessions.user[events.session] * days + block.sessions.day[events.session] - 1
    total = np.bincount(cell, events.cents, minlength=BLOCK_USERS * days)
    return np.rint(total).astype(np.int64).reshape(BLOCK_USERS, days)

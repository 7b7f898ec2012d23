"""A block of users, and the processes that fill it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from treehouse.simulation.app.parameters import BLOCK_USERS
from treehouse.simulation.app.world import Bools, Floats, Ints, World

DAY_MS = 86_400_000


@dataclass
class Users:
    """Installs and traits of a block's users; every array is [n].

    Attributes:
        install_ms: When, in milliseconds since 1970, UTC.
        install_day: Days since 1970 of the install.
        campaign, creative, country, platform, device, os: Codes of the attributes.
        engagement: e, standard normal.
        index: G, engagement plus the attributes' stay effects.
        mean_views: Mean of the Gamma that `views` was drawn from.
        views: Rate of shop views of an active day.
        mean_price: Mean of the normal that `price` was drawn from.
        price: Mean log USD of the user's purchases.
    """

    install_ms: Ints
    install_day: Ints
    campaign: Ints
    creative: Ints
    country: Ints
    platform: Ints
    device: Ints
    os: Ints
    engagement: Floats
    index: Floats
    mean_views: Floats
    views: Floats
    mean_price: Floats
    price: Floats

    @property
    def weekday(self) -> Ints:
        """Weekday of the install, Monday 0 (1970-01-01 was a Thursday)."""
        return (self.install_day + 3) % 7


@dataclass
class Life:
    """When a block's users are there.

    Attributes:
        lifetime: [n] Last day of life on which the user may be active; day 1 is the install.
        active: [n, life_days] Whether the user is active on that day of life.
    """

    lifetime: Ints
    active: Bools


@dataclass
class Sessions:
    """Sessions of a block, ordered by user and time; every array is [sessions].

    Attributes:
        user: Row of the user in the block.
        day: Day of life.
        start_ms: Milliseconds since the midnight that starts the install's day.
        length_ms: Cut at the user's next session and at midnight UTC.
        log_seconds: Log of the length in seconds, before the cut.
        number: Of the session within its user, from 1.
    """

    user: Ints
    day: Ints
    start_ms: Ints
    length_ms: Ints
    log_seconds: Floats
    number: Ints


@dataclass
class Events:
    """Events of a block; every array is [events].

    Attributes:
        session: Row of the session in the block.
        name: Index into EVENT_NAMES.
        offset_ms: Since the start of the session.
        cents: Revenue in hundredths of a USD.
    """

    session: Ints
    name: Ints
    offset_ms: Ints
    cents: Ints


@dataclass
class Block:
    """Users `first` to `first + BLOCK_USERS - 1`, filled by one process after the other.

    Attributes:
        world: What holds for all users.
        first_day: Days since 1970 of the first install day.
        seed: Of the run.
        number: Of the block.
    """

    world: World
    first_day: int
    seed: int
    number: int
    users: Users = field(init=False)
    life: Life = field(init=False)
    sessions: Sessions = field(init=False)
    events: list[Events] = field(default_factory=list)

    @property
    def first(self) -> int:
        """Number of the first user."""
        return self.number * BLOCK_USERS

    def stream(self, purpose: str) -> np.random.Generator:
        """Random numbers that depend on the run, the block and the purpose, and nothing else."""
        words = [self.seed, self.number, zlib.crc32(purpose.encode())]
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))


def merge(parts: Iterable[Events]) -> Events:
    """All events of all processes, unordered."""
    columns = [(e.session, e.name, e.offset_ms, e.cents) for e in parts]
    return Events(*(np.concatenate(column) for column in zip(*columns, strict=True)))

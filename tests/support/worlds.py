"""Small made-up worlds: raw rows, the project's vars under which they are read, and a calendar."""

from __future__ import annotations

import random
from calendar import monthrange
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from treehouse.project.settings import project_vars

Row = dict[str, Any]
Raw = dict[str, list[Row]]
T = TypeVar("T")

#: Days begin neither at midnight UTC nor at a full hour of it, and some have 23 or 25 hours.
TIME_ZONE = "Australia/Adelaide"


@dataclass(frozen=True)
class World:
    """Raw rows by source, read under vars.

    Attributes:
        raw: Rows of each source by its name in the contracts; rows of one source have equal keys,
            and columns that they leave out take the type's default.
        changed: Vars that differ from those of dbt_project.yml.
    """

    raw: Raw
    changed: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def variables(self) -> dict[str, Any]:
        """All vars of the project."""
        return project_vars() | self.changed

    @cached_property
    def zone(self) -> ZoneInfo:
        """The reporting time zone."""
        return ZoneInfo(self.variables["time_zone"])

    def of(self, source: str) -> list[Row]:
        """The rows of a source."""
        return self.raw.get(source, [])

    def local(self, at: datetime) -> datetime:
        """A moment by the clocks of the reporting time zone."""
        return at.astimezone(self.zone)

    def day(self, at: datetime) -> date:
        """The day that it belongs to."""
        return self.local(at).date()

    def midnight(self, day: date) -> datetime:
        """When a day begins, in UTC."""
        return datetime.combine(day, time(), self.zone).astimezone(UTC)


def add_months(day: date, months: int) -> date:
    """The same day of another month, or that month's last one where it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def group(rows: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    """Rows by a key, in the order in which they came."""
    groups: dict[Any, list[T]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def beside(rng: random.Random, at: datetime, units: Sequence[timedelta]) -> datetime:
    """A moment on a boundary, or one of the given units before or after it."""
    return at + rng.choice([-1, 0, 0, 1]) * rng.choice(units)

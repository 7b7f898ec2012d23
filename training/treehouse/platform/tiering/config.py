"""What may be moved, where to and when: var `tiering` of dbt_project.yml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from treehouse.platform.tiering.prices import Prices
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import parse_bytes, project_vars


@dataclass(frozen=True)
class Tiering:
    """The owner's limits.

    Attributes:
        tables: The only ones that are ever moved, as database.table, with a factor of their sizes.
        volumes: Volume by tier.
        bytes_per_run: Most bytes on disk that one apply moves.
        begins, ends: Hours of the day between which apply moves; over midnight if begins > ends.
        time_zone: Of these hours.
        free_share: Share of each disk that moves leave free.
        minimum_stay_days: That a partition stays after a move.
        payback_months: In which a move to a cheaper tier has to pay for itself.
    """

    tables: Mapping[str, float]
    volumes: Mapping[str, str]
    bytes_per_run: int
    begins: int
    ends: int
    time_zone: str
    free_share: float
    minimum_stay_days: float
    payback_months: float

    @classmethod
    def configured(cls) -> Tiering:
        """That of dbt_project.yml.

        Raises:
            TreehouseError: A part is missing or makes no sense.
        """
        variables = project_vars()
        given: dict[str, Any] = dict(variables.get("tiering") or {})
        begins, ends = _hours(str(given.get("hours", "0-24")))
        found = cls(
            tables=dict(given.get("tables") or {}),
            volumes=dict(given.get("volumes") or {}),
            bytes_per_run=parse_bytes(str(given.get("bytes_per_run", "100GiB"))),
            begins=begins,
            ends=ends,
            time_zone=str(variables["time_zone"]),
            free_share=_number(given, "free_share", 0.1),
            minimum_stay_days=_number(given, "minimum_stay_days", 7),
            payback_months=_number(given, "payback_months", 3),
        )
        tiers = [tier.name for tier in Prices.configured().tiers]
        _expect(
            list(found.volumes) == tiers,
            "volumes",
            given.get("volumes"),
            f"one for each of {tiers}",
        )
        _expect(
            all("." in table for table in found.tables), "tables", list(found.tables),
            "database.table: factor of its sizes",
        )  # fmt: skip
        _expect(found.free_share < 1, "free_share", found.free_share, "a share below 1")
        return found

    def is_open(self, hour: int) -> bool:
        """Whether apply may move in this hour of the day."""
        if self.begins <= self.ends:
            return self.begins <= hour < self.ends
        return hour >= self.begins or hour < self.ends


def _hours(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d{1,2})\s*-\s*(\d{1,2})\s*", text)
    hours = (int(match[1]), int(match[2])) if match else (-1, -1)
    _expect(
        match is not None and max(hours) <= 24 and hours[0] != hours[1],
        "hours", text, "two hours of the day, for example 22-6",
    )  # fmt: skip
    return hours


def _number(given: Mapping[str, Any], name: str, default: float) -> float:
    value = given.get(name, default)
    is_number = isinstance(value, int | float) and value >= 0
    _expect(is_number, name, value, "a number of 0 or more")
    return float(value)


def _expect(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise TreehouseError(
            f"tiering.{name} of dbt_project.yml can't be used.", value=value, expected=expected
        )

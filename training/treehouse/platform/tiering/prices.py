"""What storage costs, from the vars of dbt_project.yml, where the sources are named."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from treehouse.platform.replay.traces import Floats
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import project_vars

GB = 1e9
HOURS_A_MONTH = 730.0


@dataclass(frozen=True)
class Tier:
    """One kind of storage.

    Attributes:
        name: As ClickHouse's volume may be called.
        usd_per_gb_month: For what lies there.
        usd_per_gb_read: For what is read.
        usd_per_1000_reads: For requests that read.
        usd_per_1000_writes: For requests that write.
        minimum_days: What leaves earlier is billed as if it had stayed so long.
        first_byte_ms: Until a request begins to answer.
        mb_per_second: From then on.
    """

    name: str
    usd_per_gb_month: float
    usd_per_gb_read: float
    usd_per_1000_reads: float
    usd_per_1000_writes: float
    minimum_days: float
    first_byte_ms: float
    mb_per_second: float


@dataclass(frozen=True)
class Prices:
    """A price list.

    Attributes:
        tiers: From hot to cold; new data lands in the first.
        request_mb: Bytes of one request, in MB.
        waiting_usd_per_hour: What an hour that queries wait is worth.
    """

    tiers: tuple[Tier, ...]
    request_mb: float
    waiting_usd_per_hour: float

    @classmethod
    def configured(cls) -> Prices:
        """The list of dbt_project.yml.

        Raises:
            TreehouseError: A price is missing, unknown, or below 0; or there is one tier only.
        """
        variables = project_vars()
        tiers = tuple(_tier(tier) for tier in variables["storage_tiers"])
        if len(tiers) < 2:
            raise TreehouseError("storage_tiers names no tier to move to.", value=len(tiers))
        return cls(
            tiers,
            float(variables["storage_request_mb"]),
            float(variables["storage_waiting_usd_per_hour"]),
        )

    def stay_usd(self, stored: Floats, hours: float) -> Floats:
        """Of bytes for hours in each tier; adds a last axis of tiers."""
        return stored[..., None] / GB * self._of("usd_per_gb_month") * hours / HOURS_A_MONTH

    def read_usd(self, requests: Floats, read: Floats) -> Floats:
        """Of reads: how many, and their bytes in all; adds a last axis of tiers."""
        pieces = np.maximum(requests, read / (self.request_mb * 1e6))[..., None]
        money = pieces * self._of("usd_per_1000_reads") / 1000
        return money + read[..., None] / GB * self._of("usd_per_gb_read")

    def write_usd(self, requests: Floats, written: Floats) -> Floats:
        """Of writes: how many, and their bytes in all; adds a last axis of tiers."""
        pieces = np.maximum(requests, written / (self.request_mb * 1e6))[..., None]
        return pieces * self._of("usd_per_1000_writes") / 1000

    def waiting_hours(self, requests: Floats, read: Floats) -> Floats:
        """That reads wait in each tier longer than in the first; adds a last axis of tiers."""
        first, rate = self._of("first_byte_ms") / 1e3, self._of("mb_per_second") * 1e6
        seconds = requests[..., None] * first + read[..., None] / rate
        return np.maximum(0.0, seconds - seconds[..., :1]) / 3600

    def move_usd(self, stored: Floats) -> Floats:
        """Of moving bytes from a tier to another; adds axes of sources and of destinations."""
        pieces = np.ceil(stored / (self.request_mb * 1e6))
        out = self.read_usd(pieces, stored)[..., :, None]
        move = out + self.write_usd(pieces, stored)[..., None, :]
        return move * (1 - np.eye(len(self.tiers)))

    def minimum_hours(self) -> Floats:
        """That each tier bills at least, (tiers,)."""
        return self._of("minimum_days") * 24

    def _of(self, name: str) -> Floats:
        return np.array([getattr(tier, name) for tier in self.tiers])


def _tier(given: dict[str, Any]) -> Tier:
    names = {field.name for field in fields(Tier)}
    if set(given) != names:
        raise TreehouseError(
            "A tier of storage_tiers is not complete.",
            value=", ".join(sorted(names.symmetric_difference(given))),
            expected="exactly " + ", ".join(sorted(names)),
            fix="mend it in dbt_project.yml",
        )
    numbers = {name: value for name, value in given.items() if name != "name"}
    if any(not isinstance(value, int | float) or value < 0 for value in numbers.values()):
        raise TreehouseError(
            "A price of storage_tiers is no price.", value=numbers, expected="numbers of 0 or more"
        )
    return Tier(name=str(given["name"]), **{name: float(n) for name, n in numbers.items()})

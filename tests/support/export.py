"""An app's export, as a person has it: files of events, installs and purchases, and what is true of
them by construction. No rule of the simulator's is in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

BEGIN = datetime(2025, 3, 1, tzinfo=UTC)
_COUNTRIES = ("US", "DE", "BR", "JP")
_CAMPAIGNS = ("", "spring", "video", "search")


@dataclass(frozen=True)
class Export:
    """Tables of one app.

    Attributes:
        installs: user_id, installed_at and what is known of the install.
        events: event_id, user_id, event_name, event_at, session_id, duration_ms, revenue_usd.
        purchases: purchase_id, customer_id, purchased_at, quantity, amount_usd.
        days: From the first day to the last, which is not over.
    """

    installs: pa.Table
    events: pa.Table
    purchases: pa.Table
    days: int

    def revenue(self, days: int) -> dict[str, float]:
        """By user, the revenue of the first `days` days from the day of the install."""
        installed = dict(zip(*(self.installs[c].to_pylist() for c in _WHO), strict=True))
        found = dict.fromkeys(installed, 0.0)
        names = ("user_id", "event_at", "revenue_usd")
        for user, at, usd in zip(*(self.events[c].to_pylist() for c in names), strict=True):
            if usd and (at.date() - installed[user].date()).days < days:
                found[user] += usd
        return found

    def installed_before(self, days: int) -> set[str]:
        """Users whose install day is among the first `days` days but the last, which goes on."""
        return {
            user
            for user, at in zip(*(self.installs[c].to_pylist() for c in _WHO), strict=True)
            if (at.date() - BEGIN.date()).days < days
        }


_WHO = ("user_id", "installed_at")


def make_export(users: int = 3000, days: int = 150, seed: int = 1) -> Export:
    """An app whose users differ: a sixth looks at the shop from the first day on and pays again and
    again, most of them not before the second week."""
    rng = np.random.default_rng(seed)
    installed = np.sort(rng.uniform(0, days - 1, users))
    pays = rng.random(users) < 1 / 6
    begins = rng.exponential(12.0, users)  # days before the first payment
    stays = rng.gamma(2.0, 6.0, users) * np.where(pays, 3, 1)  # days, on average
    spend = np.exp(rng.normal(1.5, 0.6, users))
    rows: dict[str, list[object]] = {
        name: [] for name in ("user_id", "event_name", "event_at", "session_id", "duration_ms")
    }
    rows["revenue_usd"] = []
    bought: list[tuple[str, datetime, float]] = []

    def add(user: str, name: str, at: datetime, session: str, ms: int, usd: float = 0.0) -> None:
        for column, value in zip(rows, (user, name, at, session, ms, usd), strict=True):
            rows[column].append(value)

    for i in range(users):
        user, day = f"u{i:05d}", 0.0
        while installed[i] + day < days - 0.5 and day < stays[i] * rng.exponential(1.5) + 1:
            at = BEGIN + timedelta(days=float(installed[i] + day), milliseconds=1)
            session = f"{user}-{day:.3f}"
            add(user, "session_start", at, session, 0)
            add(user, "level_end", at + timedelta(seconds=70), session, int(rng.gamma(2, 40_000)))
            if pays[i]:
                add(user, "shop_view", at + timedelta(seconds=80), session, 4_000)
            if pays[i] and day > begins[i] and rng.random() < 0.6:
                usd = round(float(spend[i] * rng.lognormal(0, 0.3)), 2)
                add(user, "purchase", at + timedelta(seconds=95), session, 1_000, usd)
                bought.append((user, at + timedelta(seconds=95), usd))
            day += float(rng.exponential(1.3)) + 0.02
    when = pa.timestamp("ms", "UTC")
    schema = {"event_at": when, "duration_ms": pa.int64()}
    events = pa.table(
        {"event_id": [f"e{i}" for i in range(len(rows["user_id"]))]}
        | {name: pa.array(values, schema.get(name)) for name, values in rows.items()}
    )
    installs = pa.table(
        {
            "user_id": [f"u{i:05d}" for i in range(users)],
            "installed_at": pa.array([BEGIN + timedelta(days=float(d)) for d in installed], when),
            "campaign_id": rng.choice(_CAMPAIGNS, users),
            "country": rng.choice(_COUNTRIES, users),
            "platform": rng.choice(["android", "ios"], users),
            "os_version": rng.choice(["13", "14", "15"], users),
        }
    )
    purchases = pa.table(
        {
            "purchase_id": [f"p{i}" for i in range(len(bought))],
            "customer_id": [user for user, _, _ in bought],
            "purchased_at": pa.array([at for _, at, _ in bought], when),
            "quantity": [1] * len(bought),
            "amount_usd": [usd for *_, usd in bought],
        }
    )
    return Export(installs, events, purchases, days)


def write_export(export: Export, folder: Path) -> dict[str, Path]:
    """Events and purchases as Parquet, installs as CSV; the files by source."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {
        "events": folder / "events.parquet",
        "installs": folder / "installs.csv",
        "purchases": folder / "purchases.parquet",
    }
    pq.write_table(export.events, found["events"])
    csv.write_csv(export.installs, found["installs"])
    pq.write_table(export.purchases, found["purchases"])
    return found

"""What the demo fills the sources with: a simulated platform, and a real purchase log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from training.console import Report
    from training.settings import Settings


def simulated_platform(
    client: Client, settings: Settings, options: Mapping[str, Any], report: Report
) -> dict[str, int]:
    """Fill events and installs by simulation; rows of each table. `options`: users."""
    from training.simulate import simulate

    result = simulate(
        client,
        settings,
        users=options["users"],
        progress=lambda done, total: report("users", done, total),
    )
    return {"installs": result.installs, "events": result.events}


def real_purchases(
    client: Client, settings: Settings, _: Mapping[str, Any], report: Report
) -> dict[str, int]:
    """Fill purchases with the CDNOW log; what became of its rows."""
    from training.intake.cdnow import load_cdnow

    result = load_cdnow(client, settings, progress=report)
    return {
        "purchases": result.loaded + result.duplicate,
        "purchases_loaded": result.loaded,
        "purchases_duplicate": result.duplicate,
        "purchases_quarantined": result.quarantined,
    }

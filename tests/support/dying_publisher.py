"""Publishes, then again and dies, as `python -m tests.support.dying_publisher`.

Arguments: `publish` or `promote`, the bundle's path, where to die (see `POINTS`, or `nowhere`), and
the path of the bundle to die with. Prints one JSON object before it dies: the champion before, the
version published, the champion's answer after.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

from tests.support.small_bundle import FEATURE, MADE_UP, USE_CASE
from treehouse.clickhouse.client import connect
from treehouse.clickhouse.state import ensure_registry
from treehouse.project.contract import load_contract
from treehouse.project.settings import Settings
from treehouse.registry.promotions import promote, versions
from treehouse.registry.publish import publish

POINTS = (
    "after golden_rows",
    "after artifacts",
    "half a file",
    "before versions",
    "after versions",
    "after events",
)
_FILE = "insert into function file"
_EVENT = "insert into `treehouse_registry`.events"


def main(action: str, path: Path, point: str, last: Path) -> None:
    """Publish, and promote if asked to; then the same with the other bundle up to the point."""
    settings = Settings.from_environment()
    client = connect(settings)
    ensure_registry(client, settings)
    found = {"before": _champion(client, settings), "answered": _answer(client)}
    version, parity = publish(client, settings, USE_CASE, path, force=MADE_UP)
    if action == "promote":
        promote(client, settings, USE_CASE, version.version)
    found |= {
        "published": version.version,
        "compared": parity.answers,
        "champion": _champion(client, settings),
        "answer": _answer(client),
    }
    print(json.dumps(found), flush=True)
    if point in POINTS:
        if action == "publish":
            _arm(client, point)
        version, _ = publish(client, settings, USE_CASE, last, force=MADE_UP)
        _arm(client, point)
        promote(client, settings, USE_CASE, version.version)
    client.close()


def _champion(client: Client, settings: Settings) -> int:
    listed = versions(client, settings, USE_CASE)
    return next((v.version for v in listed if v.is_champion), 0)


def _answer(client: Client) -> list[float]:
    """Version and first head of whatever answers, for an amount of 10."""
    contract = load_contract(USE_CASE)
    numeric = ", ".join("10." if n == FEATURE else "nan" for n in contract.of_kind("numeric"))
    key = f"('{USE_CASE}', '{contract.hash}')"
    champion = f"dictGetOrDefault('treehouse_registry.champions', 'bundle', {key}, toUInt64(0))"
    question = f"select treehouse_score({champion}, [{numeric}], emptyArrayString())"
    return list(client.query(question).result_rows[0][0])[:2]


def _arm(client: Client, point: str) -> None:
    """Have this process killed at that point."""
    when, _, table = point.partition(" ")
    client.insert = _deadly(client.insert, when, table)  # type: ignore[method-assign]
    command = client.command

    def dying_command(sql: str, *arguments: Any, **named: Any) -> Any:
        if sql.startswith(_FILE) and point == "half a file":
            sql = sql.replace("select content", "select substring(content, 1, 1000)")
        answer = command(sql, *arguments, **named)
        if sql.startswith(_FILE) and point == "half a file":
            _die()
        if sql.startswith(_EVENT) and point == "after events":
            _die()
        return answer

    client.command = dying_command  # type: ignore[method-assign,assignment]


def _deadly(insert: Callable[..., Any], when: str, table: str) -> Callable[..., Any]:
    def dying_insert(name: str, *arguments: Any, **named: Any) -> Any:
        if (when, table) == ("before", name):
            _die()
        answer = insert(name, *arguments, **named)
        if (when, table) == ("after", name):
            _die()
        return answer

    return dying_insert


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))

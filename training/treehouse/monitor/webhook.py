"""Tells a webhook of alerts: Slack's JSON, retries, and nothing lost when it is not there."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import urllib3
from urllib3.util import Retry, Timeout

from treehouse.monitor.state import Alert, read_alerts, record
from treehouse.project.errors import TreehouseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

VARIABLE = "TREEHOUSE_WEBHOOK"
"""Environment variable with the address: it is a secret, so no file of the project holds it."""

_RETRY = Retry(
    total=4,
    backoff_factor=0.5,  # waits of 0, 1, 2 and 4 seconds; Retry-After is obeyed
    backoff_max=8,
    status_forcelist=(408, 429, 500, 502, 503, 504),
    allowed_methods=None,  # a message told twice is better than one lost
    redirect=False,  # an address that moved is a fault of the configuration
    raise_on_status=False,
)
_TIMEOUT = Timeout(connect=5.0, read=10.0)
# It tells of retries with the path of the address, in which the secret is.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
_MARKS = {"error": ":red_circle:", "warn": ":large_yellow_circle:"}


def deliver(client: Client, settings: Settings, url: str | None = None) -> str:
    """Tell the webhook of every alert that was raised or resolved since it last listened.

    What could not be delivered stays undelivered, and goes out with the next run.

    Args:
        client: Of the target.
        settings: Where the registry is.
        url: Address; by default that of TREEHOUSE_WEBHOOK. "" for none.

    Returns:
        "" if all is delivered, else why not, without the address.

    Raises:
        TreehouseError: The address is not one of HTTP.
    """
    url = os.environ.get(VARIABLE, "") if url is None else url
    if not url:
        return ""
    _check(url)
    waiting = read_alerts(client, settings, "is_undelivered")
    if not waiting:
        return ""
    failure = _post(url, message(waiting))
    if not failure:
        for alert in waiting:  # at the time of what was told: what came since is still to tell
            record(client, settings, [(alert, "deliver")], at=alert.notify_at)
    return failure


def message(alerts: Sequence[Alert]) -> dict[str, Any]:
    """The alerts as Slack's incoming webhooks take them, and most others do."""
    lines = [
        f":white_check_mark: resolved: {_escaped(alert)}"
        if alert.state == "resolved"
        else f"{_MARKS[alert.severity]} {alert.severity}: {_escaped(alert)}"
        for alert in alerts
    ]
    return {"text": "\n".join(lines)}


def _escaped(alert: Alert) -> str:
    text = f"{alert.alert} (version {alert.version}): {alert.detail}"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:  # brackets or a port that make no sense
        is_usable = False
    if not is_usable:
        raise TreehouseError(
            "The address of the webhook is not one of HTTP.",
            value=f"{VARIABLE}, whose value is not shown",
            expected="https://host/path",
            fix=f"set {VARIABLE} anew, or unset it",
        )


def _post(url: str, body: dict[str, Any]) -> str:
    """Why it was not taken, or ""; the address holds a secret and is not told."""
    try:
        with urllib3.PoolManager() as pool:
            answer = pool.request("POST", url, json=body, retries=_RETRY, timeout=_TIMEOUT)
    except urllib3.exceptions.HTTPError as error:
        cause = getattr(error, "reason", None) or error
        return f"the webhook did not answer: {type(cause).__name__}"
    if 200 <= answer.status < 300:
        return ""
    return f"the webhook answered {answer.status}"

"""A webhook that fails, hangs or refuses: no alert is lost, and none is told twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from urllib3.util import Retry, Timeout

from tests.support.cleaning import drop_everything
from treehouse.monitor import webhook
from treehouse.monitor.alerts import apply
from treehouse.monitor.state import Finding, ensure_monitoring, read_alerts
from treehouse.monitor.webhook import deliver
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings

TOKEN = "T0KEN/in-the-path"
FINDING = Finding("m", 3, "drift", "country", "error", 0.31, 0.2, "moved <a lot> & more")


@dataclass
class Listener:
    """A webhook that answers with the statuses in turn, then with 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.asked += 1
            status = found.statuses.pop(0) if found.statuses else 200
            if status == 200:
                assert self.headers["Content-Type"] == "application/json"
                found.bodies.append(json.loads(body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing on the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/secret"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def alerts(settings: Settings, client: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An engine with one alert open that nobody was told of; waits are short."""
    monkeypatch.setattr(webhook, "_RETRY", webhook._RETRY.new(backoff_factor=0))
    drop_everything(client)
    ensure_monitoring(client, settings)
    apply(client, settings, "m", [FINDING], 1, {})
    return client


def test_it_is_tried_again_and_told_once(
    alerts: Any, settings: Settings, listener: Listener
) -> None:
    listener.statuses = [503, 500]
    assert deliver(alerts, settings, listener.url) == ""
    assert listener.asked == 3
    assert listener.bodies == [
        {"text": ":red_circle: error: m/drift/country (version 3): moved &lt;a lot&gt; &amp; more"}
    ]
    assert deliver(alerts, settings, listener.url) == ""
    assert listener.asked == 3


def test_what_failed_is_told_at_the_next_run(
    alerts: Any, settings: Settings, listener: Listener
) -> None:
    listener.statuses = [500] * 5
    assert deliver(alerts, settings, listener.url) == "the webhook answered 500"
    listener.statuses = [404]
    assert deliver(alerts, settings, listener.url) == "the webhook answered 404"
    assert listener.bodies == []
    assert deliver(alerts, settings, listener.url) == ""
    assert len(listener.bodies) == 1


def test_nobody_there_is_no_error(alerts: Any, settings: Settings) -> None:
    told = deliver(alerts, settings, "http://127.0.0.1:9/secret")
    assert told.startswith("the webhook did not answer")
    assert "secret" not in told
    assert read_alerts(alerts, settings)[0].is_undelivered


def test_a_webhook_that_hangs_is_given_up(
    alerts: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "_TIMEOUT", Timeout(connect=0.2, read=0.2))
    monkeypatch.setattr(webhook, "_RETRY", Retry(total=1, backoff_factor=0, allowed_methods=None))
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as silent:
        told = deliver(alerts, settings, f"http://127.0.0.1:{silent.server_port}/")
    assert told.startswith("the webhook did not answer")


def test_its_end_is_told_as_well(alerts: Any, settings: Settings, listener: Listener) -> None:
    deliver(alerts, settings, listener.url)
    apply(alerts, settings, "m", [], 1, {})
    deliver(alerts, settings, listener.url)
    assert listener.bodies[1]["text"].startswith(":white_check_mark: resolved: m/drift/country")


def test_what_ended_before_anybody_knew_is_not_told(
    alerts: Any, settings: Settings, listener: Listener
) -> None:
    apply(alerts, settings, "m", [], 1, {})
    assert deliver(alerts, settings, listener.url) == ""
    assert listener.asked == 0


def test_an_address_of_another_kind_is_refused(alerts: Any, settings: Settings) -> None:
    with pytest.raises(TreehouseError, match="not one of HTTP") as error:
        deliver(alerts, settings, "file:///etc/secret")
    assert "secret" not in str(error.value)


def test_without_an_address_nothing_is_sent(
    alerts: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(webhook.VARIABLE, raising=False)
    assert deliver(alerts, settings) == ""
    assert read_alerts(alerts, settings)[0].is_undelivered


def test_nothing_tells_the_address(
    alerts: Any, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """It holds the secret: urllib3 would log its path at each retry."""
    with caplog.at_level("DEBUG"):
        assert "did not answer" in deliver(alerts, settings, f"http://127.0.0.1:1/{TOKEN}")
    assert "T0KEN" not in caplog.text
    for broken in (f"ftp://h/{TOKEN}", f"https:/{TOKEN}", f"http://[{TOKEN}", f"http://h:{TOKEN}"):
        with pytest.raises(TreehouseError, match="not one of HTTP") as refused:
            deliver(alerts, settings, broken)
        assert "T0KEN" not in str(refused.value)

"""Where the server of the tests comes from, how it starts, fails and stops; no real one here."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import sys
import tarfile
import urllib.request
from pathlib import Path

import pytest

from tests.support import engine_library, server
from tests.support.engine_library import ServerUnavailableError, fetch_library
from tests.support.server import running_server

ANSWERING = f"""\
#!{sys.executable}
import http.server, re, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"1\\n")

assert sys.argv[1] == "server", sys.argv
config = open(sys.argv[2].removeprefix("--config-file=")).read()
port = int(re.search("<http_port>(.*)</http_port>", config)[1])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def environment(folder: Path, script: str) -> dict[str, str]:
    """An environment whose PATH holds that script as `clickhouse`."""
    binary = folder / "bin" / "clickhouse"
    binary.parent.mkdir()
    binary.write_text(script)
    binary.chmod(0o755)
    return {"PATH": f"{binary.parent}{os.pathsep}{os.environ['PATH']}"}


def archive(folder: Path, content: bytes) -> tuple[Path, str]:
    """A package with that library, and its hash."""
    path = folder / "package.tgz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("package/libchdb.so")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return path, base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def test_a_given_url_is_taken_before_all_else(tmp_path: Path) -> None:
    given = environment(tmp_path, ANSWERING) | {"CLICKHOUSE_URL": "http://u:p@host:1"}
    with running_server(tmp_path / "server", environment=given) as found:
        assert (found.url, found.origin, found.admin_url) == (
            "http://u:p@host:1",
            "CLICKHOUSE_URL",
            None,
        )
    assert not (tmp_path / "server").exists()


def test_a_binary_on_the_path_is_started_and_stopped(tmp_path: Path) -> None:
    with running_server(tmp_path / "server", environment=environment(tmp_path, ANSWERING)) as found:
        assert found.origin.endswith("bin/clickhouse")
        assert found.data
        assert (found.data / "user_scripts" / "treehouse-scorer").exists()
        question = f"http://127.0.0.1:{found.url.rpartition(':')[2]}/"
        with urllib.request.urlopen(question, timeout=5) as answer:
            assert answer.read() == b"1\n"
    with pytest.raises(OSError, match="refused"), urllib.request.urlopen(question, timeout=5):
        pass


def test_a_server_that_does_not_start_shows_what_it_said(tmp_path: Path) -> None:
    given = environment(tmp_path, "#!/bin/sh\necho I am out of order >&2\nexit 3\n")
    with (
        pytest.raises(ServerUnavailableError, match=r"(?s)not server.*I am out of order"),
        running_server(tmp_path / "server", environment=given),
    ):
        pass


def test_a_server_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "START_SECONDS", 0.2)
    given = environment(tmp_path, "#!/bin/sh\nexec sleep 60\n")
    with (
        pytest.raises(ServerUnavailableError, match=r"did not answer within 0\.2 s"),
        running_server(tmp_path / "server", environment=given),
    ):
        pass
    assert [folder.name for folder in (tmp_path / "server").iterdir()] == ["0"]


def test_the_library_is_unpacked_when_the_package_is_the_pinned(tmp_path: Path) -> None:
    package, sha512 = archive(tmp_path, b"library")
    engine_library._unpack(package, tmp_path / "libchdb.so", sha512)
    assert (tmp_path / "libchdb.so").read_bytes() == b"library"


def test_another_package_than_the_pinned_is_refused(tmp_path: Path) -> None:
    package, _ = archive(tmp_path, b"something else")
    with pytest.raises(ServerUnavailableError, match="not the package that was pinned"):
        engine_library._unpack(package, tmp_path / "libchdb.so")
    assert not (tmp_path / "libchdb.so").exists()


def test_a_library_in_the_cache_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "treehouse" / "lib-linux-x64-gnu-26.7.3-stable.1"
    folder.mkdir(parents=True)
    (folder / "libchdb.so").touch()
    assert fetch_library() == folder / "libchdb.so"


@pytest.mark.parametrize(
    ("platform", "message"), [("linux", "install npm"), ("darwin", "is for Linux on x86-64")]
)
def test_what_cannot_be_fetched_names_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, message: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(ServerUnavailableError, match=f"(?s)CLICKHOUSE_URL|{message}") as caught:
        fetch_library(tmp_path / "cache")
    assert all(text in str(caught.value) for text in (message, "CLICKHOUSE_URL", "-m 'not server'"))
    assert not list(tmp_path.glob("cache/**/*.so"))

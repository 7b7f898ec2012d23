"""A true ClickHouse server for the tests of `--target server`.

In this order: the one at CLICKHOUSE_URL; a `clickhouse` binary on the PATH; the engine's shared
library out of a package, whose clickhouse-local can listen. The last two are private to the run:
loopback only, in a temporary folder laid out as the stock packages do, with the operator's
install made by `treehouse.clickhouse.install`, and a user that holds nothing but the role of the
install.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from tests.support.engine_library import WITHOUT, ServerUnavailableError, library_command
from treehouse.clickhouse import install
from treehouse.clickhouse.client import VOLUMES

START_SECONDS = 60
STOP_SECONDS = 20
USER, PASSWORD = "treehouse", "p@ss:word/1"
ADMIN, ADMIN_PASSWORD = "admin", "admin"
# Of `board`, a dashboard's user with the rights that docs/roles.md names to read stored answers; of
# `outsider`, who may see no data; and of a user of each role.
READER_PASSWORD = "reader"

# The paths and the pattern are those of the stock config.xml.
_CONFIG = """\
<clickhouse>
  <logger><level>error</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{port}</http_port>
  <path>{data}/</path>
  <tmp_path>{data}/tmp/</tmp_path>
  <user_files_path>{data}/user_files/</user_files_path>
  <user_scripts_path>{data}/user_scripts/</user_scripts_path>
  <user_defined_executable_functions_config>*_function.*ml\
</user_defined_executable_functions_config>
  <users_config>users.xml</users_config>
  <user_directories><users_xml><path>users.xml</path></users_xml></user_directories>
  <access_control_improvements>
    <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
    <table_engines_require_grant>true</table_engines_require_grant>
  </access_control_improvements>
  <query_log>
    <database>system</database>
    <table>query_log</table>
    <flush_interval_milliseconds>1000</flush_interval_milliseconds>
  </query_log>
  <part_log>
    <database>system</database>
    <table>part_log</table>
    <flush_interval_milliseconds>1000</flush_interval_milliseconds>
  </part_log>
{volumes}  {extra}
</clickhouse>
"""
ROLES = ("dashboard", "analyst", "trainer", "operator")  # each of treehouse_<role>, as <role>_user
_ROLE_USERS = "".join(
    f"""<{role}_user>
      <password>{READER_PASSWORD}</password>
      <networks><ip>127.0.0.1</ip></networks>
      <grants><query>GRANT treehouse_{role}</query></grants>
    </{role}_user>
    """
    for role in ROLES
)
# The default user only keeps the listener open, so whatever forgets its user and password fails
# here as it does on a server that asks for them.
_USERS = f"""\
<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password/>
      <networks><ip>127.0.0.1</ip></networks>
      <grants>
        <query>GRANT SYSTEM LISTEN, CREATE TEMPORARY TABLE ON *.*</query>
        <query>GRANT READ ON FILE</query>
      </grants>
    </default>
    <{USER}>
      <password>{PASSWORD}</password>
      <networks><ip>127.0.0.1</ip></networks>
      <grants><query>GRANT treehouse</query></grants>
    </{USER}>
    <board>
      <password>{READER_PASSWORD}</password>
      <networks><ip>127.0.0.1</ip></networks>
      <grants>
        <query>GRANT SELECT ON treehouse_shop.*</query>
        <query>GRANT dictGet ON treehouse_results.answers</query>
        <query>GRANT SELECT ON treehouse_results.by_country</query>
        <query>GRANT SELECT ON treehouse_results.total</query>
        <query>GRANT SELECT ON treehouse_results_board.*</query>
      </grants>
    </board>
    <outsider>
      <password>{READER_PASSWORD}</password>
      <networks><ip>127.0.0.1</ip></networks>
      <grants><query>GRANT SELECT, dictGet ON treehouse_results*.*</query></grants>
    </outsider>
    {_ROLE_USERS}
    <{ADMIN}>
      <password>{ADMIN_PASSWORD}</password>
      <networks><ip>127.0.0.1</ip></networks>
      <access_management>1</access_management>
    </{ADMIN}>
  </users>
</clickhouse>
"""
_NOISE = re.compile(r"\d+\. |$| \(version|.*<Error> DynamicQueryHandler:")


@dataclass(frozen=True)
class Server:
    """A server to test against.

    Attributes:
        url: For CLICKHOUSE_URL: user, password, host and port.
        origin: Where it came from, for messages.
        data: Its data folder, where it is ours.
        config: Its configuration folder, where it is ours.
        log: What it wrote, where it is ours.
    """

    url: str
    origin: str
    data: Path | None = None
    config: Path | None = None
    log: Path | None = None

    @property
    def admin_url(self) -> str | None:
        """The same for a user who may do everything, where the server is ours."""
        if self.data is None:
            return None
        parts = urlsplit(self.url)
        return f"http://{ADMIN}:{ADMIN_PASSWORD}@{parts.hostname}:{parts.port}"


@contextmanager
def running_server(
    folder: Path, extra: str = "", environment: Mapping[str, str] = os.environ
) -> Iterator[Server]:
    """A server for the tests, stopped at the end if it was started here.

    Args:
        folder: Empty folder for a server of our own.
        extra: Further XML for its configuration, such as `<storage_configuration>`.
        environment: Where CLICKHOUSE_URL and PATH are looked up.

    Raises:
        ServerUnavailableError: None of the three could be had.
    """
    if url := environment.get("CLICKHOUSE_URL"):
        yield Server(url, "CLICKHOUSE_URL")
        return
    binary = shutil.which("clickhouse", path=environment.get("PATH", os.defpath))
    prefix = [binary] if binary else library_command()
    with _private_server(folder, extra, prefix) as server:
        yield server


@contextmanager
def _private_server(folder: Path, extra: str, prefix: list[str]) -> Iterator[Server]:
    """A server on a free port; tried thrice, for somebody else may take the port in between."""
    for attempt in range(3):
        layout = _lay_out(folder / str(attempt), extra)
        with layout.log.open("wb") as log:
            process = _start(prefix, layout, log.fileno())
        try:
            if _wait_until_ready(process, layout):
                yield layout.server(prefix[-1])
                return
            if process.poll() is None:
                break
        finally:
            _stop(process)
    raise ServerUnavailableError(
        f"{prefix[-1]} did not answer within {START_SECONDS} s. Mend it, {WITHOUT}.\n"
        f"Its log ends with:\n{tail(layout.log)}"
    )


@dataclass(frozen=True)
class _Layout:
    data: Path
    config: Path
    log: Path
    port: int

    def server(self, origin: str) -> Server:
        password = quote(PASSWORD, safe="")
        url = f"http://{USER}:{password}@127.0.0.1:{self.port}"
        return Server(url, origin, self.data, self.config, self.log)


def _lay_out(root: Path, extra: str) -> _Layout:
    """The folders of the stock packages under a root of their own, with Treehouse installed."""
    layout = _Layout(root / install.DATA, root / install.CONFIG, root / "log", _free_port())
    (layout.data / "user_files").mkdir(parents=True)
    layout.config.mkdir(parents=True)
    (layout.config / "config.xml").write_text(
        _CONFIG.format(
            port=layout.port,
            data=layout.data,
            volumes=VOLUMES.format(folder=layout.data),
            extra=extra,
        )
    )
    (layout.config / "users.xml").write_text(_USERS)
    install.apply(install.install_plan(root))
    return layout


def _start(prefix: list[str], layout: _Layout, log: int) -> subprocess.Popen[bytes]:
    """Start the engine in its folder of user files: there its `file()` and the scorer agree.

    The library has no server's entry, but its clickhouse-local listens for as long as a query
    reads standard input. The end of the tests, however they end, closes that.
    """
    config = f"--config-file={layout.config / 'config.xml'}"
    if len(prefix) == 1:
        arguments = ["server", config]
    else:
        query = "system start listen http; select count() from file('-', LineAsString) format Null"
        arguments = [config, "--logger.console", "--log-level=error", f"--query={query}"]
    return subprocess.Popen(
        [*prefix, *arguments],
        cwd=layout.data / "user_files",
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,
        env=os.environ | {"CLICKHOUSE_WATCHDOG_ENABLE": "0"},
    )


def _wait_until_ready(process: subprocess.Popen[bytes], layout: _Layout) -> bool:
    """Whether the server answers its user within its time; false when it has ended."""
    question = urllib.request.Request(
        f"http://127.0.0.1:{layout.port}/?query=select%201",
        headers={"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD},
    )
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(question, timeout=5) as answer:
            return bool(answer.read() == b"1\n")
        time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask by closing its input and by SIGTERM, then insist."""
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tail(log: Path, lines: int = 40) -> str:
    """The last lines of a log, without the engine's own stack and without what it says twice."""
    text = log.read_text(errors="replace").splitlines()
    return "\n".join([line for line in text if not _NOISE.match(line)][-lines:])

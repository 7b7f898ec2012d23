"""The one place that makes clients: the embedded engine, or a server over HTTP(S)."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.project.errors import TreehouseError
from treehouse.project.files import keep_private
from treehouse.project.settings import ROOT, Settings, profile
from udfs.build import build
from udfs.network import pack

_CONFIG = """\
<clickhouse>
  <!-- Rendered by training/treehouse/clickhouse/client.py at each start; edits are lost. -->
  <user_scripts_path>{home}/user_scripts</user_scripts_path>
  <user_defined_executable_functions_config>{udfs}/*_function.xml\
</user_defined_executable_functions_config>
  <max_server_memory_usage>{memory}</max_server_memory_usage>
  <mark_cache_size>268435456</mark_cache_size>
  <!-- What the use cases on the engine itself learn from. A server keeps both by default; here
       they are gone with the process, which has to collect before it ends. -->
  <query_log>
    <database>system</database>
    <table>query_log</table>
  </query_log>
  <part_log>
    <database>system</database>
    <table>part_log</table>
  </part_log>
{volumes}</clickhouse>
"""
VOLUMES = """\
  <!-- Volumes for `treehouse tier`, all on this machine. The first is the default policy's, so that
       a table may change over: alter table ... modify setting storage_policy = 'tiered'. -->
  <storage_configuration>
    <disks>
      <warm><path>{folder}/volumes/warm/</path></warm>
      <cold><path>{folder}/volumes/cold/</path></cold>
    </disks>
    <policies>
      <tiered>
        <volumes>
          <default><disk>default</disk></default>
          <warm><disk>warm</disk></warm>
          <cold><disk>cold</disk></cold>
        </volumes>
        <move_factor>0</move_factor>
      </tiered>
    </policies>
  </storage_configuration>
"""
"""Part of an engine's configuration: three volumes, two of them below `folder`."""
# The driver tells of a failed request by itself, and then raises; we tell of it once.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())
_READ_ONLY = {"readonly": 2}  # and settings, such as limits, may be given
_FUNCTIONS = str(ROOT / "udfs")
_locks: dict[Path, TextIO] = {}


def query_settings(settings: Settings) -> dict[str, Any]:
    """Settings of every query: bounded memory with spilling, and tables created as asked."""
    half = settings.memory_bytes // 2
    return {
        "max_memory_usage": settings.memory_bytes * 9 // 10,
        "max_bytes_before_external_group_by": half,
        "max_bytes_before_external_sort": half,
        "join_algorithm": "direct,parallel_hash,grace_hash",
    }


def connect(settings: Settings) -> Client:
    """A client of the settings' target, checked to answer.

    Raises:
        TreehouseError: The engine is held by another process, or is not there.
    """
    if settings.target == "embedded":
        return connect_embedded(settings)
    return connect_server(settings)


def connect_embedded(
    settings: Settings, extra: dict[str, Any] | None = None, functions: str = _FUNCTIONS
) -> Client:
    """A handle of the engine inside this process; handles of one process run in parallel.

    Args:
        settings: Whose `home` holds the data.
        extra: Further query settings.
        functions: Folder with the declarations of executable functions.
    """
    keep_private(settings.home)
    _hold(settings.home)
    config = _prepare_home(settings, functions)
    return clickhouse_connect.get_client(
        interface="chdb",
        path=str(settings.data),
        chdb_options={"config-file": str(config)},
        settings=query_settings(settings) | (extra or {}),
        query_limit=0,
    )


@contextmanager
def throwaway(settings: Settings) -> Iterator[tuple[Client, Settings]]:
    """An embedded engine that only reads files: it holds no home folder and leaves nothing behind.

    Args:
        settings: Whose memory bounds it.

    Returns:
        A client, and the settings that go with it.
    """
    with TemporaryDirectory(prefix="treehouse-") as folder:
        own = replace(settings, target="embedded", home=Path(folder))
        config = own.home / "config.xml"
        limit = f"<max_server_memory_usage>{own.memory_bytes}</max_server_memory_usage>"
        config.write_text(f"<clickhouse>{limit}</clickhouse>")
        client = clickhouse_connect.get_client(
            interface="chdb",
            path=str(own.data),
            chdb_options={"config-file": str(config)},
            settings=query_settings(own),
        )
        try:
            yield client, own
        finally:
            client.close()


def connect_reader(settings: Settings, user: str = "") -> Client:
    """A client that can only read: of another user of the server, or of the same.

    Args:
        settings: Of the target; the embedded engine has but one user.
        user: Whose password is in CLICKHOUSE_PASSWORD_<USER>; "" for the one of `connect`.

    Raises:
        TreehouseError: The engine is not there, or refuses the user.
    """
    if settings.target == "embedded":
        return connect_embedded(settings, _READ_ONLY)
    if not user:
        return connect_server(settings, _READ_ONLY)
    password = os.environ.get("CLICKHOUSE_PASSWORD_" + re.sub(r"\W", "_", user).upper(), "")
    return connect_server(settings, _READ_ONLY, {"user": user, "password": password})


def connect_server(
    settings: Settings,
    extra: dict[str, Any] | None = None,
    login: dict[str, str] | None = None,
) -> Client:
    """A client of the server that `server_profile` names.

    Args:
        settings: Whose memory bound queries get.
        extra: Further query settings.
        login: Another user and password.
    """
    server = server_profile() | (login or {})
    where = f"{server['host']}:{server['port']}"
    try:
        return clickhouse_connect.get_client(
            host=server["host"],
            port=int(server["port"]),
            username=server["user"],
            password=server["password"],
            secure=str(server["secure"]).lower() == "true",
            settings=query_settings(settings) | (extra or {}),
            autogenerate_session_id=False,
            send_receive_timeout=3600,
            query_limit=0,
            client_name="treehouse",
        )
    except ClickHouseError as error:
        raise TreehouseError(
            f"No ClickHouse answers at {where}.",
            value=str(error).splitlines()[0],
            expected="a ClickHouse server with its HTTP port open to this user",
            fix="set CLICKHOUSE_URL=http://user:password@host:8123, or leave --target server away "
            "to use the embedded engine",
        ) from error


def server_profile() -> dict[str, Any]:
    """Connection parameters of `--target server`: CLICKHOUSE_URL, else profiles.yml."""
    export_url()
    return profile("server")


def export_url() -> None:
    """Split CLICKHOUSE_URL into the variables that profiles.yml reads."""
    url = os.environ.get("CLICKHOUSE_URL")
    if not url:
        return
    try:
        parts = urlsplit(url)
        port = parts.port
        # One that stands further behind belongs to a password with a character of another meaning.
        is_readable = (
            parts.scheme in ("http", "https")
            and parts.hostname
            and "@" not in parts.path + parts.query + parts.fragment
        )
    except ValueError:  # brackets or a port that make no sense
        is_readable = False
    if not is_readable:
        raise TreehouseError(
            "CLICKHOUSE_URL could not be read.",
            value=_without_secret(url),
            expected="http://user:password@host:8123 or https://user:password@host:8443",
            fix="write / ? # @ % and : in a password as %2F %3F %23 %40 %25 and %3A",
        )
    secure = parts.scheme == "https"
    os.environ["CLICKHOUSE_HOST"] = parts.hostname or ""
    os.environ["CLICKHOUSE_PORT"] = str(port or (8443 if secure else 8123))
    os.environ["CLICKHOUSE_SECURE"] = str(secure)
    if parts.username:
        os.environ["CLICKHOUSE_USER"] = unquote(parts.username)
    if parts.password:
        os.environ["CLICKHOUSE_PASSWORD"] = unquote(parts.password)


def _without_secret(url: str) -> str:
    """An address as a message may show it, however it was mistyped."""
    scheme, separator, rest = url.rpartition("://")
    shown = re.split("[/?#]", rest.rpartition("@")[2])[0]
    if "@" in rest:
        return f"{scheme}{separator}***@{shown}"
    is_plain = re.fullmatch(r"[\w.-]*(:\w{0,6})?", rest)
    return url if is_plain else f"{scheme}{separator}***"


def run_script(
    client: Client, statements: str | Iterable[str], settings: dict[str, Any] | None = None
) -> None:
    """Run statements separated by `;` at a line's end, one after the other."""
    if isinstance(statements, str):
        statements = statements.split(";\n")
    for statement in statements:
        if statement.strip():
            client.command(statement.strip().removesuffix(";"), settings=settings)


def literal(value: str) -> str:
    """A string as a SQL literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(name: str) -> str:
    """A name, quoted for SQL."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def row_hash(columns: Iterable[str], function: str = "cityHash64", key: str = "") -> str:
    """SQL of a UInt64 of several columns' SQL that is never null; some functions take a key.

    A hash of a null is null, and aggregates leave that row out; a tuple of nulls has a hash, which
    is that of its parts where none is null.
    """
    return f"{function}({f'{key}, ' if key else ''}tuple({', '.join(columns)}))"


def _hold(home: Path) -> None:
    """Take the home folder for this process: chDB itself only says `Code: 36`."""
    if home in _locks:
        return
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "lock").open("a+")
    except OSError as error:
        raise TreehouseError(
            "The home folder can't be written.",
            value=f"{home}: {error.strerror}",
            expected="a folder that this user may write to",
            fix="set TREEHOUSE_HOME to another folder",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip() or "another process"
        number = re.match(r"process (\d+) ", holder)
        stop = f": kill {number[1]}" if number else ""
        lock.close()
        raise TreehouseError(
            "The embedded engine's data is in use.",
            value=f"{home} is held by {holder}",
            expected="one process at a time on the embedded engine",
            fix=f"wait for it or stop it{stop}; or set TREEHOUSE_HOME to another folder; "
            "for many users at once use a server: --target server",
        ) from error
    lock.seek(0)
    lock.truncate()
    now = datetime.now(UTC)
    lock.write(f"process {os.getpid()} ({command()}) since {now:%Y-%m-%d %H:%M:%S} UTC\n")
    lock.flush()
    _locks[home] = lock


def command() -> str:
    """What this process was called for; no further word of it, which may be a statement."""
    words = [word for word in sys.argv[1:] if re.fullmatch("[a-z]+", word)]
    return " ".join([Path(sys.argv[0]).name, *words[:1]])


def _prepare_home(settings: Settings, functions: str) -> Path:
    """Lay out the home folder: scorer, folder of model files, configuration."""
    scripts = settings.home / "user_scripts"
    scripts.mkdir(parents=True, exist_ok=True)
    (settings.home / "user_files" / "treehouse").mkdir(parents=True, exist_ok=True)
    built = build()
    scorer = scripts / built.name
    if not scorer.exists() or scorer.stat().st_mtime_ns != built.stat().st_mtime_ns:
        fresh = scorer.with_suffix(".new")
        shutil.copy2(built, fresh)
        fresh.replace(scorer)
    pack.write(scripts / pack.NAME, [sys.executable])
    for program in (scorer, scripts / pack.NAME):
        program.chmod(0o700)
    config = settings.home / "config.xml"
    text = _CONFIG.format(
        home=settings.home,
        udfs=functions,
        memory=settings.memory_bytes,
        volumes=VOLUMES.format(folder=settings.home),
    )
    if not config.exists() or config.read_text() != text:
        config.write_text(text)
    return config


def release(settings: Settings) -> None:
    """Give the home folder back to other processes; close all clients first."""
    lock = _locks.pop(settings.home, None)
    if lock:
        with suppress(OSError):
            lock.close()

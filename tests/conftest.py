"""Engines for the tests: one embedded engine and one server for the whole run.

`settings`, `client` are the embedded engine; `server` is the server; `engine` is both in turn, and
`fresh` is the same, emptied for each module. `run_cli` runs the command line in a process of its
own. What needs a server fails without one; `-m "not server"` leaves those tests out.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before a booster's library is loaded: see training/treehouse/__main__.py.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from xdist.scheduler import LoadFileScheduling

from tests.support import warm_cli
from tests.support.cleaning import drop_everything, forget_queries, treehouse_databases
from tests.support.engine_library import ServerUnavailableError
from tests.support.house import parsed
from tests.support.server import Server, running_server, tail
from treehouse.clickhouse.client import connect_embedded, connect_server, release
from treehouse.project.settings import ROOT, Settings

_ENVIRONMENT = dict(os.environ)
_SERVER_LOG = pytest.StashKey[Path]()
Cli = Callable[..., subprocess.CompletedProcess[str]]
TARGETS = (
    pytest.param("embedded", marks=pytest.mark.embedded),
    pytest.param("server", marks=pytest.mark.server),
)


@dataclass(frozen=True)
class Engine:
    """An engine under test, as Treehouse's own user sees it."""

    settings: Settings
    client: Client

    @property
    def target(self) -> str:
        """Embedded or server."""
        return self.settings.target


@dataclass(frozen=True)
class RunningServer(Engine):
    """The server under test; `admin` may do everything and is None for somebody else's server."""

    url: str
    origin: Server
    admin: Client | None


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--slow`: the tests of minutes as well; `--exhaustive`: those of most of an hour."""
    parser.addoption("--slow", action="store_true", help="run the slow tests as well")
    parser.addoption("--exhaustive", action="store_true", help="run every case of all tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test's folder says which engine it needs; long tests are left out unless asked for.

    What is the same on both engines runs on the embedded one in the usual run, on the server with
    --slow, and on both with --exhaustive or where a test is marked `both`.
    """
    left_out = {item for item in items if item.get_closest_marker("exhaustive")}
    slow = {item for item in items if item.get_closest_marker("slow")}
    again = _on_both(items)
    both = {item for item in items if item.get_closest_marker("both")}
    if config.getoption("--exhaustive"):
        left_out = set()
    elif config.getoption("--slow"):
        left_out |= again.keys() - both
    else:
        left_out |= slow | {*again.values()}
    config.hook.pytest_deselected(items=list(left_out))
    # Files with slow ones first: of several processes, none should be left alone with them. Within
    # a file the order stays, by which tests share what is made for a module.
    files = {item.path for item in slow}
    kept = (item for item in items if item not in left_out)
    items[:] = sorted(kept, key=lambda item: item.path not in files)
    for item in items:
        if _folder(item) in ("embedded", "server") and not item.get_closest_marker("server"):
            item.add_marker(_folder(item))


def _on_both(items: Iterable[pytest.Item]) -> dict[pytest.Item, pytest.Item]:
    """Each test of the embedded engine that runs on the server as well, and that one."""
    by_name = {item.nodeid: item for item in items}
    found = {}
    for name, item in by_name.items():
        test, bracket, case = name.partition("[")
        twin = test + bracket + re.sub(r"\bserver\b", "embedded", case)
        if twin != name and twin in by_name:
            found[by_name[twin]] = item
    return found


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).parts[0]


class _FileOrPackage(LoadFileScheduling):
    """A file's tests go to one process; a package's, where its fixtures are the package's."""

    def _split_scope(self, nodeid: str) -> str:
        package = "tests/automation/"
        return package if nodeid.startswith(package) else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Where files are asked for, these; else what xdist has."""
    return _FileOrPackage(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the server wrote when a test that uses it fails."""
    report = yield
    uses_server = "server" in getattr(item, "fixturenames", ()) or item.get_closest_marker("server")
    log = item.config.stash.get(_SERVER_LOG, None)
    if report.failed and uses_server and log:
        report.sections.append(("ClickHouse server log", tail(log)))
    return report


@pytest.fixture(scope="session", autouse=True)
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """No test sees the user's home folder, server or target."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _ENVIRONMENT:
            if name.startswith(("CLICKHOUSE_", "TREEHOUSE_", "DBT_")):
                patch.delenv(name)
        for name in ("HOST", "PORT", "SECURE", "USER", "PASSWORD", "URL"):
            patch.delenv(f"CLICKHOUSE_{name}", raising=False)
        patch.setenv("TREEHOUSE_HOME", str(tmp_path_factory.mktemp("treehouse") / "home"))
        # A third of dbt's time goes into files that nobody reads here.
        patch.setenv("DBT_WRITE_JSON", "false")
        patch.setenv("DBT_LOG_LEVEL_FILE", "none")
        yield patch


@pytest.fixture(scope="session")
def settings() -> Settings:
    """Settings of the embedded engine, in a home folder of its own."""
    return Settings.from_environment("embedded")


@pytest.fixture(scope="session")
def client(settings: Settings) -> Iterator[Client]:
    """A handle of the embedded engine."""
    handle = connect_embedded(settings)
    yield handle
    handle.close()
    release(settings)


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    _own_surroundings: pytest.MonkeyPatch,
) -> Iterator[RunningServer]:
    """The server, as `--target server` finds it: CLICKHOUSE_URL is set from here on."""
    try:
        with running_server(tmp_path_factory.mktemp("server"), environment=_ENVIRONMENT) as found:
            if found.log:
                request.config.stash[_SERVER_LOG] = found.log
            _own_surroundings.setenv("CLICKHOUSE_URL", found.url)
            settings = Settings.from_environment("server")
            client = connect_server(settings)
            _refuse_to_drop(client, found)
            admin = clickhouse_connect.get_client(dsn=found.admin_url) if found.admin_url else None
            yield RunningServer(settings, client, found.url, found, admin)
            drop_everything(client)
            for handle in (client, admin):
                if handle:
                    handle.close()
    except ServerUnavailableError as error:
        pytest.fail(str(error), pytrace=False)


def _refuse_to_drop(client: Client, found: Server) -> None:
    """Tests drop Treehouse's databases: never on a server where somebody uses them."""
    databases = treehouse_databases(client)
    if found.data is None and databases:
        pytest.fail(
            f"The server at {found.origin} holds {', '.join(databases)}, which the tests would "
            "drop.\nPoint CLICKHOUSE_URL at a server without them, unset it for a private server, "
            "or drop them yourself.",
            pytrace=False,
        )


@pytest.fixture(
    scope="session",
    params=TARGETS,
)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    if request.param == "server":
        running: RunningServer = request.getfixturevalue("server")
        return running
    return Engine(request.getfixturevalue("settings"), request.getfixturevalue("client"))


@pytest.fixture(scope="module")
def fresh(engine: Engine) -> Engine:
    """Each engine in turn, without anything of Treehouse's at the start of the module."""
    drop_everything(engine.client)
    if client := engine.admin if isinstance(engine, RunningServer) else engine.client:
        forget_queries(client)
    return engine


@pytest.fixture(scope="session")
def run_cli(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """Runs the command line as a user does, in a process and a home folder of its own.

    `run_cli("models", "--json", target="server", check=False)`; by default all calls share one
    home folder, and a call that fails fails the test with what it wrote.
    """
    shared = tmp_path_factory.mktemp("cli") / "home"

    def run(
        *arguments: str,
        target: str = "embedded",
        home: Path = shared,
        cwd: Path = ROOT,
        check: bool = True,
        timeout: float = 900,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        if target == "server":
            request.getfixturevalue("server")
        own = {
            "TREEHOUSE_HOME": str(home),
            "TREEHOUSE_TARGET": target,
            "PYTHONPATH": str(ROOT),
            "DBT_PARTIAL_PARSE_FILE_PATH": parsed(target),
        }
        surroundings = os.environ | {"COLUMNS": "120", "NO_COLOR": "1"} | own | environment
        done = warm_cli.run(arguments, cwd, surroundings, timeout)
        if check and done.returncode:
            pytest.fail(
                f"treehouse {' '.join(arguments)} ended with {done.returncode}\n"
                f"{done.stdout}\n{done.stderr}"
            )
        return done

    return run

"""dbt on its own, from a checkout, and through `treehouse dbt`, on both targets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.conftest import TARGETS, Cli, RunningServer
from tests.support.cleaning import drop_everything
from treehouse.project.settings import ROOT

pytestmark = pytest.mark.slow

Dbt = Callable[..., subprocess.CompletedProcess[str]]
_DBT = str(Path(sys.executable).with_name("dbt"))


@pytest.fixture(
    scope="module",
    params=TARGETS,
)
def target(request: pytest.FixtureRequest) -> str:
    """Each target in turn, without anything of Treehouse's."""
    if request.param == "server":
        drop_everything(request.getfixturevalue("server").client)
    return str(request.param)


def _variables(request: pytest.FixtureRequest, target: str) -> dict[str, str]:
    """What a person sets who does without the command line."""
    if target == "embedded":
        return {}
    server: RunningServer = request.getfixturevalue("server")
    parts = urlsplit(server.url)
    return {
        "TREEHOUSE_TARGET": "server",
        "CLICKHOUSE_HOST": parts.hostname or "",
        "CLICKHOUSE_PORT": str(parts.port),
        "CLICKHOUSE_SECURE": str(parts.scheme == "https"),
        "CLICKHOUSE_USER": unquote(parts.username or "default"),
        "CLICKHOUSE_PASSWORD": unquote(parts.password or ""),
    }


def test_build_passes_before_anything_is_loaded_or_trained(
    request: pytest.FixtureRequest, target: str, tmp_path: Path
) -> None:
    """test_empty_house.py builds all; DBT_..._PATH keep this run's files out of the checkout."""
    unset = ("CLICKHOUSE_", "TREEHOUSE_", "DBT_")
    inherited = {n: value for n, value in os.environ.items() if not n.startswith(unset)}
    own = {
        "TREEHOUSE_HOME": str(tmp_path / "home"),
        "DBT_TARGET_PATH": str(tmp_path / "target"),
        "DBT_LOG_PATH": str(tmp_path / "logs"),
    }
    done = subprocess.run(
        [_DBT, "--no-use-colors", "build", "--select", "+path:models/ltv", "path:models/registry"],
        cwd=ROOT,
        env=inherited | own | _variables(request, target),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Completed successfully" in done.stdout, done.stdout[-3000:]
    assert "ERROR=0 SKIP=0" in done.stdout


def test_treehouse_dbt_passes_arguments_on(run_cli: Cli, target: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "All checks passed!" in run_cli("dbt", "debug", target=target, home=home).stdout
    shown = run_cli(
        "dbt", "--no-use-colors", "compile", "--select", "ltv_scores", target=target, home=home,
        cwd=tmp_path,
    )  # fmt: skip
    assert re.search(r"predict_ltv_full\(\W?d1_sessions\b", shown.stdout)
    failed = run_cli("dbt", "run", "--no-such-option", target=target, home=home, check=False)
    assert failed.returncode != 0
    assert "--no-such-option" in failed.stdout + failed.stderr

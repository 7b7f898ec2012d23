"""The command line in a process of its own that need not load what all commands load.

Loading dbt and the boosters takes as long as most commands: a server of forks has them loaded.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

#: Without threads of their own, which no fork copies; the engine has some.
_LOADED = (
    "clickhouse_connect", "dbt.adapters.clickhouse", "dbt.cli.main", "lightgbm", "pandas",
    "scipy.stats", "sklearn.ensemble", "sqlglot", "treehouse.cli.main", "typer.rich_utils",
)  # fmt: skip
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([*_LOADED])


def run(
    arguments: tuple[str, ...], cwd: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """`python -m treehouse` with these arguments; nothing to read from, what it wrote as text.

    Args:
        environment: All variables that it sees.
        timeout: Seconds.

    Raises:
        subprocess.TimeoutExpired: It took longer, and is dead.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = _FORKS.Process(
            target=_become, args=(arguments, cwd, dict(environment), _umask(), out, err)
        )
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, timeout, _read(out), _read(err))
        code = process.exitcode
        assert code is not None
        return subprocess.CompletedProcess(arguments, code, _read(out), _read(err))


def _become(
    arguments: tuple[str, ...],
    cwd: Path,
    environment: dict[str, str],
    umask: int,
    out: Path,
    err: Path,
) -> None:
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.umask(umask)
    os.chdir(cwd)
    sys.argv = ["treehouse", *arguments]
    try:
        runpy.run_module("treehouse", run_name="__main__", alter_sys=True)
    finally:  # a child of multiprocessing leaves without
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()


def _umask() -> int:
    os.umask(now := os.umask(0))
    return now


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""

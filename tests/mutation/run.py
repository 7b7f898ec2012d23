"""Tries mutants on copies of the tree, some at a time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from tests.mutation.mutants import Mutant

_LEAST_SECONDS = 60.0
_SLOWER = 10.0
"""Tests of a mutant may take as many times as those of the tree as it is: a loop may not end."""


class BaselineError(Exception):
    """The tests fail without any error put in."""


@dataclass(frozen=True)
class Result:
    """What became of a mutant."""

    mutant: Mutant
    is_caught: bool
    how: str


def try_all(
    root: Path,
    mutants: Sequence[Mutant],
    jobs: int,
    told: Callable[[int, Result], None] = lambda *_: None,
) -> list[Result]:
    """Each mutant with its target's tests.

    Args:
        root: The project.
        mutants: What to try.
        jobs: How many at a time, each on a copy of its own.
        told: Called with the number done so far and the newest result.

    Raises:
        BaselineError: Tests fail on the tree as it is.
    """
    with _copies(root, jobs) as copies, ThreadPoolExecutor(jobs) as pool:
        targets = {mutant.target.name: mutant.target for mutant in mutants}
        seconds = dict(
            zip(targets, pool.map(lambda t: _baseline(copies, t.tests), targets.values()),
                strict=True)
        )  # fmt: skip
        results: list[Result] = []

        def one(mutant: Mutant) -> Result:
            limit = max(_LEAST_SECONDS, _SLOWER * seconds[mutant.target.name])
            return _try_one(copies, mutant, limit)

        for result in pool.map(one, mutants):
            results.append(result)
            told(len(results), result)
    return results


@contextmanager
def _copies(root: Path, jobs: int) -> Iterator[Queue[Path]]:
    """Copies of what git knows, and of what was built."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, check=True, capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    built = [str(p.relative_to(root)) for p in (root / "udfs" / "bin").glob("*")]
    copies: Queue[Path] = Queue()
    with tempfile.TemporaryDirectory(prefix="treehouse-mutants-") as folder:
        for job in range(jobs):
            copy = Path(folder) / str(job)
            for name in filter(None, (*listed, *built)):
                if (root / name).is_file():
                    (copy / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(root / name, copy / name)
            copies.put(copy)
        yield copies


def _baseline(copies: Queue[Path], tests: Sequence[str]) -> float:
    """Seconds that the tests take as they are."""
    copy = copies.get()
    try:
        started = time.monotonic()
        code, said = _pytest(copy, tests, 1800)
        if code:
            raise BaselineError(f"pytest {' '.join(tests)}\n{said}")
        return time.monotonic() - started
    finally:
        copies.put(copy)


def _try_one(copies: Queue[Path], mutant: Mutant, limit: float) -> Result:
    copy = copies.get()
    path = copy / mutant.file
    kept = path.read_text()
    try:
        path.write_text(mutant.content)
        code, said = _pytest(copy, mutant.target.tests, limit)
    finally:
        path.write_text(kept)
        copies.put(copy)
    failed = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))]
    how = failed[0] if failed else "took too long" if code is None else "exit code " + str(code)
    return Result(mutant, code != 0, how)


def _pytest(copy: Path, tests: Sequence[str], limit: float) -> tuple[int | None, str]:
    """Exit code, None after too long, and what was said. The whole group of processes ends."""
    own = {"TREEHOUSE_HOME": str(copy / ".treehouse"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:xdist",
               "-p", "no:cacheprovider", *tests]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=copy, env=os.environ | own, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=limit)
        return process.returncode, said
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, ""

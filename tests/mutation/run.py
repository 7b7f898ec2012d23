"""Tries mutants on copies of the tree, some at a time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from tests.mutation.mutants import Mutant

TOO_LONG = "took too long"
_WARM = Path(__file__).with_name("warm.py")
_LEAST_SECONDS = 60.0
_SLOWER = 10.0
"""Tests of a mutant may take as many times as those of the tree as it is: a loop may not end."""
_WAITS = 600.0
"""Seconds by the clock, at least: the limit proper is of the processor's time, since a busy machine
would otherwise pass for an error that was caught."""


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
        found = pool.map(lambda t: _baseline(copies, t.tests), targets.values())
        baselines = dict(zip(targets, found, strict=True))
        results: list[Result] = []

        def one(mutant: Mutant) -> Result:
            return _try_one(copies, mutant, baselines[mutant.target.name])

        for result in pool.map(one, mutants):
            results.append(result)
            told(len(results), result)
    return results


@dataclass(frozen=True)
class _Run:
    """How pytest ended: exit code, None after too long; what it said; seconds by both clocks."""

    code: int | None
    said: str
    cpu_seconds: float
    seconds: float
    libraries: list[str]


class _Copy:
    """A copy of the tree, with a process that runs its tests: see `warm.py`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        own = {"TREEHOUSE_HOME": str(path / ".treehouse"), "OMP_WAIT_POLICY": "passive"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_WARM)], cwd=path, env=os.environ | own, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def pytest(
        self, tests: Sequence[str], cpu_seconds: float, seconds: float, libraries: Sequence[str]
    ) -> _Run:
        """Run tests, with libraries that are loaded already."""
        said, loaded = (self.path.with_suffix(end) for end in (".said", ".loaded"))
        loaded.write_text("[]")
        arguments = ["-x", "-q", "--tb=no", "-p", "no:xdist", "-p", "no:cacheprovider",
                     "-W", "ignore::pytest.PytestAssertRewriteWarning", *tests]  # fmt: skip
        request = {
            "arguments": arguments, "said": str(said), "loaded": str(loaded),
            "libraries": [*libraries], "keeps_bytecode": not libraries,
            "cpu_seconds": cpu_seconds, "seconds": seconds,
        }  # fmt: skip
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        shutil.rmtree(self.path / ".hypothesis", ignore_errors=True)  # of another error's failures
        return _Run(**answer, said=said.read_text(), libraries=json.loads(loaded.read_text()))

    def end(self) -> None:
        """End the process, which runs nothing now."""
        self._process.communicate()


@contextmanager
def _copies(root: Path, jobs: int) -> Iterator[Queue[_Copy]]:
    """Copies of what git knows, and of what was built."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, check=True, capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    built = [str(p.relative_to(root)) for p in (root / "udfs" / "bin").glob("*")]
    copies: Queue[_Copy] = Queue()
    with tempfile.TemporaryDirectory(prefix="treehouse-mutants-") as folder:
        for job in range(jobs):
            copy = Path(folder) / str(job)
            for name in filter(None, (*listed, *built)):
                if (root / name).is_file():
                    (copy / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(root / name, copy / name)
            copies.put(_Copy(copy))
        try:
            yield copies
        finally:
            for copied in [copies.get() for _ in range(jobs)]:
                copied.end()


def _baseline(copies: Queue[_Copy], tests: Sequence[str]) -> _Run:
    """The tests as they are."""
    copy = copies.get()
    try:
        run = copy.pytest(tests, 1800, 3600, ())
    finally:
        copies.put(copy)
    if run.code != 0:
        raise BaselineError(f"pytest {' '.join(tests)}\n{run.said}")
    return run


def _try_one(copies: Queue[_Copy], mutant: Mutant, baseline: _Run) -> Result:
    copy = copies.get()
    path = copy.path / mutant.file
    kept = path.read_text()
    try:
        path.write_text(mutant.content)
        os.utime(path, (0, 0))  # its time and size may else be those of the bytecode
        run = copy.pytest(
            mutant.target.tests,
            max(_LEAST_SECONDS, _SLOWER * baseline.cpu_seconds),
            max(_WAITS, _SLOWER * baseline.seconds),
            baseline.libraries,
        )
    finally:
        path.write_text(kept)
        copies.put(copy)
    failed = [line for line in run.said.splitlines() if line.startswith(("FAILED", "ERROR"))]
    how = f"exit code {run.code}" if run.code is not None else TOO_LONG
    return Result(mutant, run.code != 0, failed[0] if failed else how)

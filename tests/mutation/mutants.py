"""A deliberate error in a file, and where they come from."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.python import python_mutants
from tests.mutation.sql import sql_mutants

TARGETS = Path(__file__).with_name("targets.toml")


@dataclass(frozen=True)
class Target:
    """Files that are changed, and what must notice.

    Attributes:
        name: Of the group, for the command line.
        files: Paths from the project's root.
        tests: Arguments for pytest.
        equivalent: Mutants that change no answer, as `<file>: <line that results>`, with the
            reason as the value. They are not tried.
    """

    name: str
    files: tuple[str, ...]
    tests: tuple[str, ...]
    equivalent: dict[str, str]


@dataclass(frozen=True)
class Mutant:
    """One error.

    Attributes:
        target: What it belongs to.
        file: Path from the project's root.
        line: The first line that differs, counted from 1.
        was: That line.
        now: The same line with the error.
        content: The whole file with the error.
    """

    target: Target
    file: str
    line: int
    was: str
    now: str
    content: str


def read_targets(path: Path = TARGETS) -> list[Target]:
    """The groups of `targets.toml`."""
    found = tomllib.loads(path.read_text())["target"]
    return [
        Target(t["name"], tuple(t["files"]), tuple(t["tests"]), dict(t.get("equivalent", {})))
        for t in found
    ]


def mutants_of(target: Target, root: Path) -> Iterator[Mutant]:
    """Every error in the files of a target, each content once."""
    for file in target.files:
        source = (root / file).read_text()
        make = python_mutants if file.endswith(".py") else sql_mutants
        seen = {source}
        for content in make(source):
            if content in seen:
                continue
            seen.add(content)
            mutant = _mutant(target, file, source, content)
            if f"{file}: {mutant.now.strip()}" not in target.equivalent:
                yield mutant


def sample(targets: Sequence[Target], root: Path, size: int, seed: int) -> list[Mutant]:
    """Some mutants: from each file as many as its share of all, drawn by a seed; 0 takes all."""
    pool = [mutant for target in targets for mutant in mutants_of(target, root)]
    if not size or size >= len(pool):
        return pool
    chosen = random.Random(seed).sample(pool, size)
    return sorted(chosen, key=lambda m: (m.file, m.line))


def _mutant(target: Target, file: str, source: str, content: str) -> Mutant:
    before, after = source.splitlines(), content.splitlines()
    pairs = enumerate(zip(before, after, strict=False), 1)
    line, (was, now) = next(pair for pair in pairs if pair[1][0] != pair[1][1])
    return Mutant(target, file, line, was, now, content)

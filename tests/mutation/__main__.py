"""The command line: which targets, how many mutants, what became of them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.mutation.mutants import read_targets, sample
from tests.mutation.run import TOO_LONG, BaselineError, Result, try_all

ROOT = Path(__file__).parents[2]
_ENOUGH = 0.95
_TOLD_EACH = 10


def main() -> int:
    """Exit code 1 if fewer than 95 % of a group are caught, 2 if the tests fail by themselves."""
    targets = read_targets()
    names = [target.name for target in targets]
    parser = argparse.ArgumentParser(
        prog="./treehouse mutate",
        description="Put deliberate errors into the code, one at a time, on a copy of the tree, "
        "and see which the tests miss.",
        epilog="example: ./treehouse mutate fit gates --sample 40",
    )
    parser.add_argument("target", nargs="*", help=f"of {', '.join(names)}; all by default")
    parser.add_argument("--sample", type=int, default=120, help="how many errors; 0: every one")
    parser.add_argument("--seed", type=int, default=1, help="which ones are drawn")
    parser.add_argument("--jobs", type=int, default=0, help="at a time; 0: one a core")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    given = parser.parse_args()
    if unknown := set(given.target) - set(names):
        parser.error(f"unknown: {', '.join(unknown)}; expected some of {', '.join(names)}")
    chosen = [target for target in targets if target.name in (given.target or names)]
    mutants = sample(chosen, ROOT, given.sample, given.seed)
    console = Console(highlight=False, markup=False, soft_wrap=True, stderr=given.json)
    with console.status("the tests as they are") as status:

        def told(done: int, result: Result) -> None:
            status.update(f"{done} of {len(mutants)} errors tried")
            if not console.is_terminal and done % _TOLD_EACH == 0:
                console.print(f"{done} of {len(mutants)} errors tried")
            if not result.is_caught:
                _show(console, result)

        try:
            results = try_all(ROOT, mutants, given.jobs or os.cpu_count() or 1, told)
        except BaselineError as error:
            console.print(f"The tests fail without any error put in:\n{error}")
            return 2
    if given.json:
        print(json.dumps(_as_json(results)))
    shares = [_told_share(console, target.name, results) for target in chosen]
    return int(min(shares) < _ENOUGH)


def _told_share(console: Console, name: str, results: Sequence[Result]) -> float:
    """Of a group's errors those that were caught: a weak group must not hide among others."""
    own = [result for result in results if result.mutant.target.name == name]
    caught = sum(result.is_caught for result in own)
    slow = sum(result.how == TOO_LONG for result in own)
    share = caught / max(len(own), 1)
    ended = f", {slow} of them because the tests took too long" if slow else ""
    console.print(f"{name}: {caught} of {len(own)} errors were caught: {share:.1%}{ended}")
    return share if own else 1.0


def _as_json(results: Sequence[Result]) -> dict[str, Any]:
    missed = [result.mutant for result in results if not result.is_caught]
    return {
        "tried": len(results),
        "caught": len(results) - len(missed),
        "missed": [{"file": m.file, "line": m.line, "was": m.was, "now": m.now} for m in missed],
    }


def _show(console: Console, result: Result) -> None:
    mutant = result.mutant
    console.print(f"missed: {mutant.file}:{mutant.line}")
    console.print(f"  - {mutant.was.strip()}\n  + {mutant.now.strip()}")


if __name__ == "__main__":
    sys.exit(main())

"""Every command once, as a user with no more than the least role that it needs.

A command that is added belongs into STEPS, or into LEFT_OUT with the reason; docs/roles.md says the
same roles to people, and tests/server/test_roles.py compares the three.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import typer.main

from treehouse.cli.main import app


@dataclass(frozen=True)
class Step:
    """One call of a command.

    Attributes:
        role: The least one that may.
        text: What follows ./treehouse; `{folder}` is one for files.
        codes: Exit codes of a call that went well.
        changes: Whether the role before has to be refused. What only reads says to who may see less
            that there is less, and what has nothing to do asks for no right.
    """

    role: str
    text: str
    codes: tuple[int, ...] = (0,)
    changes: bool = False

    @property
    def command(self) -> str:
        """Its words without arguments, as `commands` has them."""
        words = shlex.split(self.text)
        longest = range(len(words), 0, -1)
        return next(name for n in longest if (name := " ".join(words[:n])) in commands())


@cache
def commands() -> frozenset[str]:
    """Every command that the command line has, by its words."""
    return frozenset(_leaves(typer.main.get_command(app), ""))


def _leaves(command: Any, path: str) -> Iterator[str]:
    below = getattr(command, "commands", {})
    if path and (not below or command.invoke_without_command):
        yield path.strip()
    for name, one in below.items():
        yield from _leaves(one, f"{path} {name}")


def _of(role: str, *texts: str, **more: Any) -> tuple[Step, ...]:
    return tuple(Step(role, text, **more) for text in texts)


_FRESHNESS = '"purchase_value/freshness/newest row"'
# Data that was as old when its model was published raises none by itself.
_RAISE = (
    'sql "insert into treehouse_registry.alert_events (alert, model, version, kind, name, event, '
    "severity) values ('purchase_value/freshness/newest row', 'purchase_value', 1, 'freshness', "
    "'newest row', 'open', 'warn')\""
)
_FORCE = "--force 'of the tests'"
STEPS = (
    *_of(
        "operator",
        "simulate --users 200",
        "profile purchases {folder}/purchases.csv",
        "load purchases {folder}/purchases.csv",
        "reconcile --repair",
        "workload run --hours 1 --sessions 1 --people 1 --scale 0.001",
        "collect",
        changes=True,
    ),
    *_of(  # tried in vain by others, dbt would have to parse the project for each of them
        "operator",
        "build -s +path:models/purchase_value -s path:models/registry -s path:models/experiments "
        "-s path:models/monitoring -s +stg_query_trace -s stg_events -s stg_installs",
        "dbt ls --select purchase_value_scores --log-level none",
        "doctor",
    ),
    *_of("trainer", "train purchase_value"),
    Step("operator", f"publish purchase_value --promote {_FORCE}", changes=True),
    Step("trainer", "tune purchase_value --trials 2", changes=True),
    *_of("trainer", "train purchase_value --tuned"),
    Step("operator", f"publish purchase_value {_FORCE}", changes=True),
    *_of("trainer", "models diff purchase_value 1 2"),
    *_of(
        "operator",
        "experiment start shade --shadow --model purchase_value --version treatment=2",
        "experiment start button --metric spend --share 0.5",
        "experiment grow button --share 0.9",
        "experiment expose button --from treehouse_raw.installs --unit user_id",
        changes=True,
    ),
    *_of(
        "dashboard",
        "experiment list",
        "experiment results button",
        "experiment shadow shade",
        "experiment plan --lift 0.1 --mean 0.3",
    ),
    *_of("operator", "experiment stop shade", "experiment stop button", changes=True),
    Step("operator", "monitor purchase_value", codes=(0, 1), changes=True),  # 1: alerts are open
    *_of(
        "operator",
        _RAISE,
        f"alerts ack {_FRESHNESS}",
        f"alerts resolve {_FRESHNESS}",
        "promote purchase_value 2",
        "rollback purchase_value",
        "retire purchase_value 2",
        "gc --keep 0 --yes",
        "sync",
        changes=True,
    ),
    *_of("dashboard", "alerts list --all", "models list", "sql 'select 1 as one'"),
    *_of(
        "analyst",
        "replay cache",
        "models show purchase_value",
        "report purchase_value --out {folder}/page.html",
        "explain purchase_value c0",
        "runs",
        "status",
    ),
    *_of("operator", "metrics", "cache plan", "cache undo --yes --drop"),
    *_of(
        "operator",
        "cache fill --yes",
        "cache log",
        "tier plan",
        "tier apply --yes --any-time",
        "tier undo --yes --any-time",
        "tier log",
        "simulate --users 100 --replace",
        changes=True,
    ),
)
_OF_DEVELOPERS = "measures or tests Treehouse itself, on an engine of the developer's own"
LEFT_OUT = {
    "demo": "calls simulate, load, build, train, publish and promote; tests/flow/test_demo.py runs "
    "it as the server's own user, who holds the operator's role alone",
    "retrain": "calls build, train, publish and promote; tests/automation runs it as that user",
    "prefetch": "tests/prefetch runs it as that user",
    "prefetch log": "tests/prefetch runs it as that user",
    "replay admission": "needs a promoted cache_admission; reads no more than replay cache and "
    "predict_cache_admission(), which every role may",
    "replay tiering": "takes long; reads a view as replay cache does, of stg_partition_trace",
    "install": "writes files, and asks no server",
    "functions": "reads the project's files, and asks no server",
    "test": _OF_DEVELOPERS,
    "mutate": _OF_DEVELOPERS,
}


def is_left_out(command: str) -> bool:
    """Whether a command is run as nobody here."""
    return command in LEFT_OUT or command.startswith("bench ")

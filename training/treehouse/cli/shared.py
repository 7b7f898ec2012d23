"""What the commands share: common arguments, a client, and showing what came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from treehouse.project import console
from treehouse.project.settings import Settings, give_vars

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON value on stdout, for scripts.")]


def _take_vars(context: typer.Context, text: str) -> str:
    """Let them hold before the command begins, in its settings too."""
    if text and not context.resilient_parsing:
        give_vars(text)
        context.obj = Settings.from_environment(context.obj.target)
    return text


Vars = Annotated[
    str,
    typer.Option(
        "--vars",
        metavar="YAML",
        callback=_take_vars,
        help="As dbt's, for this run: 'ltv_horizon_days: 30'. For good: TREEHOUSE_HOME/vars.yml.",
        show_default=False,
    ),
]
Model = Annotated[str, typer.Argument(help="Use case, for example ltv.")]
Newest = Annotated[int, typer.Option(min=1, help="The newest so many.")]
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}


def example(arguments: str) -> str:
    """The last line of a command's help: how it is called."""
    return "Example: ./treehouse " + escape(arguments)


@contextmanager
def client_of(settings: Settings) -> Iterator[Client]:
    """A client of the target, closed at the end."""
    from treehouse.clickhouse.client import connect

    client = connect(settings)
    try:
        yield client
    finally:
        client.close()


def place(settings: Settings) -> str:
    """Where the target's data is, for a question to a person."""
    return str(settings.home) if settings.target == "embedded" else "the server"


def show(values: Mapping[str, Any], json: bool) -> None:
    """One value a line, or one JSON object; what is empty is left out for people."""
    if json:
        console.show_json(dict(values))
        return
    for name, value in values.items():
        if value in ((), [], {}, ""):
            continue
        label = f"[bold]{escape(name.replace('_', ' '))}[/]:"
        if isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        if not isinstance(value, Mapping):
            console.out.print(f"{label} {console.cell(value)}")
            continue
        console.out.print(label)
        for part, text in value.items():
            console.out.print(f"  {escape(str(part).replace('_', ' '))}: {console.cell(text)}")


def show_rows(rows: Sequence[Mapping[str, Any]], json: bool = False, nothing: str = "") -> None:
    """A table under the names of the first row, or one JSON list; `nothing` if there is none."""
    if json:
        console.show_json(list(rows))
    elif rows:
        names = [name.replace("_", " ") for name in rows[0]]
        console.show_table(names, [[row.get(name) for name in rows[0]] for row in rows])
    elif nothing:
        console.out.print(nothing)

"""The whole way: the demo."""

from __future__ import annotations

from typing import Annotated

import typer

from treehouse.cli.shared import JsonFlag, example, place
from treehouse.project import console
from treehouse.project.settings import Settings

app = typer.Typer()


@app.command(rich_help_panel="The whole way", epilog=example("demo --only purchase_value"))
def demo(
    context: typer.Context,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Drop all that Treehouse holds, then start over.")
    ] = False,
    only: Annotated[list[str] | None, typer.Option(help="Only this use case; repeatable.")] = None,
    users: Annotated[int, typer.Option(help="Users of the simulated platform.")] = 100_000,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before --fresh.")] = False,
    json: JsonFlag = False,
) -> None:
    """Real purchases and a simulated platform: load, build, train, publish, predict in SQL.

    A model that a gate refuses is told, and the others go on; the exit code is then 1.
    """
    from treehouse.cli.demo_run import run_demo, show_demo

    settings: Settings = context.obj
    if fresh and not (yes or json):
        typer.confirm(f"Drop all that Treehouse holds on {place(settings)}?", abort=True)
    result = run_demo(settings, fresh=fresh, only=tuple(only or ()), users=users, quiet=json)
    console.show_json(result) if json else show_demo(result)
    if result["refused"]:
        raise typer.Exit(1)

"""The command line. Commands are thin: each calls one function and shows what it answers."""

from __future__ import annotations

import errno
import sys
import traceback
from typing import Annotated

import typer

from treehouse.cli import (
    bench,
    cache,
    data,
    experiments,
    load,
    monitor,
    prefetch,
    profile,
    replay,
    report,
    retrain,
    tier,
    tune,
    workload,
)
from treehouse.cli import (
    demo as whole,
)
from treehouse.cli import (
    models as versions,
)
from treehouse.cli import (
    setup as operate,
)
from treehouse.cli import (
    sql as look,
)
from treehouse.cli import (
    train as models,
)
from treehouse.project import console
from treehouse.project.errors import TreehouseError
from treehouse.project.files import keep_private
from treehouse.project.settings import Settings

_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
app = typer.Typer(
    name="treehouse",
    help="Tree models that live inside ClickHouse. Begin with: treehouse demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    whole,
    data,
    load,
    profile,
    models,
    versions,
    tune,
    retrain,
    report,
    monitor,
    look,
    operate,
    workload,
):
    app.add_typer(group.app)
app.add_typer(experiments.app, name="experiment", rich_help_panel="Models")
app.add_typer(replay.app, name="replay", rich_help_panel="The engine itself")
app.add_typer(cache.app, name="cache", rich_help_panel="The engine itself")
app.add_typer(prefetch.app, name="prefetch", rich_help_panel="The engine itself")
app.add_typer(tier.app, name="tier", rich_help_panel="The engine itself")
app.add_typer(bench.app, name="bench", rich_help_panel="Work on Treehouse")


@app.callback()
def options(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Option(help="embedded: the engine in this process. server: see CLICKHOUSE_URL."),
    ] = None,
) -> None:
    """Or by variables: TREEHOUSE_TARGET, TREEHOUSE_HOME, TREEHOUSE_MEMORY, CLICKHOUSE_URL."""
    context.obj = Settings.from_environment(target)
    keep_private(context.obj.home)


def main() -> None:
    """Run the command line; a mendable error becomes a message and exit code 2."""
    try:
        app(prog_name="./treehouse")
    except SystemExit as stop:
        if stop.code == 130:
            console.err.print("Interrupted; what was finished stays.")
        raise
    except Exception as error:
        known = _mendable(error)
        if known is None:  # a bug: Python's own report
            told = "".join(traceback.format_exception(error))
            console.err.print(told, markup=False, soft_wrap=True, end="")
            sys.exit(1)
        if "--json" in sys.argv:
            console.show_json(known.as_dict())
        console.err.print("[red]error:[/] ", end="")
        console.err.print(str(known), markup=False, soft_wrap=True)
        sys.exit(2)


def _mendable(error: Exception) -> TreehouseError | None:
    """The error as one to show without a stack trace, or None for a bug."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    if isinstance(error, TreehouseError):
        return error
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        return TreehouseError(
            "A file could not be written or read.",
            value=f"{error.filename}: {error.strerror}" if error.filename else error.strerror,
            expected="free space, and folders that this user may write to",
            fix="./treehouse doctor; TREEHOUSE_HOME names another folder",
        )
    if isinstance(error, ClickHouseError):
        # The engine's own code and text; its stack trace helps nobody here.
        return TreehouseError(str(error).split(", Stack trace")[0].strip())
    return None

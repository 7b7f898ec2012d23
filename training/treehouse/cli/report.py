"""A page about a model, for people who read no SQL."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from treehouse.cli.shared import JsonFlag, Model, client_of, example, show
from treehouse.project import console
from treehouse.project.files import write_whole
from treehouse.project.settings import Settings

app = typer.Typer()


@app.command(rich_help_panel="Models", epilog=example("report ltv --open"))
def report(
    context: typer.Context,
    model: Model,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write it; - for stdout.", show_default="in the home folder"),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    json: JsonFlag = False,
) -> None:
    """Write one HTML page about a model: how good it is, what moves it, how it fares."""
    from treehouse.report import write_page
    from treehouse.spec import load_spec

    settings: Settings = context.obj
    spec = load_spec(model)
    to_stdout = out is not None and str(out) == "-"
    with client_of(settings) as client, console.step(f"report {model}", json or to_stdout):
        page = write_page(client, settings, spec)
    if to_stdout:
        console.show_text(page.html)
        return
    path = (out or settings.home / "reports" / f"{model}.html").resolve()
    write_whole(path, page.html.encode(), shared=out is not None)
    values = {"model": model, "version": page.version, "path": str(path)}
    show(values | {"bytes": len(page.html.encode()), "left_out": page.left_out}, json)
    if open_it:
        webbrowser.open(path.as_uri())

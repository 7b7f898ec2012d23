"""For operators and developers: the doctor, the install on a server, all tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from treehouse.cli.shared import PASS_THROUGH, JsonFlag, example
from treehouse.project import console
from treehouse.project.settings import ROOT

app = typer.Typer()


@app.command(rich_help_panel="Look inside", epilog=example("--target server doctor"))
def doctor(context: typer.Context, json: JsonFlag = False) -> None:
    """Check the surroundings and say how to mend what is wrong; exit 1 if something is."""
    from treehouse.cli.doctor import diagnose

    checks = diagnose(context.obj)
    if json:
        console.show_json([check.__dict__ for check in checks])
    else:
        marks = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}
        for check in checks:
            console.out.print(
                f"{marks[check.status]:>16}  {check.name}: {console.cell(check.found)}"
            )
            if check.fix and check.status != "ok":
                console.out.print(f"        to mend: {console.cell(check.fix)}", style="dim")
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)


@app.command(
    rich_help_panel="A server of one's own",
    epilog=example("install --print | ssh root@clickhouse sh"),
    no_args_is_help=True,
)
def install(
    show: Annotated[
        bool, typer.Option("--print", help="The install as a shell script to read and to run.")
    ] = False,
    roles: Annotated[
        bool, typer.Option("--roles", help="The roles alone, as SQL for an administrator.")
    ] = False,
    to: Annotated[
        Path | None, typer.Option(help="Root folder of the machine or container: / or a mount.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before --to writes.")] = False,
) -> None:
    """What an operator puts on a ClickHouse server, once: scorer, declaration, roles."""
    from treehouse.clickhouse.install import apply, install_plan, render_print
    from treehouse.clickhouse.roles import as_sql

    if roles:
        typer.echo(as_sql(), nl=False)
        return
    if show:
        typer.echo(render_print(install_plan(to or Path("/"))), nl=False)
        return
    if to is None:
        raise typer.BadParameter("say --print, --roles or --to <folder>")
    plan = install_plan(to)
    missing = [file for file in plan if not file.is_current]
    rows = [
        (f"{f.mode:04o}", f.destination, "to write" if f in missing else "there", f.purpose)
        for f in plan
    ]
    console.show_table(("mode", "file", "", "what it is"), rows)
    if not missing:
        return
    if not yes:
        typer.confirm(f"Write {len(missing)} of them?", abort=True)
    apply(missing)
    console.out.print("The server picks them up by itself; nothing needs a restart.")


@app.command(
    context_settings=PASS_THROUGH,
    rich_help_panel="Work on Treehouse",
    epilog=example("test -m 'not server' -x"),
)
def test(context: typer.Context) -> None:
    """Lint, types, SQL and tests; what follows is passed to pytest.

    --slow runs the slow tests too, -n 0 all of them in one process.
    """
    checks = (
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("sqlfluff", "lint", "models", "tests/dbt"),
    )
    failed = []
    for check, process in [(check, _started(*check)) for check in checks]:
        console.err.print(f"[bold]{' '.join(check)}[/]")
        said, _ = process.communicate()
        sys.stdout.write(said)
        sys.stdout.flush()
        if process.returncode:
            failed.append(check[0])
    # A process a core; a file's tests share an engine, so they stay together. In their own order
    # the short files come last, which keeps all processes busy to the end.
    order = ("--dist", "loadfile", "--no-loadscope-reorder")
    pytest = (sys.executable, "-m", "pytest", "-n", "auto", *order, *context.args)
    code = subprocess.run(pytest, cwd=ROOT).returncode
    if failed:
        console.err.print(f"[red]Failed before the tests: {', '.join(failed)}[/]")
    raise typer.Exit(code or bool(failed))


@app.command(rich_help_panel="Work on Treehouse", epilog=example("mutate fit gates --sample 40"))
def mutate(
    target: Annotated[
        list[str] | None, typer.Argument(help="Groups of tests/mutation/targets.toml; all.")
    ] = None,
    sample: Annotated[int, typer.Option(help="How many errors; 0: every one.")] = 120,
    seed: Annotated[int, typer.Option(help="Which ones are drawn.")] = 1,
    jobs: Annotated[int, typer.Option(help="At a time; 0: one a core.")] = 0,
    json: JsonFlag = False,
) -> None:
    """Put deliberate errors into the code, one at a time, and see which the tests miss."""
    options = [f"--sample={sample}", f"--seed={seed}", f"--jobs={jobs}"] + ["--json"] * json
    command = [sys.executable, "-m", "tests.mutation", *(target or []), *options]
    raise typer.Exit(subprocess.run(command, cwd=ROOT).returncode)


def _started(*command: str) -> subprocess.Popen[str]:
    """A module of this environment, which runs beside the others; its words are kept for it."""
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

"""The command line. Commands are thin: each calls one function and shows what it answers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training import console
from training.errors import TreehouseError
from training.settings import ROOT, Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

app = typer.Typer(
    name="treehouse",
    help="Tree models that live inside ClickHouse. Begin with: treehouse demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON value on stdout, for scripts.")]
Model = Annotated[str, typer.Argument(help="Use case, for example ltv.")]
_PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


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


@contextmanager
def _client(settings: Settings) -> Iterator[Client]:
    from training.engine import connect

    client = connect(settings)
    try:
        yield client
    finally:
        client.close()


@app.command(rich_help_panel="The whole way")
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
    """Real purchases and a simulated platform: load, build, train, publish, predict in SQL."""
    from training.demo import run_demo, show_demo

    settings: Settings = context.obj
    if fresh and not (yes or json):
        typer.confirm(f"Drop all that Treehouse holds on {_place(settings)}?", abort=True)
    result = run_demo(settings, fresh=fresh, only=tuple(only or ()), users=users, quiet=json)
    console.show_json(result) if json else show_demo(result)


@app.command(rich_help_panel="Data in")
def simulate(
    context: typer.Context,
    users: Annotated[int, typer.Option(help="How many users install.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal rows.")] = 1,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove what was simulated before.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Fill events and installs with a simulated mobile growth platform."""
    from training.simulate import simulate as run

    settings: Settings = context.obj
    with _client(settings) as client, console.step("simulate", json) as report:
        result = run(
            client, settings, users=users, seed=seed, replace=replace,
            progress=lambda done, total: report("users", done, total),
        )  # fmt: skip
    _show(result.__dict__, json)


@app.command(rich_help_panel="Data in")
def load(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="events, installs or purchases.")],
    origin: Annotated[str, typer.Argument(help="A file, a folder, or table:database.name.")],
    fmt: Annotated[
        str | None, typer.Option("--format", help="Where the file's name does not say it.")
    ] = None,
    rename: Annotated[
        list[str] | None, typer.Option("--map", help="theirs=ours, for a column; repeatable.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Load Parquet, CSV or a table; bad rows go to quarantine with a reason."""
    from training.intake.load import load as run

    settings: Settings = context.obj
    mapping = dict(pair.split("=", 1) for pair in rename or () if "=" in pair)
    with _client(settings) as client, console.step(f"load {source}", json) as report:
        result = run(client, settings, source, origin, progress=report, fmt=fmt, mapping=mapping)
    _show(result.__dict__, json)
    if result.quarantined and not json:
        console.err.print(
            f'Why: ./treehouse sql "select reason, count() from {settings.raw_database}'
            '.quarantine group by reason"'
        )


@app.command(rich_help_panel="Data in")
def reconcile(
    context: typer.Context,
    repair: Annotated[bool, typer.Option("--repair", help="Rebuild what differs.")] = False,
    json: JsonFlag = False,
) -> None:
    """Compare what materialized views keep with a rebuild; exit 1 if they differ."""
    from training.intake.reconcile import reconcile as run

    settings: Settings = context.obj
    with _client(settings) as client, console.step("reconcile", json):
        differences = run(client, settings, repair=repair)
    rows = [difference.__dict__ for difference in differences]
    if json:
        console.show_json(rows)
    elif not rows:
        console.out.print("No difference.")
    else:
        console.show_table(list(rows[0]), [list(row.values()) for row in rows])
    if rows and not repair:
        raise typer.Exit(1)


@app.command(rich_help_panel="Models")
def build(
    context: typer.Context,
    select: Annotated[
        list[str] | None, typer.Option("--select", "-s", help="As dbt's --select; repeatable.")
    ] = None,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="As dbt's; never touches the registry.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Build and test features, training sets and scored views (dbt build)."""
    from training.dbt import build as run

    settings: Settings = context.obj
    arguments = [word for name in select or () for word in ("--select", name)]
    arguments += ["--full-refresh"] if full_refresh else []
    with console.step("dbt build", json) as report:
        result = run(settings, arguments, report)
    _show(result.counts, json)


@app.command(rich_help_panel="Models")
def train(
    context: typer.Context,
    model: Model,
    publish_too: Annotated[bool, typer.Option("--publish", help="Publish it as well.")] = False,
    promote_too: Annotated[
        bool, typer.Option("--promote", help="Publish and promote it as well.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Fit a model, measure it against its baselines, compile it."""
    from training.fit.train import train as run
    from training.publish import publish as run_publish
    from training.registry import promote as run_promote
    from training.report import show_metrics
    from training.spec import load_spec

    settings: Settings = context.obj
    spec = load_spec(model)
    with _client(settings) as client:
        with console.step(f"train {model}", json) as report:
            trained = run(client, settings, spec, report)
        result: dict[str, Any] = {"metrics": trained.metrics, "seconds": trained.seconds}
        if publish_too or promote_too:
            version, parity = run_publish(client, settings, model)
            result |= {"version": version.version, "parity": parity.__dict__}
            if promote_too:
                run_promote(client, settings, model, version.version, "trained and promoted")
    console.show_json(result) if json else show_metrics(model, trained.metrics)


@app.command(rich_help_panel="Models")
def publish(
    context: typer.Context,
    model: Model,
    promote_too: Annotated[bool, typer.Option("--promote", help="Let it answer at once.")] = False,
    json: JsonFlag = False,
) -> None:
    """Put the trained bundle into the engine and prove its answers equal to the trainer's."""
    from training.publish import publish as run
    from training.registry import promote as run_promote

    settings: Settings = context.obj
    with _client(settings) as client, console.step(f"publish {model}", json):
        version, parity = run(client, settings, model)
        if promote_too:
            run_promote(client, settings, model, version.version, "published and promoted")
    _show(
        {
            "model": model,
            "version": version.version,
            "bundle": f"{version.bundle:016x}",
            "bytes": version.bytes,
            "answers_compared": parity.answers,
            "answers_different": parity.different,
            "is_champion": promote_too,
        },
        json,
    )


@app.command(rich_help_panel="Models")
def models(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help="Only this use case.")] = None,
    json: JsonFlag = False,
) -> None:
    """List the published versions; the champion answers."""
    from training.registry import ensure_registry, versions

    settings: Settings = context.obj
    with _client(settings) as client:
        ensure_registry(client, settings)
        found = versions(client, settings, model)
    if json:
        console.show_json([v.__dict__ for v in found])
        return
    if not found:
        console.out.print("Nothing is published yet. Begin with: ./treehouse demo")
        return
    console.show_table(
        ("model", "version", "champion", "created (UTC)", "mae", "gini", "size", "file"),
        [
            (
                v.model, v.version, "yes" if v.is_champion else "",
                f"{v.created_at:%Y-%m-%d %H:%M}", v.metrics["model"]["mae"],
                v.metrics["model"]["gini"], v.bytes,
                f"{v.bundle:016x}.bundle",
            )
            for v in found
        ],
    )  # fmt: skip


@app.command(rich_help_panel="Models")
def promote(
    context: typer.Context,
    model: Model,
    version: Annotated[int, typer.Argument(help="Its number; see treehouse models.")],
    reason: Annotated[str, typer.Option(help="For the record.")] = "",
    json: JsonFlag = False,
) -> None:
    """Let a version answer from the next query on."""
    from training.registry import promote as run

    settings: Settings = context.obj
    with _client(settings) as client:
        chosen = run(client, settings, model, version, reason)
    _show({"model": model, "champion": chosen.version}, json)


@app.command(rich_help_panel="Models")
def rollback(
    context: typer.Context,
    model: Model,
    reason: Annotated[str, typer.Option(help="For the record.")] = "",
    json: JsonFlag = False,
) -> None:
    """Undo the last promotion: the version before it answers again."""
    from training.registry import rollback as run

    settings: Settings = context.obj
    with _client(settings) as client:
        chosen = run(client, settings, model, reason)
    _show({"model": model, "champion": chosen.version if chosen else 0}, json)


@app.command(rich_help_panel="Look inside")
def sql(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="One statement, or - to read it from stdin.")],
    fmt: Annotated[
        str | None, typer.Option("--format", help="Any ClickHouse format, for example CSV.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Run SQL on the target."""
    settings: Settings = context.obj
    text = sys.stdin.read() if query == "-" else query
    with _client(settings) as client:
        if fmt:
            sys.stdout.buffer.write(client.raw_query(text, fmt=fmt))
            return
        result = client.query(text)
    if json:
        console.show_json(list(result.named_results()))
    else:
        console.show_table(result.column_names, result.result_rows)


@app.command(context_settings=_PASS_THROUGH, rich_help_panel="Look inside")
def dbt(context: typer.Context) -> None:
    """dbt itself, on the target; what follows is passed on."""
    from training.dbt import environment, invoke

    settings: Settings = context.obj
    os.environ.update(environment(settings))
    raise typer.Exit(0 if invoke(settings, context.args).success else 1)


@app.command(rich_help_panel="Look inside")
def status(context: typer.Context, json: JsonFlag = False) -> None:
    """What is there: engine, sources, champions."""
    from training.status import read_status, show_status

    settings: Settings = context.obj
    with _client(settings) as client:
        found = read_status(client, settings)
    console.show_json(found) if json else show_status(found)


@app.command(rich_help_panel="Look inside")
def doctor(context: typer.Context, json: JsonFlag = False) -> None:
    """Check the surroundings and say how to mend what is wrong; exit 1 if something is."""
    from training.doctor import diagnose

    checks = diagnose(context.obj)
    if json:
        console.show_json([check.__dict__ for check in checks])
    else:
        marks = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}
        for check in checks:
            console.out.print(f"{marks[check.status]:>16}  {check.name}: {check.found}")
            if check.fix and check.status != "ok":
                console.out.print(f"        to mend: {check.fix}", style="dim")
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)


@app.command(context_settings=_PASS_THROUGH, rich_help_panel="Work on Treehouse")
def test(context: typer.Context) -> None:
    """Lint, types, SQL and all tests; what follows is passed to pytest."""
    checks = (
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("sqlfluff", "lint", "models", "tests/dbt"),
    )
    failed = []
    for name, *arguments in checks:
        console.err.print(f"[bold]{name} {' '.join(arguments)}[/]")
        if subprocess.run([sys.executable, "-m", name, *arguments], cwd=ROOT).returncode:
            failed.append(name)
    code = subprocess.run([sys.executable, "-m", "pytest", *context.args], cwd=ROOT).returncode
    if failed:
        console.err.print(f"[red]Failed before the tests: {', '.join(failed)}[/]")
    raise typer.Exit(code or bool(failed))


def _place(settings: Settings) -> str:
    return str(settings.home) if settings.target == "embedded" else "the server"


def _show(values: dict[str, Any], json: bool) -> None:
    if json:
        console.show_json(values)
        return
    for name, value in values.items():
        if value not in ((), [], ""):
            console.out.print(f"[bold]{name.replace('_', ' ')}[/]: {console._cell(value)}")


def main() -> None:
    """Run the command line; a mendable error becomes a message and exit code 2."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        app()
    except TreehouseError as error:
        if "--json" in sys.argv:
            console.show_json(error.as_dict())
        console.err.print("[red]error:[/] ", end="")
        console.err.print(str(error), markup=False, soft_wrap=True)
        sys.exit(2)
    except ClickHouseError as error:
        # The engine's own code and text; its stack trace helps nobody here.
        console.err.print(str(error).split(", Stack trace")[0], style="red", markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        console.err.print("Interrupted; what was finished stays.")
        sys.exit(130)

"""Retraining by hand or by schedule, and its log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from treehouse.cli.shared import JsonFlag, Vars, client_of, example
from treehouse.clickhouse.state import ensure_registry
from treehouse.project import console
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings

if TYPE_CHECKING:
    from treehouse.spec import Spec

app = typer.Typer()
_PANEL = "Models"
_ONE_OR_ALL = Annotated[str | None, typer.Argument(help="Use case, for example ltv.")]


@app.command(rich_help_panel=_PANEL, epilog=example("retrain --all --due"))
def retrain(
    context: typer.Context,
    model: _ONE_OR_ALL = None,
    all_models: Annotated[bool, typer.Option("--all", help="Every use case.")] = False,
    only_due: Annotated[
        bool, typer.Option("--due", help="Only what is due by age, drift or a new contract.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and why; do nothing.")
    ] = False,
    cron: Annotated[
        bool, typer.Option("--cron", help="Print lines for a crontab; do nothing.")
    ] = False,
    _vars: Vars = "",
    json: JsonFlag = False,
) -> None:
    """Features, training set, fit, gates, publish, promotion; exit 1 if a run failed."""
    from treehouse.retrain.run import BAD, cron_line

    settings: Settings = context.obj
    chosen = _chosen(model, all_models or cron)
    if cron:
        for spec in chosen:
            typer.echo(cron_line(settings, spec))
        return
    results = [_one(settings, spec, only_due, dry_run, json) for spec in chosen]
    if json:
        console.show_json(results)
    else:
        _show(results, dry_run)
    if any(result["outcome"] in BAD for result in results):
        raise typer.Exit(1)


def _chosen(model: str | None, everything: bool) -> list[Spec]:
    from treehouse.spec import load_spec, specs

    if model:
        return [load_spec(model)]
    if everything:
        return list(specs().values())
    raise TreehouseError(
        "Nothing was named to retrain.",
        expected="a use case, or --all",
        fix="./treehouse retrain " + next(iter(specs())) + ", or ./treehouse retrain --all --due",
    )


def _one(
    settings: Settings, spec: Spec, only_due: bool, dry_run: bool, quiet: bool
) -> dict[str, Any]:
    """One model: what was done, or would be."""
    from treehouse.retrain.run import HAND, Result, retrain, steps, why_due

    with client_of(settings) as client:
        ensure_registry(client, settings)
        cause = why_due(client, settings, spec) if only_due else HAND
        if cause is None:
            return Result(spec.use_case, "not due").__dict__
        if dry_run:
            planned = Result(spec.use_case, "would run", cause.trigger, cause.reason)
            return planned.__dict__ | {"steps": [name for name, _ in steps(spec)]}
        return retrain(client, settings, spec, cause, quiet).__dict__


def _show(results: list[dict[str, Any]], dry_run: bool) -> None:
    from treehouse.retrain.run import steps
    from treehouse.spec import load_spec

    for result in results:
        console.out.print(f"[bold]{result['model']}[/]: {_sentence(result)}")
        if dry_run and "steps" in result:
            for number, (name, what) in enumerate(steps(load_spec(result["model"])), 1):
                console.out.print(f"  {number}. {name}: {what}")


def _sentence(result: dict[str, Any]) -> str:
    version, detail = result["version"], console.cell(result["detail"])
    why = console.cell(f"{result['trigger']}: {result['reason']}")
    match result["outcome"]:
        case "not due":
            return "not due"
        case "would run":
            return f"would be retrained ({why})"
        case "promoted":
            return f"version {version} answers now ({why}; {result['seconds']} s)"
        case "published":
            return f"version {version} is published ({why}); {detail}"
        case "unchanged":
            return f"left as it is; {detail}"
        case "busy":
            return detail
        case outcome:
            at = f"{outcome} at the step {result['step']!r}"
            stays = "" if result["step"] == "decisions" else "; the champion stays as it was"
            return f"[red]{at}[/]{stays}\n{detail}"


@app.command(rich_help_panel=_PANEL, epilog=example("runs ltv"))
def runs(context: typer.Context, model: _ONE_OR_ALL = None, json: JsonFlag = False) -> None:
    """List what was retrained, when, why and how it ended, newest first."""
    from treehouse.project.contract import load_contract
    from treehouse.retrain.log import list_runs

    settings: Settings = context.obj
    if model:
        load_contract(model)  # says what there is, and suggests
    with client_of(settings) as client:
        found = list_runs(client, settings, model)
    if json:
        console.show_json(found)
        return
    if not found:
        console.out.print("Nothing was retrained yet. Begin with: ./treehouse retrain --all --due")
        return
    console.show_table(
        ("model", "run", "started (UTC)", "why", "step", "outcome", "version", "detail"),
        [
            (
                r["model"], r["run"], f"{r['started_at']:%Y-%m-%d %H:%M}", r["reason"], r["step"],
                r["outcome"], r["version"] or None, r["detail"].partition("\n")[0][:80],
            )
            for r in found
        ],
    )  # fmt: skip

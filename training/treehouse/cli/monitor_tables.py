"""What a run found, for people."""

from __future__ import annotations

from collections.abc import Sequence

from treehouse.monitor.measure import Row
from treehouse.monitor.rules import weight
from treehouse.monitor.run import Checked
from treehouse.monitor.state import Alert
from treehouse.project import console

_OF_ALL = ("prediction", "quality", "volume", "freshness", "serving")
"""Kinds of alerts that are about no single column."""
_NO_VERSION = "-"
_WORST = 8
_FEW = 3
"""As many alerts of a kind have a line each; `alerts list` tells all of each one."""
_MARKS = {"error": "[red]error[/]", "warn": "[yellow]warn[/]"}


def show_checked(checked: Checked) -> None:
    """One model: the columns that moved most, what that means, and what to do."""
    out = console.out.print
    out(f"[bold]{checked.model}[/] " + (f"version {checked.version}" if checked.version else ""))
    if checked.note:
        out(f"  {checked.note}", markup=False)
    if not checked.measured:
        return
    drift = checked.measured["drift"]
    if drift:
        _show_columns(checked, drift)
    _show_quality(checked.measured["quality"])
    for line in alert_lines(checked):
        out(f"  {line}")
    for name in checked.resolved:
        out(f"  [green]resolved[/] {console.cell(name)}")
    out(f"  {meaning(checked)}", markup=False)


def _show_columns(checked: Checked, drift: list[Row]) -> None:
    worst = sorted(drift, key=lambda r: (r["role"] != "prediction", -(r["impact"] or 0.0)))
    marks = {f.name: f.severity for f in reversed(checked.findings)}
    console.show_table(
        ("column", "", "moved (sd)", "PSI", "KS", "missing %", "unseen %", "importance", "impact"),
        [
            (
                row["name"] if row["role"] == "feature" else f"prediction ({row['name']})",
                marks.get(row["name"], ""),
                arrow(row["mean_shift"]),
                _rounded(row["psi"]),
                _rounded(row["kolmogorov_smirnov"]),
                _percent(row["missing_share"]),
                _percent(row["unseen_share"]),
                _rounded(row["importance"]),
                _rounded(row["impact"], 3),
            )
            for row in worst[:_WORST]
        ],
    )


def _show_quality(quality: list[Row]) -> None:
    if not quality:
        return
    newest = max(quality, key=lambda r: r["cohort_to"])
    text = (
        f"  Newest labels ({newest['cohort_from']:%Y-%m-%d} to {newest['cohort_to']:%Y-%m-%d}, "
        f"{newest['rows']:,} rows): {newest['measure']} {newest['loss']:.3g} "
        f"({newest['loss_low']:.3g} to {newest['loss_high']:.3g})"
    )
    if newest["holdout_loss"] is not None:
        text += f", on the holdout {newest['holdout_loss']:.3g}"
    if newest["calibration"] is not None:
        text += f"; predicted over actual {newest['calibration']:.2f}"
    if newest["auc"] is not None:
        text += f"; AUC {newest['auc']:.3f}"
    console.out.print(text, markup=False)


def meaning(checked: Checked) -> str:
    """One sentence: what the findings mean, and what to do; errors come before warnings."""
    kinds = {f.kind for f in checked.findings}
    worst = {f.kind for f in checked.findings if f.severity == "error"} or kinds
    model = checked.model
    if "quality" in kinds:
        return f"The answers have become worse: ./treehouse retrain {model}, or rollback {model}."
    if "serving" in worst:
        return "Calls fail: ./treehouse doctor says why."
    if worst == {"freshness"}:
        return "The newest rows are old: see that the source still delivers (./treehouse status)."
    if worst & {"volume", "freshness"} or _lacks_values(checked):
        return "The data itself looks wrong: check its source first (./treehouse status)."
    if kinds:
        return (
            f"{_most_moved(checked)} has moved, and the answers with it: if the change is real, "
            f"./treehouse retrain {model}; if not, mend its source."
        )
    if not checked.measured.get("drift") or checked.note:
        return "No drift was judged."
    return "Nothing has moved beyond chance and the thresholds."


def _lacks_values(checked: Checked) -> bool:
    """Whether values are missing that were there in the training: a source may have failed."""
    names = {f.name for f in checked.findings if f.kind == "missing"}
    return any(
        row["name"] in names and row["missing_share"] > row["reference_missing_share"]
        for row in checked.measured["drift"]
    )


def _most_moved(checked: Checked) -> str:
    """The column that moves the answers most, or what stands for many small changes."""
    of_columns = [f for f in checked.findings if f.kind in ("drift", "unseen", "missing")]
    if not of_columns:
        return "The mix of the rows"
    return max(of_columns, key=lambda f: abs(f.value)).name


def show_summary(results: Sequence[Checked]) -> None:
    """A line a model, the worst first."""
    rows = []
    for checked in sorted(results, key=_urgency):
        worst = min(checked.alerts, key=weight, default=None)
        state = _NO_VERSION if not checked.version else "ok" if worst is None else worst.severity
        state = "failed" if checked.is_failed else state
        said = checked.note or meaning(checked) if worst is None else _in_a_line(checked.alerts)
        rows.append((checked.model, state, said))
    console.show_table(("model", "", "what"), rows)
    if any(checked.alerts for checked in results):
        console.out.print("All of one model: ./treehouse monitor MODEL")


def _urgency(checked: Checked) -> tuple[bool, tuple[str, int, float]]:
    worst = min(map(weight, checked.alerts), default=("ok", 0, 0.0))
    return not checked.is_failed, worst


def _in_a_line(alerts: Sequence[Alert]) -> str:
    """The worst alert of a model in words, and the names of the others."""
    worst, *others = sorted(alerts, key=weight)
    subject = "" if worst.kind in _OF_ALL else f"{worst.name}: "
    text = f"{subject}{worst.detail}"
    if not others:
        return text
    named = ", ".join(other.name for other in others[:_FEW])
    more = len(others) - _FEW
    return f"{text}; also {named}" + (f" and {more} more" if more > 0 else "")


def show_alerts(alerts: list[Alert], each: bool = False) -> None:
    """A line a model, the worst first; or all of each alert."""
    if not alerts:
        console.out.print("No alerts.")
        return
    if each:
        console.show_table(
            ("alert", "state", "severity", "version", "since (UTC)", "what"),
            [
                (a.alert, a.state, a.severity, a.version, f"{a.opened_at:%Y-%m-%d %H:%M}", a.detail)
                for a in sorted(alerts, key=weight)
            ],
        )
        return
    models: dict[str, list[Alert]] = {}
    for alert in sorted(alerts, key=weight):
        models.setdefault(alert.model, []).append(alert)
    console.show_table(
        ("model", "", "state", "since (UTC)", "what"),
        [
            (
                model,
                of_model[0].severity,
                ", ".join(sorted({alert.state for alert in of_model})),
                f"{min(alert.opened_at for alert in of_model):%Y-%m-%d %H:%M}",
                _in_a_line(of_model),
            )
            for model, of_model in models.items()
        ],
    )
    console.out.print("With the names that ack and resolve take: ./treehouse alerts list --each")


def alert_lines(checked: Checked) -> list[str]:
    """A line for each alert; one for all where many are alike, as the table says the rest."""
    groups: dict[tuple[str, str, str, int], list[Alert]] = {}
    for alert in checked.alerts:
        state = "new" if alert.alert in checked.raised else alert.state
        groups.setdefault((alert.severity, state, alert.kind, alert.quiet_runs), []).append(alert)
    return [
        f"{_MARKS[severity]} {state} {text}" + (f" [dim](quiet for {runs} runs)[/]" if runs else "")
        for (severity, state, kind, runs), alike in groups.items()
        for text in _texts(checked.model, kind, alike)
    ]


def _texts(model: str, kind: str, alike: list[Alert]) -> list[str]:
    if len(alike) <= _FEW:
        return [console.cell(f"{alert.alert}: {alert.detail}") for alert in alike]
    names = ", ".join(alert.name for alert in alike)
    return [console.cell(f"{model}/{kind}/ of {len(alike)} columns: {names}")]


def arrow(shift: float | None) -> str:
    """The direction and size of a shift, in standard deviations."""
    if shift is None:
        return "-"
    if abs(shift) < 0.05:
        return f"→ {shift:+.2f}"
    return f"{'↑' if shift > 0 else '↓'} {shift:+.2f}"


def _rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)

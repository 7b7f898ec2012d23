"""What a run found, for people."""

from __future__ import annotations

from training import console
from training.monitor.measure import Row
from training.monitor.run import Checked
from training.monitor.state import Alert

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
    if worst & {"volume", "freshness", "missing"}:
        return "The data itself looks wrong: check its source first (./treehouse status)."
    if kinds:
        return (
            f"{_most_moved(checked)} has moved{_answers(checked, kinds)}: if the change is real, "
            f"./treehouse retrain {model}; if not, mend its source."
        )
    if not checked.measured.get("drift") or checked.note:
        return "No drift was judged."
    return "Nothing has moved beyond chance and the thresholds."


def _answers(checked: Checked, kinds: set[str]) -> str:
    """Whether the predictions have moved with the columns; nothing where they were not compared."""
    if "prediction" in kinds:
        return ", and the answers with it"
    is_compared = any(
        row["role"] == "prediction" and row["p_distribution"] is not None
        for row in checked.measured["drift"]
    )
    return ", the answers have not" if is_compared else ""


def _most_moved(checked: Checked) -> str:
    """The drifted column that matters most, or what stands for the prediction."""
    names = {f.name for f in checked.findings if f.kind in ("drift", "unseen")}
    columns = [row for row in checked.measured["drift"] if row["name"] in names]
    if not columns:
        return "The mix of the rows"
    return str(max(columns, key=lambda row: row["impact"] or 0.0)["name"])


def show_alerts(alerts: list[Alert]) -> None:
    """All alerts as a table."""
    if not alerts:
        console.out.print("No alerts.")
        return
    console.show_table(
        ("alert", "state", "severity", "version", "since (UTC)", "what"),
        [
            (a.alert, a.state, a.severity, a.version, f"{a.opened_at:%Y-%m-%d %H:%M}", a.detail)
            for a in alerts
        ],
    )


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

"""The beginning of the page: what the numbers say, in sentences and tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from treehouse.project.scales import amount, day, figure, percent


@dataclass(frozen=True)
class Metric:
    """How a metric is shown.

    Attributes:
        label: Its name.
        note: What it is, in a few words.
        unit: "number", "share", "signed" (a share that may be negative), or "answer": that of the
            model's answer.
        better: "lower", "higher" or "zero".
        says: What it says of a model, with {value} as a number or {share} in percent.
    """

    label: str
    note: str
    unit: str = "number"
    better: str = "lower"
    says: str = ""

    def show(self, value: float | None, unit: str) -> str:
        """The value as text; "answer" stands for the unit of the model's answer."""
        if self.unit == "signed":
            return percent(value, signed=True)
        if self.unit == "number":
            return figure(value)
        return amount(value, unit if self.unit == "answer" else self.unit)

    def sentence(self, value: float, unit: str) -> str:
        """What the value says of a model."""
        says = self.says or f"had a {self.label} of {{value}}"
        return says.format(value=self.show(value, unit), share=percent(value))

    def loss(self, value: float) -> float:
        """What is least for the best."""
        return {"lower": value, "higher": -value, "zero": abs(value)}[self.better]


METRICS = {
    "rmse": Metric(
        "Off by (RMSE)",
        "root mean square: what a mean is judged by",
        "answer",
        says="was off by {value} (root mean square)",
    ),
    "mae": Metric(
        "Off by (MAE)",
        "mean absolute error: what a median is judged by",
        "answer",
        says="was off by {value} on average",
    ),
    "gini": Metric("Ranking (Gini)", "1 is a perfect order", better="higher"),
    "auc": Metric(
        "Ranking (AUC)",
        "1 is a perfect order",
        better="higher",
        says="told a yes from a no in {share} of all pairs of them",
    ),
    "average_precision": Metric("Precision", "mean over all cuts", "share", "higher"),
    "accuracy": Metric(
        "Right",
        "share of right answers",
        "share",
        "higher",
        says="was right in {value} of the cases",
    ),
    "recall_1": Metric(
        "Right at once",
        "share of first answers that came",
        "share",
        "higher",
        says="named what came next in {value} of the cases",
    ),
    "recall_3": Metric("Among 3", "share of labels among 3 answers", "share", "higher"),
    "recall_5": Metric("Among 5", "share of labels among 5 answers", "share", "higher"),
    "log_loss": Metric("Log loss", "lower is surer and right"),
    "brier": Metric("Brier", "squared error of the chance"),
    "cost": Metric("Cost", "mean cost of a decision", says="cost {value} a decision in mistakes"),
    "calibration_error": Metric("Chance off by", "mean calibration error", "share"),
    "bias": Metric("Sum off by", "predicted over actual total", "signed", "zero"),
    "cohort_mape": Metric("Groups off by", "error of the totals of groups", "share"),
}
"""What is shown of the metrics that are there, in this order; the first decides the verdict."""
_NO_TILE = ("mae", "brier", "log_loss")  # for the table: they say little on their own


def shown(contenders: list[dict[str, Any]]) -> list[str]:
    """Keys of METRICS that the model has, in order."""
    model = contenders[0]["metrics"]
    return [key for key in METRICS if isinstance(model.get(key), int | float)]


def best_rule(contenders: list[dict[str, Any]], key: str) -> dict[str, Any] | None:
    """The rule that is best in a metric; None without one."""
    rules = [c for c in contenders if c["kind"] == "rule" and c["metrics"].get(key) is not None]
    return min(rules, key=lambda c: METRICS[key].loss(c["metrics"][key]), default=None)


def sentences(page: dict[str, Any]) -> list[str]:
    """Three to five sentences for somebody who reads no further."""
    return [
        text
        for text in (_who_answers(page), _error(page), _ranking(page), _totals(page), _watch(page))
        if text
    ]


def _who_answers(page: dict[str, Any]) -> str:
    version, history = page["version"], page["history"]
    if not version.is_champion:
        return (
            f"Version {version.version} was published on {day(version.created_at)}; "
            "no version answers yet, until one is promoted."
        )
    move = history["reign"][-1] if history["reign"] else None
    if move is None:
        return f"Version {version.version} answers."
    event = next(e for e in history["events"] if e["at"] == move["from"])
    why = f", with the reason “{event['reason']}”" if event["reason"] else ""
    what = "rolled back to" if event["action"] == "rollback" else "promoted"
    return (
        f"Version {version.version} has answered since {day(move['from'])}, when "
        f"{event['actor']} {what} it{why}."
    )


def _error(page: dict[str, Any]) -> str:
    contenders = page["quality"].get("contenders")
    if not contenders or not (keys := shown(contenders)):
        return ""
    key, who, unit = keys[0], page["who"], page["unit"]
    metric, rows = METRICS[key], page["quality"]["rows"]
    ours = contenders[0]["metrics"][key]
    rule = best_rule(contenders, key)
    tested = f"{rows:,} {who}" if rows else "rows"
    name = contenders[0]["name"]
    text = f"On {tested} later than all that it was fitted on, {name} {metric.sentence(ours, unit)}"
    if rule is None:
        return text + "."
    theirs = rule["metrics"][key]
    text += f"; the best simple rule (“{rule['name']}”) {metric.sentence(theirs, unit)}"
    gain = metric.loss(theirs) - metric.loss(ours)
    if gain <= 0:
        text += _although(contenders, keys)
    elif metric.better == "lower" and theirs:
        text += f", so the model errs {percent(gain / theirs)} less"
    return f"{text}.{_typical(contenders, unit)}"


def _although(contenders: list[dict[str, Any]], keys: list[str]) -> str:
    """What there is to say for a model that a rule is as good as in its first metric."""
    won = [METRICS[key].label for key in keys if _is_best(contenders, key)]
    if not won:
        return ": it is at least as good, so there is no reason yet to use the model"
    return f": it is at least as good in that; the model is better in: {', '.join(won)}"


def _typical(contenders: list[dict[str, Any]], unit: str) -> str:
    """The median beside the mean: which one suits which use."""
    found = [c for c in contenders if c["kind"] == "typical"]
    rule = best_rule(contenders, "mae")
    if not found or rule is None:
        return ""
    ours, theirs = found[0]["metrics"]["mae"], rule["metrics"]["mae"]
    return (
        f" For one row, take typical (the median): it was off by {amount(ours, unit)} on average, "
        f"“{rule['name']}” by {amount(theirs, unit)}; for bids, budgets and sums take the mean."
    )


def _ranking(page: dict[str, Any]) -> str:
    gain = page["gain"]
    if "curves" not in gain:
        return ""
    share = percent(gain["curves"][0]["curve"][5])
    return (
        f"Sorted by its prediction, the first tenth of the {page['who']} {brought(page['unit'])} "
        f"{share} of {all_of(page['unit'])}."
    )


def brought(unit: str) -> str:
    """What a part of the rows did to the total."""
    return "held" if unit == "share" else "brought"


def all_of(unit: str) -> str:
    """What the total is."""
    return {"usd": "the revenue", "share": "all that came true"}.get(unit, "the total")


def _totals(page: dict[str, Any]) -> str:
    rows = page["calibration"].get("rows")
    if not rows:
        return ""
    predicted, actual = _mean(rows, "predicted"), _mean(rows, "actual")
    if not actual:
        return ""
    unit, number = page["unit"], sum(r["rows"] for r in rows)
    if unit == "share":
        return f"It expected {percent(predicted)}, and {percent(actual)} came true."
    text = (
        f"All its predictions together came to "
        f"{amount(predicted * number, unit)}, where {amount(actual * number, unit)} came in "
        f"({percent(predicted / actual - 1, signed=True)})"
    )
    if (target := page["calibration"].get("target")) is not None:
        inside = percent(_mean(rows, "inside"))
        text += f", and {inside} fell within its range, made for {percent(target)}"
    return text + "."


def _watch(page: dict[str, Any]) -> str:
    open_ones = page["alerts"].get("open")
    if open_ones:
        names = ", ".join(f"{a.kind} of {a.name}" for a in open_ones[:3])
        number = len(open_ones)
        return f"{number} alert{'s' * (number > 1)} need{'s' * (number == 1)} a look: {names}."
    if "columns" not in page["drift"]:
        return "Whether the data has changed since the training has not been measured yet."
    return f"No alert is open; drift was last measured on {day(page['drift']['at'])}."


def tiles(page: dict[str, Any]) -> list[dict[str, str]]:
    """Up to four numbers, each with what it is measured against."""
    contenders = page["quality"].get("contenders")
    if not contenders:
        return []
    found = []
    best: dict[str, Any] = next((c["metrics"] for c in contenders if c["kind"] == "best"), {})
    for key in shown(contenders):
        if key in _NO_TILE:
            continue
        metric = METRICS[key]
        rule = best_rule(contenders, key)
        notes = [metric.note]
        if rule:
            notes.append(f"best rule {metric.show(rule['metrics'][key], page['unit'])}")
        if best.get(key) is not None:
            notes.append(f"best possible {metric.show(best[key], page['unit'])}")
        value = metric.show(contenders[0]["metrics"][key], page["unit"])
        found.append({"label": metric.label, "value": value, "note": "; ".join(notes)})
    if (target := page["calibration"].get("target")) is not None:
        inside = _mean(page["calibration"]["rows"], "inside")
        note = f"outcomes within the range; made for {percent(target)}"
        found.insert(3, {"label": "Range holds", "value": percent(inside), "note": note})
    return found[:4]


def _mean(rows: list[dict[str, Any]], key: str) -> float:
    """Mean over tenths, each by its rows."""
    return float(sum(r[key] * r["rows"] for r in rows) / sum(r["rows"] for r in rows))


def verdict(contenders: list[dict[str, Any]]) -> str:
    """In which metrics what predict_<use_case> answers is the best of those that can be had."""
    name = contenders[0]["name"]
    keys = shown(contenders)
    won = [key for key in keys if _is_best(contenders, key)]
    if len(won) == len(keys):
        return f"{name} is best in all of them."
    lost = [METRICS[key].label for key in keys if key not in won]
    return f"{name} is best in {len(won)} of {len(keys)}; not in: {', '.join(lost)}."


def _is_best(contenders: list[dict[str, Any]], key: str) -> bool:
    rule = best_rule(contenders, key)
    metric = METRICS[key]
    ours = contenders[0]["metrics"][key]
    return rule is None or metric.loss(ours) < metric.loss(rule["metrics"][key])

"""What a wrong answer costs, by task, as SQL over a row: smaller is better.

Each loss is least, on average, for the true answer (Gneiting: Making and evaluating point
forecasts, 2011), so nobody gains by answering something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treehouse.fit.deviance import deviance_sql

if TYPE_CHECKING:
    from treehouse.spec import Spec

_SURE = 0.001
"""A probability counts as no nearer to 0 or 1 than this: a rule that is certain and wrong costs a
lot, not infinitely much."""


METRIC = {
    "value": "deviance",
    "probability": "log_loss",
    "classes": "cost",
    "sequence": "log_loss",
}
"""By task: what the metrics of a training call the mean of the loss that baselines share."""


def model_loss(spec: Spec, answers: str) -> str:
    """Of a model's heads, an array, against `_label`.

    For "value", the deviance of the first head.
    """
    if spec.task == "classes":
        places = [spec.contract.heads.index(name) + 1 for name in spec.classes]
        return f"-log(greatest({answers}[{places}[toUInt8(_label) + 1]], {_SURE}))"
    if spec.task == "sequence":
        labels, shares = _ranked(spec, answers)
        share = f"arraySum((label, share) -> if(label = _label, share, 0.), {labels}, {shares})"
        return f"-log(greatest({share}, {_SURE}))"
    return _number_loss(spec, f"{answers}[1]")


def rule_losses(spec: Spec, answers: str, rule: str) -> tuple[str, str]:
    """Of a model's heads and of a baseline, comparable with each other.

    A rule names a class and knows no probability: there, what the decision costs is compared. Of a
    sequence it is 1 less the reciprocal of the label's place among the answers.
    """
    if spec.task == "sequence":
        return _misplaced(_ranked(spec, answers)[0]), _misplaced(rule)
    if spec.task != "classes":
        return model_loss(spec, answers), _number_loss(spec, rule)
    matrix = [list(map(float, row)) for row in spec.costs]
    return (
        f"{matrix}[toUInt8(_label) + 1][toUInt8({answers}[1]) + 1]",
        f"{matrix}[toUInt8(_label) + 1][toUInt8({rule}) + 1]",
    )


def _ranked(spec: Spec, answers: str) -> tuple[str, str]:
    """SQL of the labels that a model answers, the most likely first, and of their shares."""
    heads = spec.contract.heads
    named = ([f"{kind}_{place + 1}" for place in range(spec.places)] for kind in ("next", "share"))
    labels, shares = (
        "[" + ", ".join(f"{answers}[{heads.index(name) + 1}]" for name in names) + "]"
        for names in named
    )
    return labels, shares


def _misplaced(labels: str) -> str:
    return f"if(has({labels}, _label), 1 - 1 / indexOf({labels}, _label), 1.)"


def _number_loss(spec: Spec, answer: str) -> str:
    if spec.task == "probability":
        chance = f"least(greatest({answer}, {_SURE}), {1 - _SURE})"
        return f"-(_label * log({chance}) + (1 - _label) * log(1 - {chance}))"
    return deviance_sql("_label", answer, "_scale")

"""Baselines in SQL: the rules of a spec or, where it names none, the best constant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treehouse.clickhouse.client import identifier, literal

if TYPE_CHECKING:
    from treehouse.spec import Spec

CONSTANT = "constant"
"""Name of the baseline of a spec that names none."""
_TRAINING = "split = 'train'"


def rules(spec: Spec) -> dict[str, str]:
    """Each baseline as SQL over the training set, by name; at least one.

    It answers a Float64: a value or a probability; of a class its number; of a sequence an array
    of labels, the most likely first. What is no number falls back to the mean of the training
    rows.
    """
    named = spec.baselines or {_constant_name(spec): _constant(spec)}
    return {name: _answer(spec, sql) for name, sql in named.items()}


def rule_columns(spec: Spec) -> dict[str, str]:
    """The same as columns of one number: of a sequence, one for each place."""
    if spec.task != "sequence":
        return rules(spec)
    return {
        f"{name} {place}": f"{sql}[{place}]"
        for name, sql in rules(spec).items()
        for place in range(1, spec.places + 1)
    }


def label_column(spec: Spec) -> str:
    """The label's column, quoted."""
    return identifier(spec.label or spec.contract.label)


def label_sql(spec: Spec) -> str:
    """The label as a number, as SQL: a class as its place among the classes, -1 for none."""
    label = label_column(spec)
    return _class_sql(spec, label) if spec.task == "classes" else f"toFloat64({label})"


def _answer(spec: Spec, sql: str) -> str:
    if spec.task == "sequence":
        numbers = f"arrayMap(label -> toFloat64(label), {sql})"
        return f"arrayResize({numbers}, {spec.places}, toFloat64(nan))"
    if spec.task == "classes":
        return _class_sql(spec, sql)
    return f"toFloat64(ifNotFinite({sql}, {_mean(spec, label_sql(spec))}))"


def _constant_name(spec: Spec) -> str:
    return f"{spec.label}: {CONSTANT}" if spec.label else CONSTANT


def _constant(spec: Spec) -> str:
    """What loses least if it is answered for every row."""
    label = label_column(spec)
    if spec.task == "sequence":
        return f"(topKIf({spec.places})({label}, {_TRAINING}) over ())"
    if spec.task != "classes":
        return _mean(spec, label_sql(spec))
    names = ", ".join(map(literal, spec.classes))
    costs = ", ".join(
        _mean(spec, f"{list(map(float, column))}[indexOf([{names}], toString({label}))]")
        for column in zip(*spec.costs, strict=True)
    )
    return f"[{names}][indexOf([{costs}], arrayMin([{costs}]))]"


def _mean(spec: Spec, sql: str) -> str:
    """The mean of an expression over the training rows, as a window over all rows."""
    weight = "" if spec.label else spec.contract.weight
    if not weight:
        return f"avgIf({sql}, {_TRAINING}) over ()"
    weight = f"toFloat64({identifier(weight)})"
    return f"avgWeightedIf({sql}, {weight}, {_TRAINING}) over ()"


def _class_sql(spec: Spec, sql: str) -> str:
    named = ", ".join(map(literal, spec.classes))
    return f"(toFloat64(indexOf([{named}], toString({sql}))) - 1)"

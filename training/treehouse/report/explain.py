"""Why a row is answered as it is, in the unit of the answer."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import DatabaseError

from treehouse.clickhouse.client import identifier, literal
from treehouse.monitor.measure import macros, monitored
from treehouse.project import console
from treehouse.project.errors import TreehouseError
from treehouse.project.scales import amount
from treehouse.spec.units import label_unit

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings
    from treehouse.spec import Spec


@dataclass(frozen=True)
class Explained:
    """One row's answer.

    Attributes:
        model: The use case.
        key: Of the row.
        told: What the answer is: a head's name.
        unit: Of the answer, as label_unit() has it.
        answer: To the row.
        usual: To it with every feature as other rows have it, on average.
        features: feature, value, effect (by how much the feature raises the answer, against the
            values that rows of the training have, on average) and margin (its Shapley contribution
            before exp or the logistic; None without trees, and of classes), the strongest first.
    """

    model: str
    key: str
    told: str
    unit: str
    answer: float
    usual: float
    features: list[dict[str, Any]]


def explain(client: Client, settings: Settings, spec: Spec, key: str) -> Explained:
    """Explain the newest row of a key.

    Raises:
        TreehouseError: There is no such row, or no version that answers.
    """
    what, names = monitored(settings, spec), [f.name for f in spec.contract.features]
    what["key"] = literal(key)  # with a parameter the log would have no comments
    row = _row(client, what, names, key)
    what["told"] = told = _told(client, spec, what, names)
    query = str(macros().row_effects_query(what))
    usual, *changed, answer = (mean for _, mean in client.query(query).result_rows)
    if answer != answer:
        raise TreehouseError(
            f"No version of {spec.use_case} answers.",
            fix=f"./treehouse train {spec.use_case} --promote",
        )
    # Of classes the margin is that of another number than the share that is explained.
    margins = {} if spec.task == "classes" else _margins(client, what, names)
    features = [
        {"feature": n, "value": row[n], "effect": answer - mean, "margin": margins.get(n)}
        for n, mean in zip(names, changed, strict=True)
    ]
    features.sort(key=lambda found: -abs(found["effect"]))
    head, unit = told or spec.contract.heads[0], label_unit(spec)
    return Explained(spec.use_case, key, head, unit, answer, usual, features)


def show_explained(found: Explained, top: int) -> None:
    """For people: rounded, and the strongest features alone."""
    usual, answer = amount(found.usual, found.unit), amount(found.answer, found.unit)
    said = f"{found.told} {answer}; with the features of others {usual}."
    console.out.print(f"{found.model} of {found.key}: {said}", markup=False)
    console.show_table(
        ("feature", "is", "makes the answer", "margin"),
        [
            (f["feature"], f["value"], _change(f["effect"], found.unit), f["margin"])
            for f in found.features[:top]
        ],
    )


def _change(effect: float, unit: str) -> str:
    """An effect in words: $12.30 higher, 3.1 points lower."""
    points = f"{abs(100 * effect):.1f} points"
    size = points if unit == "share" else amount(abs(effect), unit)
    is_some = any(digit in size for digit in "123456789")
    return f"{size} {'higher' if effect > 0 else 'lower'}" if is_some else "no other"


def _of_key(what: dict[str, Any]) -> str:
    """SQL of the row that is asked for."""
    return (
        f"from {what['features_table']} where toString({identifier(what['keys'][0])}) = "
        f"{what['key']} order by {identifier(what['time'])} desc limit 1"
    )


def _row(client: Client, what: dict[str, Any], names: list[str], key: str) -> dict[str, Any]:
    columns = ", ".join(map(identifier, names))
    rows = client.query(f"select {columns} {_of_key(what)}").result_rows
    if not rows:
        example = f"select {identifier(what['keys'][0])} from {what['features_table']} limit 5"
        raise TreehouseError(
            f"{what['model']} has no such row.",
            value=key,
            expected=f"a {what['keys'][0]} of {what['features_table']}",
            fix=f"./treehouse sql '{example.replace('`', '')}'",
        )
    return dict(zip(names, rows[0], strict=True))


def _told(client: Client, spec: Spec, what: dict[str, Any], names: list[str]) -> str:
    """The head whose number is explained: of classes that of the one decided for."""
    if spec.task != "classes":
        return "share_1" if spec.task == "sequence" else ""
    call = f"predict_{spec.use_case}({', '.join(map(identifier, names))})"
    decided = client.query(f"select {call} {_of_key(what)}")
    number = decided.result_rows[0][0]
    return spec.classes[int(number)] if number is not None else spec.classes[0]


def _margins(client: Client, what: dict[str, Any], names: list[str]) -> dict[str, float]:
    """Feature to its contribution; none for a model without trees, which the engine refuses."""
    call = f"explain_{what['model']}({', '.join(map(identifier, names))}).contributions"
    # The comment keeps what is only tried out of the count of calls that fail.
    query = f"select /* treehouse monitor */ {call} {_of_key(what)}"
    with suppress(DatabaseError):
        parts = client.query(query)
        return {part["feature"]: part["contribution"] for part in parts.result_rows[0][0]}
    return {}

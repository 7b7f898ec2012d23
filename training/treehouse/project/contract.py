"""The feature contract of a use case, read from its YAML: features, keys, label, heads, hash.

macros/functions/predict.sql reads the same YAML within dbt and must come to the same hash.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from treehouse.project.errors import TreehouseError
from treehouse.project.names import check_names
from treehouse.project.settings import ROOT, read_yaml, with_vars
from treehouse.project.types import check_type

MODELS = ROOT / "models"
_ROLES = {
    "features": ("key", "time", "feature"),
    "training_set": ("key", "time", "feature", "label", "weight", "known_at"),
}
"""Roles that a column may have, by the model that it is of."""
_SPLIT = "split"
"""The column of every training set that says what a row is for."""
_TUPLE = ("version", "null")
"""What no head may be called: a field of its own tuple, and what the engine refuses there."""


@dataclass(frozen=True)
class Feature:
    """One argument of `predict_<use_case>`.

    Attributes:
        type: Its ClickHouse type.
        about: What it is, with its unit, as the YAML says; "" where that says nothing.
    """

    name: str
    type: str
    about: str = ""

    @property
    def kind(self) -> str:
        """ "categorical" for strings, else "numeric"; of arrays "tokens" and "series"."""
        is_text = "String" in self.type
        if self.type.startswith("Array("):
            return "tokens" if is_text else "series"
        return "categorical" if is_text else "numeric"


@dataclass(frozen=True)
class Contract:
    """What a model of this use case is given and what it answers.

    Attributes:
        use_case: Name of the use case; its models are `<use_case>_features` and so on.
        features: In the order of the SQL function's arguments.
        heads: What the model answers, in order; the first is `predict_<use_case>`'s answer.
        keys: Columns that identify a row of the training set.
        time: Column that says when the row was known.
        label: Column of the training set that is to be predicted.
        weight: Column of the training set with each row's weight, or "".
        known_at: Column of the training set that says when the label was known, or "".
        has_networks: Whether a version may hold neural networks: `meta: {networks: true}`, or a
            feature is a sequence, which only networks read. Without, no network is ever asked.
    """

    use_case: str
    features: tuple[Feature, ...]
    heads: tuple[str, ...]
    keys: tuple[str, ...]
    time: str
    label: str
    weight: str = ""
    known_at: str = ""
    has_networks: bool = False

    @property
    def text(self) -> str:
        """The contract in one line, of which the hash is taken."""
        arguments = ", ".join(f"{f.name} {f.kind}" for f in self.features)
        networks = " with networks" if self.has_networks else ""
        return f"{self.use_case}({arguments}) -> ({', '.join(self.heads)}){networks}"

    @property
    def hash(self) -> str:
        """MD5 in hexadecimal, as dbt's `local_md5`."""
        return hashlib.md5(self.text.encode(), usedforsecurity=False).hexdigest()

    def of_kind(self, kind: str) -> tuple[str, ...]:
        """Names of the features of one kind, in the order of the scorer's array."""
        return tuple(f.name for f in self.features if f.kind == kind)


def load_contract(use_case: str, models: Path = MODELS) -> Contract:
    """The contract of one use case.

    Raises:
        TreehouseError: There is no such use case, or its YAML lacks a part.
    """
    known = contracts(models)
    if use_case not in known:
        close = difflib.get_close_matches(use_case, known, n=1)
        raise TreehouseError(
            "There is no such use case.",
            value=use_case,
            expected="one of " + ", ".join(sorted(known)),
            fix=f"did you mean {close[0]}?" if close else None,
        )
    return known[use_case]


def other_columns(use_case: str, models: Path = MODELS) -> list[str]:
    """Columns of its features model that are no feature: keys, time and whatever else it has."""
    columns = _columns(use_case, "features", _entries(models))
    return [c["name"] for c in columns if _role(c) != "feature"]


@cache
def contracts(models: Path = MODELS) -> dict[str, Contract]:
    """Every use case found below `models/`, by name."""
    entries = _entries(models)
    found = [_contract(entry, entries) for entry in entries.values() if "use_case" in _meta(entry)]
    return {contract.use_case: contract for contract in sorted(found, key=lambda c: c.use_case)}


def _entries(models: Path) -> dict[str, dict[str, Any]]:
    """What the YAML says of each model, by its name, and in which file."""
    entries: dict[str, dict[str, Any]] = {}
    for path in sorted(models.glob("*/*.yml")):
        for entry in (read_yaml(path) or {}).get("models", []):
            entries[entry["name"]] = entry | {"file": f"models/{path.relative_to(models)}"}
    return entries


def _contract(entry: dict[str, Any], entries: dict[str, dict[str, Any]]) -> Contract:
    meta = _meta(entry)
    use_case = meta["use_case"]
    check_names([use_case], "use case", entry["file"])
    columns, labels = (_columns(use_case, part, entries) for part in _ROLES)
    _check_names(entry["file"], use_case, columns, labels, meta.get("heads") or ())
    for name, found in (
        ("feature", _with_role(columns, "feature")),
        ("key", _with_role(columns, "key")),
        ("time", _with_role(columns, "time")),
        ("label", _with_role(labels, "label")),
    ):
        if not found:
            raise _lacks(use_case, name, f"a column with `config: {{meta: {{role: {name}}}}}`")
    if not meta.get("heads"):
        raise _lacks(use_case, "heads", "`meta: {heads: [value, ...]}` beside its use_case")
    if untyped := [c["name"] for c in columns if _role(c) == "feature" and "data_type" not in c]:
        raise _lacks(use_case, f"data_type for {', '.join(untyped)}", "a ClickHouse type")
    features = tuple(
        Feature(c["name"], c["data_type"], with_vars(" ".join(c.get("description", "").split())))
        for c in columns
        if _role(c) == "feature"
    )
    for feature in features:
        check_type(feature.name, feature.type, feature.kind, entry["file"])
    return Contract(
        use_case=use_case,
        features=features,
        heads=tuple(meta["heads"]),
        keys=_with_role(columns, "key"),
        time=_with_role(columns, "time")[0],
        label=_with_role(labels, "label")[0],
        weight=next(iter(_with_role(labels, "weight")), ""),
        known_at=next(iter(_with_role(labels, "known_at")), ""),
        has_networks=bool(meta.get("networks"))
        or any(f.kind in ("tokens", "series") for f in features),
    )


def _columns(use_case: str, part: str, entries: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The columns of one of its models; a role that there is not would drop one silently."""
    columns: list[dict[str, Any]] = entries.get(f"{use_case}_{part}", {}).get("columns", [])
    if unknown := [c for c in columns if _role(c) not in (None, *_ROLES[part])]:
        raise TreehouseError(
            f"{use_case}_{part} has columns of a role that there is not.",
            value=", ".join(f"{c['name']}: {_role(c)}" for c in unknown),
            expected="one of " + ", ".join(_ROLES[part]),
            fix=f"mend models/{use_case}/{use_case}.yml",
        )
    return columns


def _check_names(
    file: str,
    use_case: str,
    columns: list[dict[str, Any]],
    labels: list[dict[str, Any]],
    heads: Iterable[Any],
) -> None:
    """Refuse names that the SQL of a use case could not be made of."""
    own = [c["name"] for c in columns if _role(c)]
    check_names(own, f"column of {use_case}_features", file, taken=[_SPLIT])
    kind = f"column of {use_case}_training_set"
    check_names(_with_role(labels, "label"), kind, file, [_SPLIT, *_with_role(columns, "feature")])
    for role in ("weight", "known_at"):
        check_names(_with_role(labels, role), kind, file, taken=[_SPLIT])
    check_names(heads, f"head of {use_case}", file, taken=_TUPLE)


def _lacks(use_case: str, part: str, expected: str) -> TreehouseError:
    return TreehouseError(
        f"The contract of {use_case} has no {part}.",
        expected=expected,
        fix=f"see models/ltv/ltv.yml, and add it to models/{use_case}/{use_case}.yml",
    )


def _with_role(columns: list[dict[str, Any]], role: str) -> tuple[str, ...]:
    return tuple(c["name"] for c in columns if _role(c) == role)


def _role(column: dict[str, Any]) -> str | None:
    return _meta(column).get("role")


def _meta(entry: dict[str, Any]) -> dict[str, Any]:
    """Its meta, at either place that dbt takes."""
    meta: dict[str, Any] = entry.get("config", {}).get("meta") or entry.get("meta") or {}
    return meta

"""In what a model's answers are counted, and how people read that."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from treehouse.project.contract import MODELS
from treehouse.project.settings import read_yaml, with_vars

if TYPE_CHECKING:
    from treehouse.spec import Spec

SYMBOLS = {"usd": "$", "seconds": "s"}
_WORDS = {"usd": "USD", "seconds": "seconds"}


def label_unit(spec: Spec) -> str:
    """ "usd", "seconds", "share" (of what is no value) or "number", by the label and its text."""
    if spec.task != "value":
        return "share"
    label = spec.label or spec.contract.label
    text = descriptions(spec.use_case).get(label, "")
    for unit, word in _WORDS.items():
        if label.endswith(f"_{unit}") or word in text:
            return unit
    return "number"


@cache
def descriptions(use_case: str) -> dict[str, str]:
    """Column to its description in the use case's YAML, on one line."""
    found: dict[str, str] = {}
    for path in sorted((MODELS / use_case).glob("*.yml")):
        for model in (read_yaml(path) or {}).get("models", []):
            for column in model.get("columns", []):
                if text := column.get("description"):
                    found.setdefault(column["name"], with_vars(" ".join(text.split())))
    return found

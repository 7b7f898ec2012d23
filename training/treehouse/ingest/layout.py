"""How the engine reads an origin: as a relation whose columns are all text.

Every value is read as text first, so that one that can't be parsed is seen and kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from treehouse.project.errors import TreehouseError

Progress = Callable[[str, int | None, int | None], None]
TEXT = "Nullable(String)"


@dataclass(frozen=True)
class Layout:
    """How the engine reads an origin.

    Attributes:
        texts: For each column, by its own name, the SQL of its value as Nullable(String).
        format: The engine's format of a file.
        structure: Names and types that the engine reads a file with.
        where: Condition on the rows read.
        settings: Query settings of the reading.
        rows: How many there are, where a file says so.
        said: What was found out about the file rather than told.
        is_json: Whether the columns are the keys of JSON objects, see jsonl.py.
        broken: SQL of a row's text where that can't be read at all, else of ''; "" if all can.
        whole: What a row has to be, for those that are broken.
    """

    texts: Mapping[str, str]
    format: str = ""
    structure: str = ""
    where: str = "1"
    settings: Mapping[str, Any] = field(default_factory=dict)
    rows: int | None = None
    said: tuple[str, ...] = ()
    is_json: bool = False
    broken: str = ""
    whole: str = ""


def as_text(name: str, kind: str) -> str:
    """SQL of a column's value as text: times in UTC, which they say, containers as JSON."""
    if "DateTime" in kind and not re.match(r"Array|Map|Tuple", kind):
        return f"concat(toString({name}, 'UTC'), 'Z')"
    if re.match(r"Array|Map|Tuple|Nested|JSON|Object|Variant|Dynamic", kind):
        return f"toJSONString({name})"
    return f"toString({name})"


def check_unique(names: Sequence[str], origin: object) -> None:
    """Refuse two columns of one name.

    Raises:
        TreehouseError: It names them.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TreehouseError(
            "Two columns of the file have one name.",
            value=", ".join(twice),
            fix=f"name them apart in {origin}",
        )

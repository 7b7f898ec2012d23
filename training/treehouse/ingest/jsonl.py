"""How to read JSON: an object a line, or an array of objects."""

from __future__ import annotations

import json

from clickhouse_connect.driver.client import Client

from treehouse.clickhouse.client import literal
from treehouse.ingest.layout import Layout
from treehouse.ingest.parse import flat_json
from treehouse.project.errors import TreehouseError

_MOST_KEYS = 10_000
_FIRST_LINES = 100  # looked at, for one that is an object
# No key of theirs should be called so.
_LINE = "_load_line"
_FLAT = "_load_flat"
_BROKEN = "_load_broken"


def json_layout(start: str) -> Layout:
    """How to read a file, before its keys are known.

    Args:
        start: The beginning of the file: an object that ends with its line says that each does,
            unless the file is an array.

    A line that is not an object is a row that can't be read; in an array, the engine reads all
    or nothing.
    """
    is_array = start.lstrip().startswith("[")
    by_line = not is_array and any(map(_is_object, start.splitlines()[:_FIRST_LINES]))
    fmt = "LineAsString" if by_line else "JSONAsString"
    return Layout(
        {}, fmt, f"{_LINE} String", where=f"trimBoth({_LINE}, ' \\t\\r\\n') != ''", is_json=True
    )


def with_keys(client: Client, layout: Layout, relation: str) -> tuple[str, Layout]:
    """The relation and layout of JSON rows, with a column for each key that one of them has.

    `{"a": {"b": 1}}` has the column `a.b`, and `a`, an object.

    Args:
        client: Of the engine that reads the relation.
        layout: Of `json_layout`.
        relation: What holds the lines, as SQL.

    Raises:
        TreehouseError: There are too many keys.
    """
    flat = (
        f"(select {_LINE}, {flat_json(_LINE)} as {_FLAT}, JSONType({_LINE}) != 'Object' "
        f"or length({_FLAT}) != length(arrayDistinct(mapKeys({_FLAT}))) as {_BROKEN} "
        f"from {relation} where {layout.where})"
    )
    found = client.query(
        f"select arrayJoin(mapKeys({_FLAT})) as key, count() as rows "
        f"from {flat} group by key order by rows desc, key limit {_MOST_KEYS + 1}",
        settings=dict(layout.settings),
    ).result_rows
    if len(found) > _MOST_KEYS:
        raise TreehouseError(
            f"The objects have more than {_MOST_KEYS} different keys.",
            value=", ".join(row[0] for row in found[-3:]),
            expected="keys that are names; what is data belongs into values",
        )
    keys = sorted(row[0] for row in found)
    texts = {key: f"{_FLAT}[{literal(key)}]" for key in keys}
    parents = {key[:i] for key in keys for i, c in enumerate(key) if c == "." and i}
    texts |= {parent: _object_sql(parent) for parent in sorted(parents)}
    return flat, Layout(
        texts,
        where="1",
        settings=layout.settings,
        broken=f"if({_BROKEN}, {_LINE}, '')",
        whole="a JSON object of whole characters that names each key once",
    )


def _object_sql(parent: str) -> str:
    """SQL of the JSON object of that name, or of what stands there in a row that has none."""
    prefix, plain = parent + ".", f"{_FLAT}[{literal(parent)}]"
    mine = f"mapFilter((k, v) -> startsWith(k, {literal(prefix)}), {_FLAT})"
    key = f"substring(k, {len(prefix.encode()) + 1})"
    return f"if({plain} != '', {plain}, toJSONString(mapApply((k, v) -> ({key}, v), {mine})))"


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False

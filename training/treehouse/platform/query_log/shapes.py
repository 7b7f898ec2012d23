"""What a query looks like without its literals: a text that holds no data, and its measures.

The text is made from an allow-list, not by removing what looks private: a word is kept only if it
is a keyword, a function of the engine, or part of a name that the engine itself says was used.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from treehouse.platform.query_log.functions import CLOCK, Functions

MAX_CHARACTERS = 65_536  # longer ones are mostly lists of values; parsing them takes seconds
_TOKENIZER = ClickHouse.tokenizer_class
_KEYWORDS = {**_TOKENIZER.KEYWORDS, **_TOKENIZER.SINGLE_TOKENS}
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_COMPARISONS = (exp.Predicate, exp.Between)


@dataclass(frozen=True)
class Shape:
    """The measures of one shape; engine_query_shapes documents them.

    Attributes:
        is_parsed: Whether sqlglot understood the query; if not, all else is empty.
    """

    is_parsed: bool = False
    text: str = ""
    joins: int = 0
    subqueries: int = 0
    aggregates: int = 0
    group_by: int = 0
    conditions: int = 0
    time_range: str = "none"
    is_deterministic: bool = False
    has_limit: bool = False


def describe(
    query: str,
    names: Collection[str],
    functions: Functions | None = None,
    columns: Collection[str] = (),
    views: Collection[str] = (),
) -> Shape:
    """The shape of a SELECT; of anything else or what can't be parsed, an empty one.

    Args:
        query: Its text, as it was sent.
        names: Words that may be kept: functions of the engine, parts of the names of the tables
            and columns that the engine says were used.
        functions: Of the engine; without them those of the engine that Treehouse was tested with,
            and no function of a user's own.
        columns: Names that are known to be columns, and so no calls of functions.
        views: With parameters, as database.name, that are known not to change by themselves.
    """
    if len(query) > MAX_CHARACTERS:
        return Shape()
    try:
        tokens = ClickHouse().tokenize(query)
        tree = sqlglot.parse_one(query, read="clickhouse")
    except (SqlglotError, RecursionError):
        return Shape()
    if not isinstance(tree, exp.Query):
        return Shape()
    moving = (functions or Functions.shipped()).moved_by(tokens, columns, views)
    clocks = any(word.lower() in CLOCK for word in moving)
    return Shape(
        is_parsed=True,
        text=_text(tokens, frozenset(names)),
        joins=_count(tree, exp.Join),
        subqueries=max(0, _count(tree, exp.Select) - 1),
        aggregates=_count(tree, exp.AggFunc),
        group_by=sum(len(group.expressions) for group in tree.find_all(exp.Group)),
        conditions=sum(
            _count(clause, *_COMPARISONS)
            for clause in tree.find_all(exp.Where, exp.PreWhere, exp.Having)
        ),
        time_range="relative" if clocks else "absolute" if _has_dates(tree) else "none",
        is_deterministic=not moving,
        has_limit=tree.find(exp.Limit, exp.Fetch) is not None,
    )


def _text(tokens: list[Token], names: frozenset[str]) -> str:
    """The words that may be kept, `?` for the others; lists of them as one."""
    words = [token.text if _may_keep(token, names) else "?" for token in tokens]
    text = " ".join(words)
    return re.sub(r"\?(?:\s*,\s*\?)+", "?..", text)


def _may_keep(token: Token, names: frozenset[str]) -> bool:
    if token.token_type in (TokenType.VAR, TokenType.IDENTIFIER):
        return token.text in names
    return _KEYWORDS.get(token.text.upper()) is token.token_type  # and not a string of that text


def _has_dates(tree: exp.Expr) -> bool:
    """Whether a condition compares with a date."""
    return any(
        literal.is_string and _DATE.match(literal.this)
        for clause in tree.find_all(exp.Where, exp.PreWhere)
        for literal in clause.find_all(exp.Literal)
    )


def _count(tree: exp.Expr, *kinds: type[exp.Expr]) -> int:
    return sum(1 for _ in tree.find_all(*kinds))

"""Which functions answer the same when they are asked again, as the engine itself says.

`system.functions` tells it of each function of the engine; of aggregate functions it says nothing,
but they see their rows and nothing else. SQL functions are looked into, executable ones are taken
at their declaration. What is not known is taken to move. Without an engine its list is read from
functions.txt, which a test compares with the engines.

What an aggregate or a LIMIT may choose among its rows (`any`, ties) the query itself leaves open: a
kept choice is as right as a new one, as in the engine's own query cache.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

SHIPPED = Path(__file__).with_name("functions.txt")
_words = re.compile(r"\w+").findall
CLOCK = frozenset(_words(
    "now now64 nowinblock nowinblock64 today yesterday localtime localtimestamp curdate "
    "current_date current_timestamp utctimestamp utc_timestamp"
))  # fmt: skip
# The engine has it as one that may not be moved around in a query; its rows are those of the array.
_STEADY_ALL_THE_SAME = {"arrayjoin", "unnest"}
# They ask a service, or the machine, whatever their arguments are; on the last releases differ.
_MOVING_ALL_THE_SAME = re.compile(
    r"ai[a-z]+|timeseries.*|tid|globalvariable|hasthreadfuzzer|demangle"
)
_OURS = {"treehouse_score", "treehouse_explain", "treehouse_network"}  # as udfs/ declares them
_LOOKUP = re.compile(r"dict(get|has|isin).*|joinget.*|region(to|in|hierarchy).*|hascolumnintable")
STEADY_TABLE_FUNCTIONS = {"numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries",
                    "generate_series", "primes", "values", "null", "view"}  # fmt: skip
_COMBINATORS = re.compile(
    r"(simplestate|ordefault|distinct|resample|foreach|argmax|argmin|ornull|tuple|merge|state"
    r"|array|null|map|if)$"
)
_BEFORE_A_PARENTHESIS = frozenset(_words(
    "all and anti any array as asc asof between by case columns cross cube desc distinct else end "
    "except exists fill filter final from full global group grouping having ilike in inner "
    "interpolate intersect interval is join left like limit not offset on or outer over "
    "partition prewhere qualify range replace right rollup rows sample select semi sets settings "
    "then top union using when where window with within"
))  # fmt: skip
_SYSTEM = {"system", "information_schema"}
_TYPES: frozenset[Any] = frozenset(ClickHouse.parser_class.TYPE_TOKENS)


@dataclass(frozen=True)
class Functions:
    """What is known of functions; every name in lower case.

    Attributes:
        steady: Those that answer the same for the same arguments or rows.
        moving: Those that don't, or of which the engine does not say it.
        bare: Of the moving ones those that a word alone calls where no column has its name.
    """

    steady: frozenset[str]
    moving: frozenset[str]
    bare: frozenset[str]

    @classmethod
    @cache
    def shipped(cls) -> Functions:
        """Those of the engine that Treehouse was tested with."""
        sections = re.split(r"^(\w+):$", SHIPPED.read_text(), flags=re.MULTILINE)[1:]
        found = {
            name: frozenset(words.split())
            for name, words in zip(sections[::2], sections[1::2], strict=True)
        }
        return cls(**found)

    @classmethod
    def of(cls, client: Client) -> Functions:
        """Those of an engine, its users' own ones with them."""
        rows, declared = _listed(client)
        bodies = {name: body for name, origin, *_, body in rows if origin == "SQLUserDefined"}
        judged = [
            (name.lower(), name in declared if origin != "System" else _is_steady(name, *flags))
            for name, origin, *flags, _ in rows
            if name not in bodies
        ]
        moving = frozenset(name for name, is_steady in judged if not is_steady)
        steady = frozenset(name for name, _ in judged) - moving  # whatever its case
        bare = cls.shipped().bare | (moving - cls.shipped().moving - cls.shipped().steady)
        return cls(steady, moving, bare).with_bodies(bodies)

    def with_bodies(self, bodies: Mapping[str, str]) -> Functions:
        """And SQL functions, which move if they call what does."""
        known, left = self, dict(bodies)
        while True:
            new = {name for name, body in left.items() if not known.moved_by(_body(body))}
            if not new:
                break
            left = {name: body for name, body in left.items() if name not in new}
            known = Functions(known.steady | {n.lower() for n in new}, known.moving, known.bare)
        return Functions(known.steady, known.moving | {n.lower() for n in left}, known.bare)

    def is_steady(self, name: str) -> bool:
        """Whether a function answers the same; its name may end in those of combinators."""
        name = name.lower()
        while name not in self.steady and name not in self.moving:
            base = _COMBINATORS.sub("", name)
            if base == name:
                return False
            name = base
        return name in self.steady

    def moved_by(
        self,
        query: str | Sequence[Token],
        columns: Iterable[str] = (),
        views: Collection[str] = (),
    ) -> list[str]:
        """The words of a query by which its answer may change though no table does, or may do so
        for all that is known; "" where it can't be read.

        Args:
            query: Its text, or the tokens of it.
            columns: Names that are known to be columns.
            views: With parameters, as database.name, that are known not to move.
        """
        try:
            tokens = ClickHouse().tokenize(query) if isinstance(query, str) else query
        except SqlglotError:
            return [""]
        own = {column.lower() for column in columns}
        found = [
            token.text
            for i, token in enumerate(tokens)
            if _is_word(token) and self._moves(tokens, i, own, views)
        ]
        return list(dict.fromkeys(found))

    def _moves(
        self, tokens: Sequence[Token], i: int, columns: set[str], views: Collection[str]
    ) -> bool:
        token, word = tokens[i], tokens[i].text.lower()
        before = tokens[i - 1].token_type if i else None
        after = tokens[i + 1].token_type if i + 1 < len(tokens) else None
        if after is TokenType.L_PAREN:
            if before is TokenType.DOT or "." in word:  # a view with parameters
                return "".join(t.text for t in tokens[max(0, i - 2) : i + 1]) not in views and (
                    token.text not in views
                )
            if word in self.moving or word in self.steady:
                return word in self.moving
            known = word in STEADY_TABLE_FUNCTIONS or word in _BEFORE_A_PARENTHESIS
            return not (known or token.token_type in _TYPES or self.is_steady(word))
        if after is TokenType.DOT:
            return word in _SYSTEM
        # Clocks of other dialects too: an engine may come to know them.
        return (
            before not in (TokenType.DOT, TokenType.ALIAS) and word in (self.bare | CLOCK) - columns
        )


def is_lookup(name: str) -> bool:
    """Whether a function reads what lies elsewhere: a dictionary, a Join table."""
    return _LOOKUP.fullmatch(name.lower()) is not None


def _is_word(token: Token) -> bool:
    if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER):
        return token.token_type is TokenType.IDENTIFIER
    return re.fullmatch(r"[^\W\d]\w*", token.text) is not None


def _listed(client: Client) -> tuple[Sequence[Sequence[Any]], set[str]]:
    """Name, origin, is_aggregate, deterministic and text of each function; and the executable ones
    that are declared deterministic, as far as the engine's release tells."""
    there = set(
        client.query(
            "select table, name from system.columns where database = 'system' "
            "and table in ('functions', 'user_defined_functions')"
        ).result_rows
    )
    names = ("deterministic", "is_deterministic")  # in newer and in older releases
    column = next((name for name in names if ("functions", name) in there), "null")
    rows = client.query(
        f"select name, toString(origin), is_aggregate, {column}, create_query from system.functions"
    ).result_rows
    if ("user_defined_functions", "deterministic") not in there:
        return rows, _OURS
    sql = "select name from system.user_defined_functions where deterministic"
    return rows, _OURS | {str(name) for (name,) in client.query(sql).result_rows}


def _is_steady(name: str, is_aggregate: int, deterministic: int | None) -> bool:
    lower = name.lower()
    if lower in _STEADY_ALL_THE_SAME:
        return True
    return not _MOVING_ALL_THE_SAME.fullmatch(lower) and bool(is_aggregate or deterministic)


def _body(create: str) -> str:
    """What stands behind AS in CREATE FUNCTION."""
    return re.sub(r"(?is)^\s*create\s+(or\s+replace\s+)?function\s+.+?\s+as\s+", "", create)

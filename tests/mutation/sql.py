"""Errors in dbt's SQL. It has Jinja in it, so words are replaced in the text, outside comments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_WORDS = {
    r" <= ": (" < ",),
    r" >= ": (" > ",),
    r" < ": (" <= ", " > "),
    r" > ": (" >= ", " < "),
    r" = ": (" != ",),
    r" != ": (" = ",),
    r" \+ ": (" - ",),
    r" - ": (" + ",),
    r" \* ": (" / ",),
    r" / ": (" * ",),
    r"\bleft join\b": ("inner join",),
    r"\bmin(?=(Map|If|Merge|State|OrNull|\())": ("max",),
    r"\bmax(?=(Map|If|Merge|State|OrNull|\())": ("min",),
    r"\bsum(?=(If|\())": ("max",),
    r"\bavg(?=(If|\())": ("max",),
    r"\bargMin(?=(If|\())": ("argMax",),
    r"\bargMax(?=(If|\())": ("argMin",),
    r"\bcountIf(?=\()": ("countDistinctIf", "-countIf"),
    r"\buniq(Exact)?(?=(If|\())": ("count",),
    r"\bnot (?=\w)": ("",),
    r"\bleast(?=\()": ("greatest",),
    r"\bgreatest(?=\()": ("least",),
    r"\b\d+\b(?!')": ("+1",),
    r"\}\}(?= (day|preceding|following|and)\b|[,)])": ("}} + 1",),
}
_SKIPPED = re.compile(r"\{#.*?#\}|\{%.*?%\}|--[^\n]*|\{\{ config\(.*?\) \}\}", re.DOTALL)
_AND = re.compile(r"\band\b")
_QUOTED = re.compile(r"'([a-z_]{3,})'")


def sql_mutants(source: str) -> Iterator[str]:
    """The source with one error each."""
    skipped = [match.span() for match in _SKIPPED.finditer(source)]

    def is_skipped(start: int) -> bool:
        return any(a <= start < b for a, b in skipped)

    for pattern, replacements in _WORDS.items():
        for match in re.finditer(pattern, source):
            if not is_skipped(match.start()):
                for word in replacements:
                    new = str(int(match[0]) + 1) if word == "+1" else word
                    yield source[: match.start()] + new + source[match.end() :]
    for match in _AND.finditer(source):
        before = source[max(0, match.start() - 60) : match.start()]
        if not is_skipped(match.start()) and "between" not in before:
            yield source[: match.start()] + "or" + source[match.end() :]
    yield from _other_names(source, is_skipped)


def _other_names(source: str, is_skipped: Callable[[int], bool]) -> Iterator[str]:
    """Another of the file's quoted words: events, kinds, units."""
    found = [m for m in _QUOTED.finditer(source) if not is_skipped(m.start())]
    words = list(dict.fromkeys(match[1] for match in found))
    for match in found:
        other = words[(words.index(match[1]) + 1) % len(words)]
        if other != match[1]:
            yield source[: match.start(1)] + other + source[match.end(1) :]

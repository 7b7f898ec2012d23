"""For tests that say something of all: of nothing, everything is true."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def some(items: Iterable[T]) -> list[T]:
    """The items, of which there must be one."""
    found = list(items)
    assert found, "there is nothing of which the test says something"
    return found

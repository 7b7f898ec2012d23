"""What the benchmarks need beyond the package: the extra `bench`."""

from __future__ import annotations

from treehouse.project.errors import TreehouseError


def missing(what: str, error: ImportError) -> TreehouseError:
    """The error for a library that is not here."""
    return TreehouseError(
        f"{what} is not installed; only the benchmarks use it.",
        value=str(error),
        expected="the package with its extra `bench`",
        fix=".venv/bin/python -m pip install -e '.[bench]'",
    )

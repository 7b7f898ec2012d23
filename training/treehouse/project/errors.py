"""One base class for every error that a user can mend."""

from __future__ import annotations

import re


def first_line(error: Exception) -> str:
    """What an engine's error says, without its stack trace."""
    return next(iter(str(error).splitlines()), "").split(", Stack trace")[0]


def without_text(told: str) -> str:
    """Of what an engine's error says the name and code alone: the rest quotes the query.

    For logs that others read than those who asked.
    """
    if not told:
        return ""
    code = re.search(r"\bCode: (\d+)", told)
    names = re.findall(r"\(([A-Z][A-Z0-9_]{2,})\)", told)
    if code is None:
        return "it could not be asked; who runs it is told why"
    return f"{names[-1]} (code {code[1]})" if names else f"code {code[1]}"


class TreehouseError(Exception):
    """Something a user can mend: what happened, the value, what was expected, the fix.

    Args:
        what: One sentence that says what went wrong.
        value: The offending value, shown as it was given.
        expected: What would have been accepted.
        fix: What to do now; a command where there is one.
    """

    def __init__(
        self,
        what: str,
        *,
        value: object = None,
        expected: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.what, self.value, self.expected, self.fix = what, value, expected, fix
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.what]
        if self.value is not None:
            lines.append(f"  got:      {self.value}")
        if self.expected is not None:
            lines.append(f"  expected: {self.expected}")
        if self.fix is not None:
            lines.append(f"  to mend:  {self.fix}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """The same, for `--json`."""
        return {
            "error": self.what,
            "value": None if self.value is None else str(self.value),
            "expected": self.expected,
            "fix": self.fix,
        }


class UnfitError(TreehouseError):
    """A candidate that can't be fitted to these rows; others of the same spec may."""

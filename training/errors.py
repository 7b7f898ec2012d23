"""One base class for every error that a user can mend."""

from __future__ import annotations


def first_line(error: Exception) -> str:
    """What an engine's error says, without its stack trace."""
    return next(iter(str(error).splitlines()), "").split(", Stack trace")[0]


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

"""Which wing of the package may import which: the list is in pyproject.toml."""

from __future__ import annotations

import pytest
from importlinter.cli import lint_imports

from treehouse.project.settings import ROOT


def test_a_wing_imports_only_what_lies_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    broken = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert not broken, capsys.readouterr().out

"""What data holds does not steer a terminal, and JSON is exact."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from tests.conftest import Cli
from treehouse.cli.shared import show, show_rows
from treehouse.project import console

HOSTILE = (
    "\x1b[2J\x1b]0;title\x07\x9b31mred\x1b[0m\r\x08over \u202egnp.exe\u2066\u200f "
    "[link=file:///etc]l[/link] [/] [bold]b :skull: \U000e0041\x7f"
)
#: What a terminal acts on, by ECMA-48 and Unicode's list of bidirectional controls.
STEERS = [chr(c) for c in (*range(0x20), *range(0x7F, 0xA0)) if chr(c) not in "\t\n"] + list(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


class Terminal(io.StringIO):
    """A stream that says that it is one."""

    buffer: Any

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal without colours: whatever escape it is sent came out of the data."""
    stream = Terminal()
    for name in ("out", "err"):
        shown = console._Console(
            file=stream, force_terminal=True, no_color=True, highlight=False, emoji=False, width=400
        )
        shown._color_system = None
        monkeypatch.setattr(console, name, shown)
    return stream


def steered(text: str) -> set[str]:
    return {character for character in STEERS if character in text}


def test_every_character_that_steers_is_shown_as_its_code() -> None:
    shown = console.visible("".join(STEERS) + "a\tb\nc\ud800 é 漢 😀 \u200d")
    assert not steered(shown)
    assert shown.startswith(r"\x00\x01")
    assert r"\x1b" in shown
    assert r"\x9b" in shown
    assert r"\u202e" in shown
    assert shown.endswith("a\tb\nc\\ud800 é 漢 😀 \u200d")


def test_tables_values_titles_and_errors_are_shown_as_they_are(terminal: Terminal) -> None:
    console.show_table([HOSTILE], [[HOSTILE], [None]], title=HOSTILE)
    show({HOSTILE: HOSTILE, "inside": {HOSTILE: HOSTILE}, "list": [HOSTILE]}, json=False)
    show_rows([{HOSTILE: HOSTILE}])
    console.err.print(HOSTILE, markup=False, soft_wrap=True)
    console.out.print(HOSTILE)  # somebody forgot to escape: ends in no error and steers nothing
    text = terminal.getvalue()
    assert not steered(text)
    assert "\\x1b[2J" in text
    assert "[link=file:///etc]l[/link] [/] [bold]b :skull:" in text


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_guarded_too(
    monkeypatch: pytest.MonkeyPatch, terminal: Terminal, is_terminal: bool
) -> None:
    """Rich's own commands move the cursor; what data brings must not be among them."""
    if not is_terminal:
        plain = console._Console(file=terminal, force_terminal=False, emoji=False, width=400)
        monkeypatch.setattr(console, "err", plain)
    with console.step(HOSTILE) as report:
        report(HOSTILE, 1, 2)
    text = terminal.getvalue()
    assert "\x1b]0;" not in text
    assert "\x1b[2J" not in text
    assert not steered(text) & set("\x07\x9b\u202e\x08\x7f")


def test_what_another_program_prints_keeps_its_colours_alone(
    monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    monkeypatch.setattr(sys, "stdout", terminal)
    with console.guarded_stdout():
        print("\x1b[32mOK\x1b[0m \x1b[2J\x1b]0;t\x07")
    assert terminal.getvalue() == "\x1b[32mOK\x1b[0m \\x1b[2J\\x1b]0;t\\x07\n"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_format_of_its_own_is_exact_for_a_file(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    stream = Terminal()
    stream.buffer = io.BytesIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    console.show_text(b"\x1b[2J\xff")
    shown = b"\\x1b[2J\xef\xbf\xbd" if is_terminal else b"\x1b[2J\xff"
    assert stream.buffer.getvalue() == shown


@pytest.mark.embedded
def test_the_command_line_shows_codes_and_its_json_is_exact(run_cli: Cli) -> None:
    text = "\x1b[2J\x9b1m\u202e[/]"
    literal = "'" + text + "'"
    table = run_cli("sql", f"select {literal} as {'`' + text + '`'}")
    assert not steered(table.stdout)
    assert r"\x1b[2J\x9b1m\u202e[/]" in table.stdout
    exact = run_cli("sql", "--json", f"select {literal} as a")
    assert json.loads(exact.stdout) == [{"a": text}]
    refused = run_cli("sql", f"select throwIf(1, {literal})", check=False)
    assert refused.returncode == 2
    assert not steered(refused.stderr)
    assert r"\x1b[2J" in refused.stderr


def test_numbers_that_name_something_have_no_marks(terminal: Terminal) -> None:
    console.show_table(["log_id", "year", "rows"], [[16589608743178575309, 2026, 12345]])
    assert terminal.getvalue().split()[3:] == ["16589608743178575309", "2026", "12,345"]


def test_numbers_inside_of_a_value_are_rounded_too() -> None:
    found = [("d7_revenue", 0.123456789), {"base": -4.3867813906, "n": 3}]
    assert console.cell(found) == "[('d7_revenue', 0.1235), {'base': -4.387, 'n': 3}]"
    assert console.cell((1e-9 / 3, None)) == "(3.333e-10, None)"

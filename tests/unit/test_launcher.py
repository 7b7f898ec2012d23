"""`./treehouse` makes its environment, keeps it, and hands over; no network, no real packages.

The interpreter is a stand-in on a PATH of its own: `-m venv` copies it, `-m pip` writes down what
it was asked for, and everything else says what it was started with.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from treehouse.project.settings import ROOT

INTERPRETERS = ("python3.13", "python3.12", "python3.11", "python3")
TOOLS = [
    "cksum",
    "cp",
    "env",
    "mkdir",
    "readlink",
    "rm",
    "sed",
    "sh",
    "sleep",
    "tail",
    "tr",
    "uname",
]
PYTHON = f"""\
#!/bin/sh
case "$1 ${{2-}}" in
"-V ") echo "Python ${{FAKE_VERSION:-3.13.1}}" ;;
"-c import sys; sys.exit(sys.version_info < (3, 11))") exit "${{FAKE_TOO_OLD:-0}}" ;;
"-c import ensurepip, venv") exit "${{FAKE_NO_VENV:-0}}" ;;
"-c "*) exec {sys.executable} "$@" ;;
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip")
    shift 2
    printf '%s CXX=%s\\n' "$*" "${{CXX-}}" >>"$FAKE_LOG"
    [ -z "${{FAKE_PIP_SECONDS-}}" ] || exec sleep "$FAKE_PIP_SECONDS"
    echo "pip says hello"
    exit "${{FAKE_PIP_FAILS:-0}}"
    ;;
*) printf '%s\\n' "$PWD" "$@" ;;
esac
"""


@dataclass
class Checkout:
    """A folder with the launcher and a project, and a PATH with nothing but what it needs."""

    root: Path
    tools: Path
    log: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def launcher(self) -> Path:
        return self.root / "treehouse"

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def installs(self) -> list[str]:
        """What pip was asked for, one line for each time."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def start(
        self, *arguments: str, launcher: str | None = None, cwd: Path | None = None, **fake: str
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [launcher or str(self.launcher), *arguments],
            cwd=cwd or self.root,
            env={"PATH": str(self.tools), "FAKE_LOG": str(self.log), "HOME": str(self.root)} | fake,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Whoever runs the tests in the background ignores it, and so would what they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str, code: int = 0, **options: object) -> tuple[str, str]:
        """What it wrote to stdout and stderr."""
        process = self.start(*arguments, **options)  # type: ignore[arg-type]
        out, err = process.communicate(timeout=30)
        assert process.returncode == code, err
        return out, err

    def wait_for_pip(self) -> None:
        end = time.monotonic() + 20
        while not self.installs:
            assert time.monotonic() < end, "pip was never started"
            time.sleep(0.01)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A checkout in a folder with a space in its name, with a compiler on the PATH."""
    root, tools = tmp_path / "my checkout", tmp_path / "bin"
    root.mkdir()
    tools.mkdir()
    shutil.copy(ROOT / "treehouse", root)
    (root / "pyproject.toml").write_text("version 1")
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (tools / name).symlink_to(found)
    for name in INTERPRETERS:
        (tools / name).write_text(PYTHON)
        (tools / name).chmod(0o755)
    (tools / "g++").symlink_to(tools / "sh")
    checkout = Checkout(root, tools, tmp_path / "pip.log")
    yield checkout
    for process in checkout.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_the_first_run_installs_and_hands_over(checkout: Checkout) -> None:
    out, err = checkout.run("sql", "select 'a b'", "*")
    assert out.splitlines() == [
        str(checkout.root), "-P", "-m", "treehouse", "sql", "select 'a b'", "*",
    ]  # fmt: skip
    assert "a minute or two" in err
    assert len(checkout.installs) == 1
    assert checkout.installs[0].endswith(f"-e {checkout.root}[demo] CXX=")


def test_the_second_run_does_nothing_of_its_own(checkout: Checkout) -> None:
    checkout.run()
    assert checkout.run("status") == (f"{checkout.root}\n-P\n-m\ntreehouse\nstatus\n", "")
    assert len(checkout.installs) == 1


def test_a_changed_project_is_installed_into_the_same_environment(checkout: Checkout) -> None:
    checkout.run()
    kept = checkout.venv / "kept"
    kept.touch()
    (checkout.root / "pyproject.toml").write_text("version 2")
    _, err = checkout.run()
    assert "pyproject.toml has changed" in err
    assert len(checkout.installs) == 2
    assert kept.exists()
    assert checkout.run()[1] == ""


def test_another_interpreter_makes_it_anew(checkout: Checkout) -> None:
    checkout.run()
    (checkout.venv / "old").touch()
    checkout.run(FAKE_VERSION="3.13.2")
    assert len(checkout.installs) == 2
    assert not (checkout.venv / "old").exists()


def test_a_removed_interpreter_makes_it_anew(checkout: Checkout) -> None:
    checkout.run()
    python = checkout.venv / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python")
    checkout.run()
    assert len(checkout.installs) == 2


def test_a_moved_checkout_makes_it_anew(checkout: Checkout) -> None:
    checkout.run()
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))
    checkout.run()
    assert checkout.installs[1].endswith(f"-e {checkout.root}[demo] CXX=")


@pytest.mark.parametrize(
    "command", [("test", "-x"), ("--target", "server", "mutate"), ("--target=server", "test")]
)
def test_tools_of_tests_are_installed_when_they_are_asked_for(
    checkout: Checkout, command: tuple[str, ...]
) -> None:
    checkout.run("demo")
    _, err = checkout.run(*command)
    assert "installing the tools of test" in err
    assert checkout.installs[1].endswith(f"-e {checkout.root}[demo,dev] CXX=")
    assert checkout.run(*command)[1] == checkout.run("sql", "test")[1] == ""
    (checkout.root / "pyproject.toml").write_text("version 2")
    checkout.run("demo")
    assert checkout.installs[2].endswith(f"-e {checkout.root}[demo,dev] CXX=")


@pytest.mark.parametrize("command", [("sql", "test"), ("--target", "test", "sql"), ()])
def test_other_words_are_no_command(checkout: Checkout, command: tuple[str, ...]) -> None:
    checkout.run(*command)
    assert checkout.installs[0].endswith("[demo] CXX=")


def test_what_an_earlier_release_installed_is_all(checkout: Checkout) -> None:
    checkout.run("demo")
    (checkout.venv / ".treehouse-extras").unlink()
    assert checkout.run("test")[1] == ""
    assert len(checkout.installs) == 1


def test_on_linux_nothing_for_gpus_is_installed(checkout: Checkout) -> None:
    checkout.run()
    stands_in = f" {checkout.root}/training/no_gpu " in checkout.installs[0]
    assert stands_in == (platform.system() == "Linux")
    assert 'name = "nvidia-nccl-cu12"' in (ROOT / "training/no_gpu/pyproject.toml").read_text()


def test_an_environment_without_a_stamp_is_made_anew(checkout: Checkout) -> None:
    (checkout.venv / "bin").mkdir(parents=True)
    (checkout.venv / "half").touch()
    checkout.run()
    assert not (checkout.venv / "half").exists()


def test_a_failed_install_shows_what_pip_said_and_is_tried_again(checkout: Checkout) -> None:
    out, err = checkout.run(FAKE_PIP_FAILS="1", code=1)
    assert out == ""
    assert "pip says hello" in err
    assert str(checkout.venv / "install.log") in err
    checkout.run()
    assert len(checkout.installs) == 2


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_install_starts_over(checkout: Checkout, by: signal.Signals) -> None:
    first = checkout.start(FAKE_PIP_SECONDS="60")
    checkout.wait_for_pip()
    os.killpg(first.pid, by)
    assert first.wait(10) != 0
    (checkout.venv / "half").touch()
    checkout.run()
    assert len(checkout.installs) == 2
    assert not (checkout.venv / "half").exists()


def test_an_interrupted_update_starts_over(checkout: Checkout) -> None:
    checkout.run()
    (checkout.root / "pyproject.toml").write_text("version 2")
    checkout.log.unlink()
    update = checkout.start(FAKE_PIP_SECONDS="60")
    checkout.wait_for_pip()
    os.killpg(update.pid, signal.SIGKILL)
    update.wait(10)
    (checkout.venv / "half").touch()
    checkout.run()
    assert not (checkout.venv / "half").exists()


def test_of_two_first_runs_one_installs_and_both_answer(checkout: Checkout) -> None:
    first = checkout.start("one", FAKE_PIP_SECONDS="1")
    checkout.wait_for_pip()
    second = checkout.start("two", FAKE_PIP_SECONDS="1")
    answers = [process.communicate(timeout=30) for process in (first, second)]
    assert [out.splitlines()[-1] for out, _ in answers] == ["one", "two"]
    assert "waiting for it" in answers[1][1]
    assert len(checkout.installs) == 1


def test_it_runs_where_the_user_stands_and_through_links(
    checkout: Checkout, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "absolute").symlink_to(checkout.launcher)
    (elsewhere / "relative").symlink_to("absolute")
    out, _ = checkout.run(launcher="./relative", cwd=elsewhere)
    assert out.splitlines()[0] == str(elsewhere)
    assert checkout.venv.is_dir()


@pytest.mark.parametrize(
    ("fake", "message"),
    [
        ({"FAKE_TOO_OLD": "1"}, "needs Python 3.11 or newer; found Python 3.13.1"),
        ({"FAKE_NO_VENV": "1"}, "apt install python3-venv"),
    ],
)
def test_an_unfit_python_is_named(checkout: Checkout, fake: dict[str, str], message: str) -> None:
    _, err = checkout.run(code=1, **fake)
    assert message in err
    assert not checkout.venv.exists()


def test_the_newest_interpreter_is_taken_unless_one_is_named(checkout: Checkout) -> None:
    for name in INTERPRETERS[:3]:
        (checkout.tools / name).unlink()
    own = checkout.tools / "my-python"
    own.write_text(PYTHON.replace("3.13.1", "3.11.9"))
    own.chmod(0o755)
    assert "making .venv with Python 3.13.1" in checkout.run()[1]
    shutil.rmtree(checkout.venv)
    assert "making .venv with Python 3.11.9" in checkout.run(TREEHOUSE_PYTHON=str(own))[1]


def test_without_a_compiler_one_comes_from_the_package_index(checkout: Checkout) -> None:
    (checkout.tools / "g++").unlink()
    _, err = checkout.run()
    assert "no C++ compiler" in err
    first, second = checkout.installs
    assert first.endswith(" ziglang CXX=")
    compiler = f".venv/bin/python -I -m ziglang c++ -target {platform.machine()}-linux-musl"
    assert second.endswith(f" CXX={compiler}")


def test_a_compiler_named_by_cxx_is_enough(checkout: Checkout) -> None:
    (checkout.tools / "g++").unlink()
    checkout.run(CXX="/opt/mine/c++")
    assert [line.rpartition(" ")[2] for line in checkout.installs] == ["CXX=/opt/mine/c++"]


def test_ci_runs_all_tests_and_passes_arguments_on(checkout: Checkout) -> None:
    shutil.copytree(ROOT / ".ci", checkout.root / ".ci")
    for name in ("dirname", "id"):
        (checkout.tools / name).symlink_to(shutil.which(name) or "")
    (checkout.tools / "npm").symlink_to(checkout.tools / "sh")
    ci = str(checkout.root / ".ci" / "run")
    out, _ = checkout.run("-x", launcher=ci, cwd=checkout.tools)
    command = ["-P", "-m", "treehouse", "test", "--slow", "-x"]
    assert out.splitlines() == [str(checkout.root), *command]


@pytest.mark.parametrize("script", ["treehouse", ".ci/run"])
def test_shell_scripts_are_clean(script: str) -> None:
    own = Path(sys.executable).parent
    shellcheck = shutil.which("shellcheck", path=f"{own}{os.pathsep}{os.environ['PATH']}")
    if not shellcheck:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([shellcheck, str(ROOT / script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout

"""A process that has the libraries loaded and forks for each run of pytest.

Loading them takes longer than most groups' tests do, and would be repeated for every error. Run by
its path, so that nothing of the project is loaded before the fork: each run reads its own files.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from typing import Any

_SHARED = (
    "hypothesis", "joblib", "lightgbm", "numpy", "pandas", "pyarrow", "scipy", "sklearn", "xgboost",
)  # fmt: skip
"""What may be loaded before the fork. The engine and PyTorch may not: no fork copies their threads,
and who waits for one of them waits forever."""
_LOOKS_EACH = 0.02


def serve() -> None:
    """Answers requests, a JSON object a line: see `_run`. The child leaves the loop by itself."""
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)


def _run(request: dict[str, Any]) -> dict[str, Any]:
    """One run of pytest.

    Args:
        request: arguments of pytest; said, the file for what it prints; loaded, the file for the
            libraries it loads; libraries to load beforehand; keeps_bytecode, whether what it
            compiles is for later runs, too; cpu_seconds and seconds, its limits.

    Returns:
        code: Of the exit, None where a limit was reached; cpu_seconds and seconds it took.
    """
    for name in request["libraries"]:
        with suppress(Exception):
            import_module(name)
    started = time.monotonic()
    child = os.fork()
    if not child:
        _become_pytest(request)
    while True:
        ended, status, used = os.wait4(child, os.WNOHANG)
        seconds = time.monotonic() - started
        if ended:
            break
        if seconds > request["seconds"]:
            os.killpg(child, signal.SIGKILL)
        time.sleep(_LOOKS_EACH)
    code = os.waitstatus_to_exitcode(status)
    took_too_long = code in (-signal.SIGKILL, -signal.SIGXCPU)
    return {
        "code": None if took_too_long else code,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "seconds": seconds,
    }


def _become_pytest(request: dict[str, Any]) -> None:
    os.setsid()
    limit = int(request["cpu_seconds"])
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
    said = os.open(request["said"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(said, 1)
    os.dup2(said, 2)
    if not request["keeps_bytecode"]:
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    import pytest

    code = pytest.main(request["arguments"])
    with open(request["loaded"], "w") as file:
        json.dump(_libraries(), file)
    sys.exit(code)


def _libraries() -> list[str]:
    """What is loaded of the shared libraries, in the order of loading."""
    return [name for name in sys.modules if name.partition(".")[0] in _SHARED]


if __name__ == "__main__":
    serve()

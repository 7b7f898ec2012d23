"""Builds the native scorer: one static binary, `udfs/bin/treehouse-scorer`.

Called by the package build (a hatchling hook) and by the command line at run time; a binary whose
stamp fits the sources is left alone. Needs a C++17 compiler, or the `ziglang` package.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    _HookBase = object
else:
    try:
        from hatchling.builders.hooks.plugin.interface import BuildHookInterface as _HookBase
    except ImportError:
        _HookBase = object

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "scorer"
BINARY = HERE / "bin" / "treehouse-scorer"

#: No contraction: a fused multiply-add rounds once where the trainers round twice.
_COMMON = ("-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-pthread")
#: g++ 12 takes the undefined operand inside its own gather intrinsics for ours.
_WARNINGS = (
    *("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"),
    *("-Wno-maybe-uninitialized", "-Wno-uninitialized"),
)
#: The kernels take three times as long to compile where they are optimised, or where variables are
#: followed through them; the tests take no longer without.
_SANITIZE = ("-O0", "-g1", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all")

#: What each variant adds to the common flags.
VARIANTS: dict[str, tuple[str, ...]] = {
    "release": ("-O3", "-static", "-s"),
    "checks": ("-O3", "-static", *_WARNINGS),
    "asan": (*_SANITIZE, "-fsanitize=address,undefined"),
    "aarch64": ("-O3", "-static", "-s"),
}


def _error(what: str, fix: str, value: object = None) -> Exception:
    """TreehouseError when the package is importable; inside a package build it is not."""
    try:
        from treehouse.project.errors import TreehouseError
    except ImportError:
        return RuntimeError(f"{what}: {value}\n{fix}" if value else f"{what}\n{fix}")
    return TreehouseError(what, value=value, fix=fix)


def find_compiler(variant: str = "release") -> list[str]:
    """The command of a C++ compiler: $CXX, g++, c++, clang++, else the one in `ziglang`.

    For another processor than this one: Debian's cross compiler, or `ziglang`.

    Raises:
        TreehouseError: there is none; the message says how to get one.
    """
    crossing = variant == "aarch64" and platform.machine() != "aarch64"
    chosen = os.environ.get("CXX")
    if chosen and not crossing:
        return chosen.split()
    for name in ("aarch64-linux-gnu-g++",) if crossing else ("g++", "c++", "clang++"):
        found = shutil.which(name)
        if found:
            return [found]
    if importlib.util.find_spec("ziglang") is not None:
        target = ["-target", "aarch64-linux-musl"] if crossing else []
        return [sys.executable, "-m", "ziglang", "c++", *target]
    package = "g++-aarch64-linux-gnu" if crossing else "g++"
    raise _error(
        "no C++ compiler was found",
        f"install one (Debian, Ubuntu: apt-get install {package}), or run: pip install ziglang",
    )


def source_files() -> list[Path]:
    """Every source and header, in a fixed order."""
    return sorted(p for p in SOURCES.iterdir() if p.suffix in {".cpp", ".hpp", ".inl"})


def source_hash() -> str:
    """A hash over names and contents of the sources and over the flags."""
    digest = hashlib.sha256(repr((_COMMON, VARIANTS)).encode())
    for path in source_files():
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def output_path(variant: str = "release") -> Path:
    """Where a variant is built."""
    return BINARY if variant == "release" else BINARY.with_name(f"{BINARY.name}-{variant}")


def build(force: bool = False, variant: str = "release") -> Path:
    """Build the scorer unless the binary fits the sources; return its path.

    Args:
        force: build even if nothing changed.
        variant: "release"; "checks", with warnings as errors; "asan", with the address and
            undefined-behaviour sanitizers; "aarch64", for that processor.

    Raises:
        TreehouseError: no compiler, or it failed; the message holds the compiler's own text.
    """
    if variant not in VARIANTS:
        raise _error("no such variant of the scorer", f"one of {', '.join(VARIANTS)}", variant)
    target = output_path(variant)
    stamp, fresh = target.with_name(target.name + ".stamp"), source_hash()
    current = stamp.read_text().strip() if stamp.is_file() else ""
    if not force and target.is_file() and current == fresh:
        return target
    if not target.parent.is_dir():
        target.parent.mkdir(parents=True)
        target.parent.chmod(0o755)  # a container's server reads it from there
    _compile(target, find_compiler(variant), VARIANTS[variant], fresh)
    stamp.write_text(fresh + "\n")
    return target


def compile_commands(
    compiler: list[str], units: list[Path], flags: tuple[str, ...], folder: Path
) -> tuple[list[list[str]], list[Path]]:
    """A command for each source, and the object that it makes in the folder."""
    objects = [folder / (unit.stem + ".o") for unit in units]
    commands = [
        [*compiler, *_COMMON, *flags, "-c", str(unit), "-o", str(target)]
        for unit, target in zip(units, objects, strict=True)
    ]
    return commands, objects


def _compile(target: Path, compiler: list[str], flags: tuple[str, ...], fresh: str) -> None:
    """Objects side by side, then one link, then an atomic rename."""
    units = [p for p in source_files() if p.suffix == ".cpp"]
    flags = (*flags, f'-DTREEHOUSE_SOURCE_HASH="{fresh}"')
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
        commands, objects = compile_commands(compiler, units, flags, Path(folder))
        run_commands(commands)
        linked = Path(folder) / target.name
        command = [*compiler, *_COMMON, *flags, *map(str, objects)]
        run_commands([[*command, "-o", str(linked)]])
        linked.chmod(0o755)
        linked.replace(target)


def run_commands(commands: list[list[str]]) -> None:
    """Run compilers side by side, one for each core up to four; the first failure is raised."""
    jobs = max(1, min(4, os.cpu_count() or 1))
    running: list[tuple[list[str], subprocess.Popen[str]]] = []
    queue = list(commands)
    while queue or running:
        while queue and len(running) < jobs:
            command = queue.pop(0)
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            running.append((command, process))
        command, process = running.pop(0)
        text, _ = process.communicate()
        if process.returncode != 0:
            for _, other in running:
                other.communicate()
            fix = f"the command was: {' '.join(command)}"
            raise _error("the scorer could not be compiled", fix, text.strip()[-4000:])


class ScorerBuildHook(_HookBase):
    """Hatchling: builds the scorer before a wheel is made and ships it inside."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        del version
        binary = build()
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data.setdefault("artifacts", []).append(str(binary.relative_to(HERE.parent)))


if __name__ == "__main__":
    print(build(force="--force" in sys.argv, variant=os.environ.get("VARIANT", "release")))

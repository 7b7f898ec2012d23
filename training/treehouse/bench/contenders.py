"""Who else predicts: the trainers' own libraries, ONNX Runtime, Treelite's interpreter, TL2cgen."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from treehouse.bench import models
from treehouse.bench.extra import missing
from treehouse.bench.onnx_forest import to_onnx
from treehouse.forest import Forest
from treehouse.project import console
from treehouse.project.errors import TreehouseError

Predict = Callable[[models.Floats], Any]
#: TL2cgen's contender is left out where gcc takes longer.
COMPILE_SECONDS = 900


def contenders(
    shape: models.Shape, forest: Forest, folder: Path, tl2cgen: bool = False
) -> dict[str, Predict]:
    """Name to a function that predicts float64 rows with one thread.

    Args:
        shape: The fitted model.
        forest: The same as the scorer has it.
        folder: For what TL2cgen compiles.
        tl2cgen: Also compile the model into a library, at most COMPILE_SECONDS long.
    """
    import treelite

    imported = shape.treelite_model()
    found: dict[str, Predict] = {
        shape.library: shape.predict,
        "treelite gtil": lambda x: treelite.gtil.predict(imported, x, nthread=1),
    }
    single = imported.get_header_accessor().get_field("threshold_type")[0] == 2
    if single:
        found["treelite gtil"] = lambda x: treelite.gtil.predict(
            imported, x.astype(np.float32), nthread=1
        )
    found["onnxruntime"] = _onnxruntime(forest)
    if tl2cgen:
        compiled = _compiled(imported, np.float32 if single else np.float64, folder)
        if compiled is not None:
            found["tl2cgen"] = compiled
    return found


def _onnxruntime(forest: Forest) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        to_onnx(forest), options, providers=["CPUExecutionProvider"]
    )
    return lambda x: session.run(None, {"x": x.astype(np.float32)})[0]


def _compiled(imported: Any, dtype: type, folder: Path) -> Predict | None:
    """The model as C, compiled and loaded; None if the compiler takes too long."""
    try:
        import tl2cgen
    except ImportError as error:
        raise missing("TL2cgen", error) from error
    source, library = folder / "tl2cgen", folder / "model.so"
    tl2cgen.generate_c_code(imported, dirpath=str(source), params={"parallel_comp": 32})
    command = ["gcc", "-O3", "-std=c99", "-fPIC", "-shared", "-o", str(library)]
    started = time.perf_counter()
    compiler = subprocess.Popen(
        [*command, *map(str, sorted(source.glob("*.c")))], start_new_session=True
    )
    try:
        if compiler.wait(COMPILE_SECONDS) != 0:
            raise TreehouseError("gcc failed on what TL2cgen made", value=str(source))
    except subprocess.TimeoutExpired:
        os.killpg(compiler.pid, signal.SIGKILL)
        console.err.print(f"TL2cgen: gcc was stopped after {COMPILE_SECONDS} s")
        return None
    console.err.print(f"TL2cgen: compiled in {time.perf_counter() - started:.0f} s")
    predictor = tl2cgen.Predictor(str(library), nthread=1)
    return lambda x: predictor.predict(tl2cgen.DMatrix(x.astype(dtype), dtype=dtype.__name__))

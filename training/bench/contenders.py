"""Who else predicts: the trainers' own libraries, ONNX Runtime, Treelite's interpreter, TL2cgen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from training.bench import models
from training.bench.extra import missing
from training.bench.onnx_forest import to_onnx
from training.forest import Forest

Predict = Callable[[models.Floats], Any]


def contenders(
    shape: models.Shape, forest: Forest, folder: Path, tl2cgen: bool = False
) -> dict[str, Predict]:
    """Name to a function that predicts float64 rows with one thread.

    Args:
        shape: The fitted model.
        forest: The same as the scorer has it.
        folder: For what TL2cgen compiles.
        tl2cgen: Also compile the model into a library: minutes for a large one.
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
    onnx = to_onnx(forest)
    if onnx is not None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        found["onnxruntime"] = lambda x: session.run(None, {"x": x.astype(np.float32)})
    if tl2cgen:
        found["tl2cgen"] = _compiled(imported, np.float32 if single else np.float64, folder)
    return found


def _compiled(imported: Any, dtype: type, folder: Path) -> Predict:
    """The model as C, compiled and loaded."""
    try:
        import tl2cgen
    except ImportError as error:
        raise missing("TL2cgen", error) from error
    library = folder / "model.so"
    tl2cgen.export_lib(
        imported, toolchain="gcc", libpath=str(library), params={"parallel_comp": 32}
    )
    predictor = tl2cgen.Predictor(str(library), nthread=1)
    return lambda x: predictor.predict(tl2cgen.DMatrix(x.astype(dtype), dtype=dtype.__name__))

"""The recurrent network: an LSTM over the latest tokens (Hochreiter, Schmidhuber 1997), by PyTorch.

The plan is that of GRU4Rec (Hidasi, Karatzoglou, Baltrunas, Tikk 2016): an embedding of each token,
a recurrent layer, and the softmax over all labels; the gaps and all other features join in. What it
answers is mixed with the Markov chain's shares, as language models are (Mikolov, Deoras, Kombrink,
Burget, Cernocky 2011), by a gate that sees the same (Jacobs, Jordan, Nowlan, Hinton 1991): few rows
teach a network less than they teach a table, so it is asked only for what the table does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treehouse.fit.calibration import sharpness_by_entropy
from treehouse.fit.lstm_module import recurrent_module
from treehouse.fit.sequences import GAPS, SEQUENCE, Vocabulary, output_names
from treehouse.network import (
    NetworkInputs,
    Series,
    Tokens,
    fit_scaling,
    from_torch,
    import_torch,
    rows_of,
)
from treehouse.project.errors import TreehouseError

if TYPE_CHECKING:
    from treehouse.fit.dataset import Dataset
    from treehouse.fit.job import Listener
    from treehouse.fit.markov import Chain
    from treehouse.network import Network
    from treehouse.spec import Recurrent, Spec

Floats = NDArray[np.float64]
_ROWS_AT_ONCE = 4096
_COMPARED_ROWS = 512
_ARRAYS = (SEQUENCE, GAPS, "dense", "categorical")


def fit_recurrent(
    spec: Spec, data: Dataset, vocabulary: Vocabulary, chain: Chain, listener: Listener
) -> tuple[Network, Callable[[pa.RecordBatch], Floats]]:
    """The network, and PyTorch's own answers to a batch of rows.

    Raises:
        TreehouseError: PyTorch is not installed, or the network reads less than the chain.
    """
    from treehouse.network.from_torch import torch_answers

    _check(spec)
    torch = import_torch()
    torch.manual_seed(spec.recurrent.seed)
    torch.set_num_threads(1)  # layers so small lose more to waiting for each other than they gain
    inputs = _inputs(spec, data, vocabulary)
    module = recurrent_module(torch, spec, inputs, vocabulary, chain)

    def arrays(batch: pa.RecordBatch) -> dict[str, NDArray[Any]]:
        return inputs.arrays(rows_of(batch, data.contract), _ARRAYS)

    def part(split: str) -> tuple[dict[str, Any], Any]:
        rows = data.rows(split)
        found = {k: torch.from_numpy(v) for k, v in arrays(data.batch(rows)).items()}
        return found, torch.from_numpy(vocabulary.numbers(data.label[rows]))

    _descend(torch, module, spec.recurrent, chain, part("train"), part("validation"), listener)
    kept, number = part("calibration")
    logs = _logs(torch, module, kept).numpy().astype(np.float64)
    level, slope = sharpness_by_entropy(logs, number.numpy())
    module.level.fill_(level)
    module.slope.fill_(slope)
    some = data.batch(data.rows("validation")).slice(0, _COMPARED_ROWS)
    network = from_torch(module, inputs, output_names(spec), rows_of(some, data.contract))
    return network, lambda batch: np.hstack(torch_answers(module, arrays(batch)))


def _check(spec: Spec) -> None:
    if spec.recurrent.length < spec.chain.order:
        raise TreehouseError(
            "The network reads fewer tokens than the chain that it goes on from.",
            value=spec.recurrent.length,
            expected=f"a length of at least the chain's order, {spec.chain.order}",
            fix=f"mend training/specs/{spec.use_case}.py",
        )


def _inputs(spec: Spec, data: Dataset, vocabulary: Vocabulary) -> NetworkInputs:
    train = data.rows("train")
    length = spec.recurrent.length
    gaps = data.batch(train).column("series").flatten().flatten().to_numpy(zero_copy_only=False)
    return NetworkInputs(
        numeric={
            name: fit_scaling(data.column(name)[train], is_log=True)
            for name in data.contract.of_kind("numeric")
        },
        categorical=data.categories,
        tokens={SEQUENCE: Tokens(vocabulary.names, length)},
        series={GAPS: Series(length, fit_scaling(gaps, is_log=True))},
    )


def _descend(
    torch: Any, module: Any, options: Recurrent, chain: Chain, train: Any, validation: Any,
    listener: Listener,
) -> None:  # fmt: skip
    """Adam (Kingma, Ba 2015) until the validation rows say stop; the best epoch is kept."""
    (arrays, label), (held, held_label) = train, validation
    path = chain.path({name: array.numpy() for name, array in arrays.items()})
    # Without its own row, what came once would be new.
    target = torch.where(torch.from_numpy(chain.certain)[label] < 1, len(chain.known) - 1, label)
    optimizer = torch.optim.Adam(module.parameters(), lr=options.learning_rate)
    loss_of = torch.nn.functional.nll_loss
    best, best_epoch, kept = float("inf"), 0, None
    for epoch in range(options.epochs):
        module.train()
        for part in torch.randperm(len(label)).split(options.batch):
            optimizer.zero_grad()
            picked = {name: array[part] for name, array in arrays.items() if name != "categorical"}
            others = chain.shares_without(path[part.numpy()], label[part].numpy())
            logs = module.mixed(**picked, chained=module.logs_of(torch.from_numpy(others)))
            loss_of(logs, target[part]).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
        loss = float(loss_of(_logs(torch, module, held), held_label))
        if listener.progress:
            listener.progress("fit lstm log_loss", epoch + 1, options.epochs)
        if listener.loss:
            listener.loss(epoch, loss)
        if loss < best:
            best, best_epoch = loss, epoch
            kept = {name: value.clone() for name, value in module.state_dict().items()}
        elif epoch - best_epoch >= options.patience:
            break
    if kept:
        module.load_state_dict(kept)


def _logs(torch: Any, module: Any, arrays: dict[str, Any]) -> Any:
    """Tensor [rows, labels] of log shares, without gradients or dropout."""
    module.eval()
    rows = torch.arange(len(arrays[SEQUENCE])).split(_ROWS_AT_ONCE)
    with torch.no_grad():
        parts = [module.logs(**{k: v[part] for k, v in arrays.items()}) for part in rows]
    return torch.cat(parts)

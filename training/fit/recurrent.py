"""The recurrent network: an LSTM over the latest tokens (Hochreiter, Schmidhuber 1997), by PyTorch.

The plan is that of GRU4Rec (Hidasi, Karatzoglou, Baltrunas, Tikk 2016): an embedding of each token,
a recurrent layer, and the softmax over all labels; the gaps and all other features join in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.fit.sequences import (
    GAPS,
    SEQUENCE,
    Vocabulary,
    output_names,
    temperature,
)
from training.network import (
    NetworkInputs,
    Series,
    Tokens,
    fit_scaling,
    from_torch,
    import_torch,
    rows_of,
)
from udfs.network.inputs import FIRST_TOKEN

if TYPE_CHECKING:
    from training.fit.dataset import Dataset
    from training.fit.job import Listener
    from training.network import Network
    from training.spec import Recurrent, Spec

Floats = NDArray[np.float64]
_ROWS_AT_ONCE = 4096
_COMPARED_ROWS = 512
_NEVER = -1e4
"""Added to the logit of what only fills up the vocabulary."""


def fit_recurrent(
    spec: Spec, data: Dataset, vocabulary: Vocabulary, listener: Listener
) -> tuple[Network, Callable[[pa.RecordBatch], Floats]]:
    """The network, and PyTorch's own answers to a batch of rows.

    Raises:
        TreehouseError: PyTorch is not installed.
    """
    from training.network.from_torch import torch_answers

    torch = import_torch()
    torch.manual_seed(spec.recurrent.seed)
    torch.set_num_threads(1)  # layers so small lose more to waiting for each other than they gain
    inputs = _inputs(spec, data, vocabulary)
    module = _module(torch, spec, inputs, vocabulary)
    wanted = [SEQUENCE, GAPS, "dense"]

    def arrays(batch: pa.RecordBatch) -> dict[str, NDArray[Any]]:
        return inputs.arrays(rows_of(batch, data.contract), wanted)

    def tensors(split: str) -> tuple[dict[str, Any], Any]:
        """Of the rows whose label is known."""
        rows = data.rows(split)
        rows[rows] = vocabulary.positions(data.label[rows]) >= 0
        label = torch.from_numpy(vocabulary.positions(data.label[rows]))
        return {k: torch.from_numpy(v) for k, v in arrays(data.batch(rows)).items()}, label

    _descend(torch, module, spec.recurrent, tensors("train"), tensors("validation"), listener)
    kept, _ = tensors("calibration")
    rows = data.rows("calibration")
    rows[rows] = vocabulary.positions(data.label[rows]) >= 0
    if rows.any():
        logs = _logits(torch, module, kept).numpy().astype(np.float64)
        module.sharpness.fill_(temperature(logs, data.label[rows], vocabulary))
    some = data.batch(data.rows("validation")).slice(0, _COMPARED_ROWS)
    network = from_torch(module, inputs, output_names(spec), rows_of(some, data.contract))
    return network, lambda batch: np.hstack(torch_answers(module, arrays(batch)))


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


def _module(torch: Any, spec: Spec, inputs: NetworkInputs, vocabulary: Vocabulary) -> Any:
    """A torch.nn.Module over `recent`, `gaps` and `dense`; it answers labels and shares."""
    options = spec.recurrent
    labels = len(vocabulary.labels)
    dense = len(inputs.numeric) + sum(map(len, inputs.categorical.values()))

    class Recurrent(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            tokens = FIRST_TOKEN + len(vocabulary.names)
            self.embedding = torch.nn.Embedding(tokens, options.embedding)
            self.lstm = torch.nn.LSTM(options.embedding + 1, options.width, batch_first=True)
            self.drop = torch.nn.Dropout(options.dropout)
            self.out = torch.nn.Linear(options.width + options.embedding + dense, labels)
            self.register_buffer("labels", torch.from_numpy(vocabulary.labels))
            fills = np.where(np.arange(labels) < len(vocabulary.names), 0.0, _NEVER)
            self.register_buffer("fills", torch.from_numpy(fills.astype(np.float32)))
            self.register_buffer("sharpness", torch.ones(1))

        def logits(self, recent: Any, gaps: Any, dense: Any) -> Any:
            embedded = self.embedding(recent)
            states, _ = self.lstm(torch.cat([embedded, gaps.unsqueeze(-1)], dim=2))
            known = torch.cat([states[:, -1], embedded[:, -1], dense], dim=1)
            return self.out(self.drop(known)) + self.fills

        def forward(self, recent: Any, gaps: Any, dense: Any) -> Any:
            shares = torch.softmax(self.sharpness * self.logits(recent, gaps, dense), dim=1)
            best, at = torch.topk(shares, spec.places, dim=1)
            return self.labels[at], best

    return Recurrent()


def _descend(
    torch: Any, module: Any, options: Recurrent, train: Any, validation: Any, listener: Listener
) -> None:
    """Adam (Kingma, Ba 2015) until the validation rows say stop; the best epoch is kept."""
    (arrays, label), (held, held_label) = train, validation
    optimizer = torch.optim.Adam(module.parameters(), lr=options.learning_rate)
    cross_entropy = torch.nn.functional.cross_entropy
    best, best_epoch, kept = float("inf"), 0, None
    for epoch in range(options.epochs):
        module.train()
        for part in torch.randperm(len(label)).split(options.batch):
            optimizer.zero_grad()
            picked = {name: array[part] for name, array in arrays.items()}
            cross_entropy(module.logits(**picked), label[part]).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
        loss = float(cross_entropy(_logits(torch, module, held), held_label))
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


def _logits(torch: Any, module: Any, arrays: dict[str, Any]) -> Any:
    """Tensor [rows, labels], without gradients or dropout."""
    module.eval()
    rows = torch.arange(len(arrays[SEQUENCE])).split(_ROWS_AT_ONCE)
    with torch.no_grad():
        parts = [module.logits(**{k: v[part] for k, v in arrays.items()}) for part in rows]
    return torch.cat(parts)

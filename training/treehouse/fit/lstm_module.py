"""What lstm.py fits, as a torch.nn.Module: all that a bundle's graph holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from treehouse.fit.calibration import LEAST_ENTROPY
from udfs.network.inputs import FIRST_TOKEN

if TYPE_CHECKING:
    from treehouse.fit.markov import Chain
    from treehouse.fit.sequences import Vocabulary
    from treehouse.network import NetworkInputs
    from treehouse.spec import Spec

_NEVER = -1e4
"""The logit of what only fills up the vocabulary."""
_TIE = 1e-5
"""What each place of the vocabulary takes from a log: two labels that came equally often are told
apart in float32, by whichever runtime."""


def recurrent_module(
    torch: Any, spec: Spec, inputs: NetworkInputs, vocabulary: Vocabulary, chain: Chain
) -> Any:
    """A torch.nn.Module over `recent`, `gaps`, `dense` and `categorical`.

    It answers float64[rows, places] labels and float32[rows, places] shares. Before the answers
    stands a column more than there are labels: what is new.
    """
    options = spec.recurrent
    dense = len(inputs.numeric) + sum(map(len, inputs.categorical.values()))
    functional = torch.nn.functional

    class Recurrent(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            tokens = FIRST_TOKEN + len(vocabulary.names)
            known = options.width + options.embedding + dense
            self.embedding = torch.nn.Embedding(tokens, options.embedding)
            self.lstm = torch.nn.LSTM(options.embedding + 1, options.width, batch_first=True)
            self.drop = torch.nn.Dropout(options.dropout)
            self.out = torch.nn.Linear(known, len(vocabulary.labels) + 1)
            self.gate = torch.nn.Linear(known, 1)
            fills = np.where(vocabulary.prior > 0, 0.0, _NEVER)
            self.register_buffer("fills", torch.from_numpy(fills.astype(np.float32)))
            self.register_buffer("ties", -_TIE * torch.arange(len(fills)))
            self.register_buffer("labels", torch.from_numpy(vocabulary.labels))
            self.register_buffer("chain", self.logs_of(torch.from_numpy(chain.shares())))
            for i, step in enumerate(chain.steps):
                self.register_buffer(f"following{i}", torch.from_numpy(step.following.ravel()))
            self.register_buffer("level", torch.zeros(1))
            self.register_buffer("slope", torch.zeros(1))

        @staticmethod
        def logs_of(shares: Any) -> Any:
            return shares.clamp(min=float(np.finfo(np.float32).tiny)).log().float()

        def mixed(self, recent: Any, gaps: Any, dense: Any, chained: Any) -> Any:
            """Logs of the shares, before they are calibrated."""
            embedded = self.drop(self.embedding(recent))
            states, _ = self.lstm(torch.cat([embedded, gaps.unsqueeze(-1)], dim=2))
            known = torch.cat([states[:, -1], embedded[:, -1], dense], dim=1)
            own = torch.log_softmax(self.out(self.drop(known)) + self.fills, dim=1)
            gate = self.gate(known)
            parts = (functional.logsigmoid(gate) + own, functional.logsigmoid(-gate) + chained)
            # logaddexp would do, but is exported as the log of a sum that underflows.
            return torch.logsumexp(torch.stack(parts), dim=0)

        def logs(self, recent: Any, gaps: Any, dense: Any, categorical: Any) -> Any:
            arrays = {"recent": recent, "categorical": categorical}
            context = torch.zeros_like(recent[:, -1])
            for i, step in enumerate(chain.steps):
                at = context * step.following.shape[1] + arrays[step.array][:, step.column]
                context = getattr(self, f"following{i}")[at]
            return self.mixed(recent, gaps, dense, self.chain[context])

        def forward(self, recent: Any, gaps: Any, dense: Any, categorical: Any) -> Any:
            logs = self.logs(recent, gaps, dense, categorical) + self.ties
            entropy = (-logs.exp() * logs).sum(dim=1, keepdim=True).clamp(min=LEAST_ENTROPY)
            sharpness = torch.exp(self.level + self.slope * entropy.log())
            shares = torch.softmax(sharpness * logs, dim=1)
            _, at = torch.topk(logs[:, :-1], spec.places, dim=1)  # shares may be 0 alike
            return self.labels[at], torch.gather(shares, 1, at)

    return Recurrent()

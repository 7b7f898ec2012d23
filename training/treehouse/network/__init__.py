"""Neural networks: from a fitted scikit-learn or PyTorch model to a part of a bundle.

    batch, labels = read_batch(client, contract, "next_query_training_set where split = 'train'")
    vocabulary = fit_vocabulary(batch.column("tokens").flatten().flatten(), 1000)
    inputs = NetworkInputs(tokens={"recent": Tokens(vocabulary, 20)})
    rows = rows_of(batch, contract)
    arrays = inputs.arrays(rows, ["recent"])  # what the module is fitted on, and what it is served
    network = from_torch(module, inputs, ("share_1", "share_2", "next_1", "next_2"), rows)
    Bundle(..., heads={"share": e.feature("share_1")}, networks=(network,))

forward() takes arrays by the names of the inputs. Heads read outputs as `e.feature(name)`, and
forests may take them as features: blends, calibration and intervals stay formulas of the bundle.

May import clickhouse and what lies below it.
"""

from treehouse.bundle.networks import Network
from treehouse.network.fitting import fit_scaling, fit_vocabulary
from treehouse.network.from_sklearn import from_sklearn
from treehouse.network.from_table import Step, from_table
from treehouse.network.from_torch import from_torch, import_torch
from treehouse.network.parity import compare, golden_rows, predict
from treehouse.network.rows import batch_of_matrix, read_batch, rows_of
from udfs.network.inputs import NetworkInputs, Scaling, Series, Tokens
from udfs.network.rows import Rows, batch_of

__all__ = [
    "Network",
    "NetworkInputs",
    "Rows",
    "Scaling",
    "Series",
    "Step",
    "Tokens",
    "batch_of",
    "batch_of_matrix",
    "compare",
    "fit_scaling",
    "fit_vocabulary",
    "from_sklearn",
    "from_table",
    "from_torch",
    "golden_rows",
    "import_torch",
    "predict",
    "read_batch",
    "rows_of",
]

"""Files of rows, as people have them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv


def write_table(table: pa.Table, path: Path) -> Path:
    """Write a table in the format that the path's name says: .csv, .csv.gz or .parquet."""
    if path.suffix == ".parquet":
        pq.write_table(table, path)
        return path
    with pa.output_stream(path, compression="gzip" if path.suffix == ".gz" else None) as stream:
        csv.write_csv(table, stream)
    return path

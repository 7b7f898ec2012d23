"""How to read Parquet files, nested columns included."""

from __future__ import annotations

import io
from collections.abc import Generator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from treehouse.clickhouse.client import identifier
from treehouse.ingest.layout import TEXT, Layout, Progress, as_text, check_unique
from treehouse.project.errors import TreehouseError

_BUFFER_BYTES = 1 << 20
_BATCH_ROWS = 1 << 16
_TIME = "Nullable(DateTime64(6, 'UTC'))"


def parquet_layout(path: Path) -> Layout:
    """How to read a Parquet file.

    Raises:
        TreehouseError: It is not Parquet, or two of its columns have one name.
    """
    try:
        metadata = pq.read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
    except (pa.ArrowInvalid, OSError) as error:
        raise TreehouseError(
            "The file is not Parquet.", value=f"{path}: {error}", fix="give its --format"
        ) from error
    check_unique(schema.names, path)
    kinds = {field.name: _kind(field.type) for field in schema}
    return Layout(
        texts={
            name: f"toString({identifier(name)}, 'UTC')"  # the clock of a zone that is not told
            if pa.types.is_timestamp(schema.field(name).type) and not schema.field(name).type.tz
            else as_text(identifier(name), kind)
            for name, kind in kinds.items()
        },
        format="Parquet",
        structure=", ".join(f"{identifier(name)} {kind}" for name, kind in kinds.items()),
        rows=metadata.num_rows,
    )


def arrow_blocks(path: Path, progress: Progress) -> Generator[bytes, None, None]:
    """A Parquet file as an Arrow stream: a server would hold the whole Parquet file in memory."""
    file = pq.ParquetFile(path, buffer_size=_BUFFER_BYTES)
    buffer, sent = _Drain(), 0
    with file, pa.ipc.new_stream(buffer, file.schema_arrow) as writer:
        for group in range(file.num_row_groups):  # all at once, it would keep what it has read
            for batch in file.iter_batches(_BATCH_ROWS, [group]):
                writer.write_batch(batch)
                yield buffer.drain()
                sent += batch.num_rows
                progress(f"send {path.name}", sent, file.metadata.num_rows)
    yield buffer.drain()


def _kind(kind: pa.DataType) -> str:
    """The engine's type to read an Arrow type with."""
    types = pa.types
    if types.is_timestamp(kind):
        return _TIME
    if types.is_map(kind):
        return f"Map(String, {_kind(kind.item_type)})"
    if types.is_struct(kind):
        return f"Tuple({', '.join(f'{identifier(f.name)} {_kind(f.type)}' for f in kind)})"
    if types.is_nested(kind):  # lists of every kind
        return f"Array({_kind(kind.value_type)})"
    return TEXT


class _Drain(io.BytesIO):
    """A buffer that is emptied as it is read."""

    def drain(self) -> bytes:
        block = self.getvalue()
        self.seek(0)
        self.truncate()
        return block

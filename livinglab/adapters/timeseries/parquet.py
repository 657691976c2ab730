"""Parquet files, written by DuckDB: from CSV, so that nothing has to fit into memory."""

from collections.abc import Mapping
from pathlib import Path

import duckdb

from livinglab.errors import StoreUnavailableError

PART = "Parquet (DuckDB)"


def write_parquet(source: Path, target: Path, columns: Mapping[str, str]) -> None:
    """Turn a CSV file with a header into a Parquet file; an empty cell is NULL.

    Args:
        source: The CSV file.
        target: Written whole; what was there is replaced.
        columns: Name → SQL type, in the order of the file.

    Raises:
        StoreUnavailableError: The disk is full, or a cell is not of its type.
    """
    limits = {"memory_limit": "256MB", "threads": "2"}
    try:
        with duckdb.connect(config=limits) as connection:  # type: ignore[arg-type]  # a dict of texts is one
            table = connection.read_csv(
                str(source),
                header=True,
                columns=dict(columns),
                auto_detect=False,
                delimiter=",",
                quotechar='"',
                escapechar='"',
            )
            table.write_parquet(str(target), compression="zstd")
    except duckdb.Error as error:
        raise StoreUnavailableError(PART, str(error).partition("\n")[0]) from error

"""What other people's files are, for measuring detection: by folder and suffix."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_KINDS = (
    ("parquet-testing/data", ".parquet", "parquet"),
    ("arrow-testing/data/avro", ".avro", "avro"),
    ("arrow-testing/data/orc", ".orc", "orc"),
    ("arrow-testing/data/csv", ".csv", "csv"),
    ("delta-tables", ".parquet", "parquet"),
    ("delta-tables", ".json", "ndjson json"),
    ("csvsniffer/W3C-CSVW", ".csv", "csv"),
    ("docling/csv", ".csv", "csv"),
    ("docling/xlsx", ".xlsx", "xlsx"),
    ("docling/xlsx", ".xlsm", "xlsx"),
    ("duckdb/csv", ".csv", "csv"),
    ("duckdb/json", ".ndjson", "ndjson json"),
    ("duckdb/json", ".jsonl", "ndjson json"),
    ("duckdb/json", ".geojsonl", "ndjson json"),
    ("duckdb/json", ".json", "json ndjson"),
    ("er-magellan", ".csv", "csv"),
    ("gcp-pipeline-configs", ".yaml", "yaml"),
    ("json-schema-test-suite", ".json", "json"),
    ("jsontestsuite/test_parsing", "y_", "json"),
    ("market-calendars", ".gz", "gzip"),
    ("market-data-fx-crypto", ".zip", "zip"),
    ("mt940", ".sta", "swift_mt"),
    ("mt940", ".json", "json"),
    ("nab", ".csv", "csv"),
    ("nab", ".json", "json"),
    ("odcs", ".yaml", "yaml"),
    ("odcs", ".json", "json"),
    ("openlineage", ".json", "json"),
    ("pii-presidio", ".json", "json"),
    ("splink-datasets", ".csv", "csv"),
    (".", "README.md", "txt"),
    (".", "LICENSE", "txt"),
    (".", "LICENSE.txt", "txt"),
    (".", "SOURCE.txt", "txt"),
)


def labelled_files() -> Iterator[tuple[Path, set[str]]]:
    """Files under BASE_CORPORA, and which answers are right: one line of JSON is JSON and JSON Lines."""
    root = Path(os.environ["BASE_CORPORA"])
    for folder, mark, kinds in _KINDS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.stat().st_size and (path.name.endswith(mark) or path.name.startswith(mark)):
                yield path, set(kinds.split())

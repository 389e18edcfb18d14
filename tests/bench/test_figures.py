"""The figures that a platform is sized by, as the bench command prints them."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from base_ops.cli import cli


@pytest.mark.parametrize(
    ("only", "rows"),
    [
        (
            "throughput",
            ("collecting from a folder", "collecting from HTTP", "collecting 10 files", "converting 10 CSV"),
        ),
        ("detection", ("detection in 4 GB",)),
        ("schedules", ("next run of 1000 schedules", "7-day forecast")),
        ("connections", ("connection set-up with a token", "HTTP connections at once")),
    ],
)
def test_7_14_throughput_is_measured_and_printed(only, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(cli, ["bench", "--only", only, "--rows", "10000", "--rounds", "1"])
    assert done.exit_code == 0, done.output
    for row in rows:
        printed = [line for line in done.output.splitlines() if line.strip().startswith(row)]
        assert printed, (row, done.output)
        value = float(printed[0].split("┃" if "┃" in printed[0] else "│")[1].replace(",", ""))
        assert value > 0, printed

"""`base-ops config check`: every fault of the configuration in git, with file, line and key."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from base_ops.cli.output import console, error_console
from base_ops.core.config import check_folder, config_dir
from base_ops.core.outcomes import Outcome


@click.group()
def config() -> None:
    """The configuration in git: sources, templates, policies."""


@config.command()
@click.option(
    "--config-dir", "folder", type=click.Path(path_type=Path), help="Default: BASE_CONFIG_DIR or dags/config."
)
def check(folder: Path | None) -> None:
    """Check all files of the configuration folder; exit code 30 if anything is wrong."""
    where = folder or config_dir()
    right, faults = check_folder(where)
    for fault in faults:
        error_console.print(fault.text(), style="red", markup=False)
    console.print(f"{where}: {len(right)} files are right, {len(faults)} are not", markup=False)
    sys.exit(Outcome.CONFIG_ERROR.exit_code if faults else 0)

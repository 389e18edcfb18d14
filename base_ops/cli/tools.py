"""`base-ops bench | completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.option(
    "--rows", type=int, default=9_000_000, show_default=True, help="Rows of the generated CSV (9 M ≈ 700 MB)."
)
@click.option("--rounds", type=int, default=5, show_default=True, help="Paired runs of each measurement.")
@click.option("--only", help="Run only the measurements whose name contains this.")
@click.option("--json", "as_json", is_flag=True, help="Print the measurements as JSON.")
def bench(rows: int, rounds: int, only: str | None, as_json: bool) -> None:
    """Measure against peers (DuckDB, polars), side by side, medians of paired runs."""
    from base_ops.bench.run import run

    run(rows=rows, rounds=rounds, only=only, as_json=as_json)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell, e.g. eval "$(base-ops completion bash)"."""
    from base_ops.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "base-ops", "_BASE_OPS_COMPLETE").source())

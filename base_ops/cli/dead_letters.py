"""`base-ops dead-letters list | show | approve | replay | dismiss`: fetches that were given up."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from base_ops.cli.output import console, print_result, table
from base_ops.core.errors import ConfigError
from base_ops.core.settings import load_settings

if TYPE_CHECKING:
    from base_ops.data_ingestion.jobs.fetch_retry.queue import Queue


@click.group("dead-letters")
def dead_letters() -> None:
    """Fetches that were given up: look at them, fetch again, or let them go."""


def _queue() -> Queue:
    from base_ops.data_ingestion.jobs.fetch_retry.queue import Queue
    from base_ops.worker.lake.store import Store

    return Queue(Store(load_settings().lake))


@dead_letters.command("list")
@click.option("--source", help="Only of this source.")
@click.option("--all", "everything", is_flag=True, help="Also those that were replayed, dismissed or have expired.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_(source: str | None, everything: bool, as_json: bool) -> None:
    """Show what waits, the oldest first."""
    found = sorted(_queue().held(source), key=lambda held: held.letter.at)
    found = [held for held in found if everything or held.waits]
    if as_json:
        click.echo(json.dumps([held.model_dump(mode="json") for held in found]))
        return
    rows = [
        (
            h.letter.id[:12],
            h.letter.source,
            h.letter.at[:19],
            h.letter.code,
            h.letter.failures,
            h.replays,
            h.ended or (f"asks ({h.approvals} of {h.letter.approvals})" if h.asks else "waits"),
        )
        for h in found
    ]
    columns = ("id", "source", "since (UTC)", "code", "failures", "replays", "state")
    table("Dead letters", columns, rows, numbers=("failures", "replays"))


@dead_letters.command()
@click.argument("letter")
def show(letter: str) -> None:
    """Show one LETTER (its id, or the start of it) whole: why it was given up, and the fetch it is about."""
    click.echo(_queue().find(letter).model_dump_json(indent=2))


@dead_letters.command()
@click.argument("letter")
@click.option("--as", "who", default=getpass.getuser, show_default="your login", help="Who approves.")
def approve(letter: str, who: str) -> None:
    """Say that LETTER may be fetched again: the next pass of the queue does it once enough people have said so."""
    queue = _queue()
    held = queue.find(letter)
    if not held.asks:
        raise ConfigError(
            f"The letter {held.letter.id} asks nobody",
            code="nothing_to_approve",
            found=held.ended or "it waits for its next replay",
            todo="base-ops dead-letters list shows which do",
        )
    queue.approve(held, who, datetime.now(UTC))
    held = queue.find(held.letter.id)
    console.print(f"{held.letter.id}: {held.approvals} of {held.letter.approvals} approvals")


@dead_letters.command()
@click.argument("letter")
def replay(letter: str) -> None:
    """Fetch LETTER again, as its source is declared today."""
    from base_ops.cli.requests import run_here
    from base_ops.data_ingestion.config.sources import load_source

    queue = _queue()
    held = queue.find(letter)
    if not held.waits:
        raise ConfigError(f"The letter {letter!r} was {held.ended} already", code="letter_ended")
    asked = {k: v for k, v in (held.letter.request or {}).items() if k not in ("source", "action")}
    result = run_here([("data_ingestion.collector", {**asked, "source": load_source(held.letter.source)})])
    print_result(result)
    if not result.status.is_green:
        queue.tried(held, result.error.code if result.error else "unknown", datetime.now(UTC))
        raise click.exceptions.Exit(result.status.exit_code)
    queue.end(held.letter, "replayed", datetime.now(UTC), "base-ops")


@dead_letters.command()
@click.argument("letter")
def dismiss(letter: str) -> None:
    """Let LETTER go: it leaves the queue and stays readable."""
    queue = _queue()
    held = queue.find(letter)
    done = held.waits and queue.end(held.letter, "dismissed", datetime.now(UTC), "base-ops")
    console.print(f"{held.letter.id}: " + ("dismissed" if done else f"was {held.ended or 'settled'} already"))

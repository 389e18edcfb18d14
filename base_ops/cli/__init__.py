"""The command `base-ops`. Commands live in one file each and import what is heavy only when they run."""

from __future__ import annotations

import os
import sys

import click

from base_ops import __version__
from base_ops.cli import (
    agents,
    config,
    convert,
    dead_letters,
    demo,
    detect,
    formats,
    init,
    preview,
    replay,
    show,
    sources,
    tools,
)
from base_ops.core.errors import BaseOpsError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="base-ops")
def cli() -> None:
    """YAML in, dependable data pipelines out: run agents, look at data, and see why it is what it is."""


for command in (
    agents.list_,
    agents.schema,
    agents.run,
    convert.convert,
    detect.detect,
    formats.formats,
    demo.demo,
    show.show,
    replay.replay,
    preview.preview,
    init.init,
    sources.sources,
    dead_letters.dead_letters,
    config.config,
    tools.bench,
    tools.completion,
):
    cli.add_command(command)


def main() -> None:
    """Entry point: errors of ours are one clear text on stderr and the exit code of their outcome."""
    try:
        cli.main(standalone_mode=False, prog_name="base-ops")
    except BaseOpsError as error:
        click.echo(f"base-ops: {error.text()}", err=True)
        sys.exit(error.outcome.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("base-ops: stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except click.ClickException as error:  # a wrong command line is a config error
        error.show()
        sys.exit(30)


if __name__ == "__main__":
    main()

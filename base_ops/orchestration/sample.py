"""The sample market around a pipeline: a local server started before its tasks and stopped whatever happened."""

from __future__ import annotations

from typing import Any

from airflow.sdk import setup, teardown


def start_sample() -> dict[str, str]:
    """Start the sample server; hands on its URLs and the folder of both vendors' files."""
    from base_ops import sample
    from base_ops.core.settings import load_settings

    server = sample.start(load_settings().home.absolute())
    return {"url": server.url, "secure_url": server.secure_url, "folder": str(server.folder)}


def stop_sample() -> None:
    """Stop the sample server, if it runs."""
    from base_ops import sample
    from base_ops.core.settings import load_settings

    sample.stop(load_settings().home.absolute())


def wrap_in_sample(tasks: list[Any]) -> None:
    """Make starting and stopping the server the setup and teardown of all agent tasks.

    A teardown does not count for the run's state, so it hides no failure.
    """
    start = setup(start_sample)()
    stop = teardown(stop_sample)()
    for task in tasks:
        start >> task >> stop
    start >> stop

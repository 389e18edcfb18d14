"""The sample market around a pipeline: a local server started before its tasks and stopped whatever happened.

Pods see no local server. With the kubernetes runner vendor B's files are put into the lake, and vendor A's APIs are
those of one that runs in the cluster (helm-values/local/sample.yaml), behind the connections `sample_api` and
`sample_v2`. The address with TLS is there on one machine only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.sdk import TriggerRule, setup, teardown

_ONE_MACHINE = "sample_secure"
"""The connection to the address with TLS."""


def start_sample(connections: list[str]) -> dict[str, str]:
    """Have the sample market ready; hands on the folder of its files and, of a local server, its URLs.

    Args:
        connections: names of the connections that the pipeline uses.
    """
    from base_ops import sample
    from base_ops.core.settings import load_settings

    settings = load_settings()
    if settings.runner == "kubernetes":
        _refuse_what_pods_cannot_see(connections)
        return {"folder": _into_the_lake(f"{settings.lake.rstrip('/')}/sample")}
    server = sample.start(settings.home.absolute())
    return {"url": server.url, "secure_url": server.secure_url, "folder": str(server.folder)}


def stop_sample() -> None:
    """Stop the sample server, if it runs here."""
    from base_ops import sample
    from base_ops.core.settings import load_settings

    settings = load_settings()
    if settings.runner == "local":
        sample.stop(settings.home.absolute())


def _into_the_lake(folder: str) -> str:
    from base_ops.orchestration.lake import write_if_changed
    from base_ops.sample import market

    for name, data in market.drop_files().items():
        for part in ("drop", "bulk"):
            write_if_changed(f"{folder}/{part}/{name}", data)
    return folder


def _refuse_what_pods_cannot_see(connections: list[str]) -> None:
    from base_ops.core.errors import ConfigError
    from base_ops.orchestration.errors import JobConfigError

    if _ONE_MACHINE in connections:
        error = ConfigError(
            "The sample market has no address with TLS that pods can see: this pipeline's sample runs on one machine",
            code="sample_on_one_machine",
            where=f"the connection {_ONE_MACHINE!r}",
            todo="give the pipeline a source of yours and remove `setup: sample_market`; or set BASE_RUNNER=local",
        )
        raise JobConfigError(error.text())


def wrap_in_sample(tasks: list[Any], connections: Iterable[str]) -> None:
    """Make starting and stopping the server the setup and teardown of all agent tasks.

    A teardown does not count for the run's state, so it hides no failure.

    Args:
        connections: names of the connections that the tasks use.
    """
    start = setup(start_sample)(sorted(connections))
    stop = teardown(stop_sample)()
    for task in tasks:
        if task.trigger_rule == TriggerRule.ALL_SUCCESS:  # Airflow takes no other behind a setup; it comes later anyway
            start >> task
        task >> stop
    start >> stop

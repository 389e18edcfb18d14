"""The sample market around a pipeline: a local server started before its tasks and stopped whatever happened.

Pods see no local server. With the kubernetes runner vendor B's files are put into the lake, and vendor A's API is one
that runs in the cluster (helm-values/local/sample.yaml), behind the connection `sample_api`.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import TriggerRule, setup, teardown


def start_sample() -> dict[str, str]:
    """Have the sample market ready; hands on the folder of its files and, of a local server, its URLs."""
    from base_ops import sample
    from base_ops.core.settings import load_settings

    settings = load_settings()
    if settings.runner == "kubernetes":
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
        write_if_changed(f"{folder}/drop/{name}", data)
    return folder


def wrap_in_sample(tasks: list[Any]) -> None:
    """Make starting and stopping the server the setup and teardown of all agent tasks.

    A teardown does not count for the run's state, so it hides no failure.
    """
    start = setup(start_sample)()
    stop = teardown(stop_sample)()
    for task in tasks:
        if task.trigger_rule == TriggerRule.ALL_SUCCESS:  # Airflow takes no other behind a setup; it comes later anyway
            start >> task
        task >> stop
    start >> stop

"""`connecting: {profile: auto}`: pool, time-out, tries and page size of a run, chosen by how the peer answered before.

What was seen is a note beside the source's landing log (`landing/<source>/_connection.json`): the last writer wins, and
a lost note costs one run with the profile's settings. Only HTTP is measured; other protocols get their profile.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, replace

from pydantic import JsonValue, ValidationError

from base_ops.data_ingestion.options.connections import ConnectionProfile, ObservedSpec
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connectors.base import Report, Site

_KINDS = {"files": "files", "sql": "database", "mongo": "database", "cassandra": "database", "redis": "database",
          "influx": "database", "kafka": "stream", "kinesis": "stream", "pubsub": "stream", "rabbitmq": "stream",
          "activemq": "stream", "sse": "stream", "websocket": "stream"}  # fmt: skip
_NEW_SHARE = 0.5
"""Weight of the last run in what is remembered."""
_MOST_REQUESTS = 10_000


def tuned(site: Site) -> tuple[Site, JsonValue]:
    """The site with its settings chosen, and what is told of the choice; as it was where the profile is not auto."""
    source = site.source
    if source.connecting.profile != "auto":
        return site, None
    from base_ops.data_ingestion.models.connection_optimization.choose import Limits, choose

    own = source.connecting.settings
    upper = own.model_dump(include=own.model_fields_set & {"pool", "per_host", "timeout_s", "tries"})
    most = [upper.pop("per_host", 100), upper.get("pool", 100)]
    if source.http is not None and "connections" in source.http.model_fields_set:
        most.append(source.http.connections)
    size = source.http.paging.size if source.http is not None else 10_000
    choice = choose(seen(site), Limits(**{**upper, "pool": min(*most, 100), "batch": size}))
    settings = own.model_dump(exclude_unset=True) | {
        "pool": choice.pool, "per_host": choice.pool, "timeout_s": choice.timeout_s, "tries": choice.tries,
    }  # fmt: skip
    connecting = source.connecting.model_copy(update={"settings": ConnectionProfile.model_validate(settings)})
    told = {**asdict(choice), "reasons": list(choice.reasons)}
    told["model_decisions"] = {"model" if choice.decided_by == "model" else "fallback": 1}
    return replace(site, source=_paged(source.model_copy(update={"connecting": connecting}), choice.batch)), told


def _paged(source: SourceSpec, batch: int) -> SourceSpec:
    """A page holds as many records as were chosen, where the API lets it be said."""
    if source.http is None or source.http.paging.size_param is None:
        return source
    paging = source.http.paging.model_copy(update={"size": batch})
    return source.model_copy(update={"http": source.http.model_copy(update={"paging": paging})})


def seen(site: Site) -> ObservedSpec:
    """What was remembered of the peer; what the source itself tells where nothing was."""
    note = site.landing.store.try_read_json(_path(site)) if site.landing is not None else None
    rate = getattr(site.source.block, "rate", None)
    told = {"kind": _KINDS.get(site.source.protocol, "api"), "rate_per_s": rate.requests / rate.per_s if rate else None}
    try:
        return ObservedSpec.model_validate({**(note if isinstance(note, dict) else {}), **told})
    except ValidationError:
        return ObservedSpec.model_validate(told)


def remember(site: Site, report: Report) -> None:
    """Write down how the peer answered in this run."""
    times = report.times
    if site.source.connecting.profile != "auto" or site.landing is None or not times:
        return
    before = seen(site)
    logs = [math.log(max(seconds, 1e-4)) for seconds in times]
    now = {
        "latency_s": max(1e-4, statistics.median(times)),
        "spread": min(3.0, max(0.05, statistics.pstdev(logs))),
        "error_share": min(1.0, report.retries / max(1, report.requests)),
    }
    share = _NEW_SHARE if before.requests else 1.0
    joined = {name: share * value + (1 - share) * getattr(before, name) for name, value in now.items()}
    requests = min(before.requests + len(times), _MOST_REQUESTS)
    note = before.model_copy(update={**joined, "requests": requests})
    site.landing.store.write(_path(site), note.model_dump_json().encode())


def _path(site: Site) -> str:
    assert site.landing is not None
    return f"{site.landing.folder}/_connection.json"

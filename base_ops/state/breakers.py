"""Circuit breakers in the state database: what a task is told before it begins, and what its calls change.

Half-open, one task makes the trial calls: it holds a lease, which ends with its Result or after ten minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select, update

from base_ops.core.breaker import Admission, BreakerPolicy, BreakerReport, BreakerState
from base_ops.state.models import BreakerRow

if TYPE_CHECKING:
    from base_ops.state.store import StateStore

LEASE_S = 600.0


def admit(
    store: StateStore, peers: Mapping[str, BreakerPolicy], attempt: str, now: datetime | None = None
) -> dict[str, Admission]:
    """What is known of each peer now; where it is not closed, the first attempt to ask gets the trial calls."""
    moment = (now or datetime.now(UTC)).timestamp()
    found: dict[str, Admission] = {}
    with store.engine.begin() as connection:
        for peer, policy in sorted(peers.items()):
            row = _row(connection, peer)
            state = BreakerState() if row is None else BreakerState.model_validate(row.state).seen_at(moment, policy)
            probing = True
            if row is not None and state.phase != "closed":
                probing = row.probe_attempt in ("", attempt) or row.probe_until <= moment
                if probing:
                    until = moment + state.wait_s(moment, policy) + LEASE_S
                    lease = {"probe_attempt": attempt, "probe_until": until}
                    connection.execute(update(BreakerRow).where(BreakerRow.peer == peer).values(lease))
            found[peer] = Admission(state=state, probing=probing, policy=policy)
    return found


def apply(store: StateStore, connection: Connection, reports: Iterable[BreakerReport], attempt: str) -> None:
    """Bring the shared state up to date with an attempt's calls, in the transaction that records its run."""
    for report in sorted(reports, key=lambda item: item.peer):
        now = datetime.now(UTC)
        new = {"peer": report.peer, "state": {}, "probe_attempt": "", "probe_until": 0.0, "updated_at": now}
        connection.execute(store.insert_new(BreakerRow).values(new))
        row = _row(connection, report.peer)
        assert row is not None
        state = BreakerState.model_validate(row.state).after_all(report.calls, report.policy)
        values: dict[str, Any] = {"state": state.model_dump(), "updated_at": now}
        if row.probe_attempt == attempt:
            values |= {"probe_attempt": "", "probe_until": 0.0}
        connection.execute(update(BreakerRow).where(BreakerRow.peer == report.peer).values(values))


def states(store: StateStore) -> dict[str, BreakerState]:
    """All breakers, for people."""
    with store.engine.connect() as connection:
        rows = connection.execute(select(BreakerRow.peer, BreakerRow.state).order_by(BreakerRow.peer))
        return {row.peer: BreakerState.model_validate(row.state) for row in rows}


def _row(connection: Connection, peer: str) -> Any:
    """The row, locked to the end of the transaction (SQLite: the whole database is)."""
    columns = (BreakerRow.state, BreakerRow.probe_attempt, BreakerRow.probe_until)
    return connection.execute(select(*columns).where(BreakerRow.peer == peer).with_for_update()).one_or_none()

"""StateStore: the state database behind a few idempotent operations. Migrates itself on first use."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from base_ops.core.breaker import BreakerReport
from base_ops.state.breakers import apply
from base_ops.state.models import Base, Outbox, Run

HEAD = "0002"
"""Newest migration; kept here so that a database that is up to date never imports Alembic."""
_LOCK_KEY = 0x62617365  # any number of ours: Postgres advisory locks are numbers
_BUSY_TIMEOUT_S = 30
_CONNECT_TIMEOUT_S = 5


class StateStore:
    """The state database at a SQLAlchemy URL. Raises SQLAlchemy's errors where it cannot be reached."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        """The engine, connected and migrated on first use."""
        with self._lock:
            if self._engine is None:
                engine = _engine(self.url)
                migrate(engine)
                self._engine = engine
            return self._engine

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def record(
        self,
        run: Mapping[str, Any],
        events: Iterable[Mapping[str, Any]],
        breakers: Iterable[BreakerReport] = (),
    ) -> int:
        """Store a run, its events and its calls to peers in one transaction; what is known already stays as it is.

        Returns:
            the number of events that were new.
        """
        with self.engine.begin() as connection:
            first = connection.execute(self.insert_new(Run).values(dict(run)).returning(Run.attempt)).first()
            if first is not None:
                apply(self, connection, breakers, str(run["attempt"]))
            return self._add(connection, events)

    def add_events(self, events: Iterable[Mapping[str, Any]]) -> int:
        """Put events of no single job into the outbox; returns how many were new."""
        with self.engine.begin() as connection:
            return self._add(connection, events)

    def _add(self, connection: Connection, events: Iterable[Mapping[str, Any]]) -> int:
        now = datetime.now(UTC)
        rows = [{"idempotency_key": e["idempotencykey"], "event": dict(e), "created_at": now} for e in events]
        if not rows:
            return 0
        new = self.insert_new(Outbox).values(rows).returning(Outbox.id)
        return len(connection.execute(new).all())  # a row count is not known on every driver

    def known_attempts(self) -> set[str]:
        """Attempts whose Result has been recorded."""
        with self.engine.connect() as connection:
            return set(connection.scalars(select(Run.attempt)))

    def undelivered(self, limit: int = 100) -> list[tuple[int, dict[str, Any]]]:
        """(id, event) of the oldest events the bus has not had, in order."""
        query = select(Outbox.id, Outbox.event).where(Outbox.delivered_at.is_(None)).order_by(Outbox.id).limit(limit)
        with self.engine.connect() as connection:
            return [(row.id, row.event) for row in connection.execute(query)]

    def mark_delivered(self, ids: Iterable[int]) -> None:
        """Note that the bus has these events."""
        done = update(Outbox).where(Outbox.id.in_(list(ids))).values(delivered_at=datetime.now(UTC))
        with self.engine.begin() as connection:
            connection.execute(done)

    def insert_new(self, table: type[Base]) -> Any:
        """INSERT … ON CONFLICT DO NOTHING, which both databases have, each in its own dialect."""
        dialect = sqlite if self.url.get_backend_name() == "sqlite" else postgresql
        return dialect.insert(table).on_conflict_do_nothing()


def migrate(engine: Engine) -> None:
    """Bring the database to `HEAD`; of any number of callers at once, one does it and the others wait."""
    with engine.connect() as connection:
        if _revision(connection) == HEAD:
            return
    with engine.connect() as connection, _exclusive(connection):
        if _revision(connection) == HEAD:
            return
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)


@contextmanager
def _exclusive(connection: Connection) -> Iterator[None]:
    with connection.begin():  # SQLite: BEGIN IMMEDIATE takes the write lock at once (see _engine)
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        yield


def _revision(connection: Connection) -> str | None:
    found = None
    if inspect(connection).has_table("alembic_version"):
        found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def _use_wal(dbapi: Any) -> None:
    """Switch to WAL (it stays so). SQLite does not queue callers that switch at the same time, so try again."""
    end = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            dbapi.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def _engine(url: Any) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": _CONNECT_TIMEOUT_S})
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S, "isolation_level": None})

    @event.listens_for(engine, "connect")
    def _settings(dbapi: Any, _record: Any) -> None:
        _use_wal(dbapi)
        dbapi.execute("PRAGMA synchronous=NORMAL")
        dbapi.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine

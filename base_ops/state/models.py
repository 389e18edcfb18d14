"""Tables of the state database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Float, Index, Integer, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER keys by itself


class Base(DeclarativeBase):
    pass


class Outbox(Base):
    """Events waiting for the bus, in order of `id`. The same fact is stored once."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(_Id, primary_key=True, autoincrement=True)
    idempotency_key: Mapped[str] = mapped_column(String(64), unique=True)
    event: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    delivered_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), index=True)


class Run(Base):
    """One attempt at one piece of work; the Result at `result_uri` has the rest."""

    __tablename__ = "runs"
    __table_args__ = (Index("ix_runs_of_task", "dag_id", "run_id", "task_id", "map_index"),)

    attempt: Mapped[str] = mapped_column(String(36), primary_key=True)
    agent: Mapped[str] = mapped_column(String(128), index=True)
    action: Mapped[str] = mapped_column(String(128))
    dag_id: Mapped[str] = mapped_column(String(250))
    run_id: Mapped[str] = mapped_column(String(250))
    task_id: Mapped[str] = mapped_column(String(250))
    map_index: Mapped[int]
    try_number: Mapped[int]
    status: Mapped[str] = mapped_column(String(16))
    counts: Mapped[dict[str, Any]] = mapped_column(JSON)
    result_uri: Mapped[str]
    started_at: Mapped[str] = mapped_column(String(40), index=True)
    seconds: Mapped[float] = mapped_column(Float)


class BreakerRow(Base):
    """What all runs know of one peer (core/breaker.py), and which attempt may make the trial calls."""

    __tablename__ = "breakers"

    peer: Mapped[str] = mapped_column(String(250), primary_key=True)
    state: Mapped[dict[str, Any]] = mapped_column(JSON)
    probe_attempt: Mapped[str] = mapped_column(String(36), default="")
    probe_until: Mapped[float] = mapped_column(Float, default=0.0)
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

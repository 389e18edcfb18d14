"""Names and identities: modules, agents, UUIDv7, fingerprints and commit keys."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

from base_ops.core.errors import ConfigError, did_you_mean

MODULES = (
    "data_ingestion",
    "data_quality",
    "data_storage",
    "data_security",
    "feature_engineering",
    "multimodal_processing",
    "data_streaming",
    "quality_monitoring",
    "pipeline_management",
    "event_coordination",
    "metadata_discovery",
    "schema_contracts",
    "data_distribution",
    "data_control",
)

_AGENT = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.\-]")


@dataclass(frozen=True, order=True)
class AgentId:
    """`module.agent`, the one name an agent has in code, labels, metrics, events and lineage."""

    module: str
    agent: str

    @classmethod
    def parse(cls, text: str) -> AgentId:
        if not _AGENT.fullmatch(text):
            raise ConfigError(
                f"{text!r} is not an agent id",
                code="bad_agent_id",
                expected="module.agent in lower case, for example data_ingestion.converter",
            )
        module, agent = text.split(".")
        if module not in MODULES:
            raise ConfigError(f"{text!r} names no module. {did_you_mean(module, MODULES)}", code="unknown_module")
        return cls(module, agent)

    @property
    def class_stem(self) -> str:
        """`fetch_retry` → `FetchRetry`: the stem of the Spec and Operator class names."""
        return "".join(part.capitalize() for part in self.agent.split("_"))

    def __str__(self) -> str:
        return f"{self.module}.{self.agent}"


def check_name(name: str, kind: str) -> str:
    """Names become path segments and labels: refuse what could leave its folder."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise ConfigError(
            f"{name!r} cannot be the name of a {kind}",
            code="bad_name",
            expected="letters, digits, '_', '-' and '.', starting with a letter or digit, at most 128",
        )
    return name


def path_segment(text: str) -> str:
    """Run ids hold ':' and '+': replace what is not safe in a path, and never leave the folder."""
    safe = _UNSAFE.sub("_", text)
    return safe if safe.strip(".") else "_" + safe


def uuid7() -> str:
    """A time-ordered UUID (RFC 9562 §5.7)."""
    value = (time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def canonical_json(value: Any) -> str:
    """The one byte-stable JSON form that fingerprints are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def fingerprint(*parts: Any) -> str:
    """SHA-256 (hex, 64 characters) of the canonical JSON of `parts`."""
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


def commit_key(target: str, inputs: list[str], spec: Any, code_version: str) -> str:
    """Name a piece of work by its content: the same key means the same data, whoever asks.

    `inputs` are content ids (sha256 of objects or commit keys of earlier work); their order is irrelevant.
    """
    return fingerprint("commit", target, sorted(inputs), spec, code_version)[:40]

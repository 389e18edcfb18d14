"""The dead letter queue: fetches that were given up, in the lake, so that any worker can read and settle them.

    dead_letters/<source>/<id>.json          what failed, why, and the fetch to do again; never changed
    dead_letters/<source>/<id>.try-<n>.json  a replay that failed
    dead_letters/<source>/<id>.yes-<who>.json a person who wants it fetched again, where people are to be asked
    dead_letters/<source>/<id>.done.json     how it ended: replayed, expired, dismissed; created once

The id is made of what failed, so the same failure of the same try is one letter however often it is reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field, JsonValue

from base_ops.core.errors import ConfigError
from base_ops.core.ids import check_name, fingerprint
from base_ops.core.protocol import Document
from base_ops.worker.lake.store import Store

_LETTER = re.compile(r"(?P<id>[0-9a-f]{24})(?:\.(?P<kind>done|try-\d+|yes-[0-9a-f]{12}))?\.json")
End = Literal["replayed", "expired", "dismissed"]


class Letter(Document):
    """A fetch that was given up."""

    id: str
    source: str
    code: str
    failure_class: str
    failures: int = 1
    reasons: list[str] = Field(default_factory=list)
    request: dict[str, JsonValue] | None = Field(None, description="the collector's spec; connections by name")
    run: str = Field("", description="dag/run/task that gave up")
    at: str = Field(description="ISO 8601, UTC")
    approvals: int = Field(0, description="so many people must approve it before it is fetched again")
    escalate_s: float | None = Field(None, description="unanswered for this long it goes one higher, seconds")

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.at)


class Held(Document):
    """A letter as it stands."""

    letter: Letter
    replays: int = 0
    approvals: int = 0
    ended: str = ""

    @property
    def waits(self) -> bool:
        return not self.ended

    @property
    def asks(self) -> bool:
        """Whether a person has to say yes before it is fetched again."""
        return self.waits and self.approvals < self.letter.approvals

    def is_escalated(self, now: datetime) -> bool:
        """Whether nobody has answered for too long."""
        after_s = self.letter.escalate_s
        return self.asks and after_s is not None and (now - self.letter.moment).total_seconds() > after_s


class Queue:
    """All letters of a lake."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def put(self, letter: Letter) -> bool:
        """Add a letter; False where it is there already."""
        return self.store.create_json(self._path(letter.source, letter.id), letter.model_dump(mode="json"))

    def held(self, source: str | None = None) -> Iterator[Held]:
        """All letters, the oldest first within each source."""
        names = self.store.folders("dead_letters") if source is None else [check_name(source, "source")]
        for name in names:
            yield from self._of_source(name)

    def waiting(self, source: str | None = None) -> list[Held]:
        """Those that have not ended, the oldest first."""
        return sorted((held for held in self.held(source) if held.waits), key=lambda held: held.letter.at)

    def find(self, start: str) -> Held:
        """The letter whose id begins so. Raises: ConfigError where there is none, or several."""
        found = [held for held in self.held() if held.letter.id.startswith(start)]
        if len(found) != 1 or not start:
            raise ConfigError(
                f"{start!r} is the id of {len(found) or 'no'} dead letter",
                code="unknown_letter",
                todo="base-ops dead-letters list shows them all",
            )
        return found[0]

    def tried(self, held: Held, code: str, moment: datetime) -> None:
        """Note a replay that failed."""
        path = self._path(held.letter.source, f"{held.letter.id}.try-{held.replays + 1}")
        self.store.create_json(path, {"at": _iso(moment), "code": code})

    def approve(self, held: Held, who: str, moment: datetime) -> bool:
        """Note that a person wants it fetched again; False where the same one has said so before."""
        path = self._path(held.letter.source, f"{held.letter.id}.yes-{fingerprint(who)[:12]}")
        return self.store.create_json(path, {"at": _iso(moment), "who": who})

    def end(self, letter: Letter, how: End, moment: datetime, who: str = "") -> bool:
        """Settle a letter; False where another has settled it."""
        path = self._path(letter.source, f"{letter.id}.done")
        return self.store.create_json(path, {"at": _iso(moment), "how": how, "who": who})

    def _of_source(self, source: str) -> Iterator[Held]:
        replays: dict[str, int] = {}
        approvals: dict[str, int] = {}
        ended: set[str] = set()
        letters: list[str] = []
        for path in self.store.list(f"dead_letters/{source}"):
            match = _LETTER.fullmatch(path.rsplit("/", 1)[1])
            if match is None:
                continue
            if match["kind"] is None:
                letters.append(match["id"])
            elif match["kind"] == "done":
                ended.add(match["id"])
            elif match["kind"].startswith("yes"):
                approvals[match["id"]] = approvals.get(match["id"], 0) + 1
            else:
                replays[match["id"]] = replays.get(match["id"], 0) + 1
        for name in letters:
            letter = Letter.model_validate(self.store.read_json(self._path(source, name)))
            how = self.store.read_json(self._path(source, f"{name}.done"))["how"] if name in ended else ""
            yield Held(letter=letter, replays=replays.get(name, 0), approvals=approvals.get(name, 0), ended=str(how))

    def _path(self, source: str, name: str) -> str:
        return f"dead_letters/{check_name(source, 'source')}/{name}.json"


def letter_id(source: str, code: str, run: str, request: object) -> str:
    return fingerprint("dead letter", source, code, run, request)[:24]


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

"""Bodies of answers: whole ones, and those that are still being received."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import httpx

from base_ops.worker.connectors.base import Part
from base_ops.worker.connectors.web.packing import packed_as, unpacked

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


@dataclass(frozen=True)
class Answer:
    """A complete body on scratch."""

    url: str
    local: Path
    sha256: str
    bytes: int
    etag: str | None
    modified: str | None
    link: str | None
    status: int = 200


@dataclass
class Body:
    """A body that is being received, over one try or several."""

    part: Part
    validator: str = ""
    """The strong ETag of what has been received, where the server can send the rest; else ''."""

    def wanted(self) -> dict[str, str]:
        """Headers that ask for what is missing."""
        if not self.validator or not self.part.size:
            return {}
        return {"Range": f"bytes={self.part.size}-", "If-Range": self.validator}

    def restart(self) -> None:
        self.part.restart()
        self.validator = ""

    def take(self, response: httpx.Response) -> None:
        """Go on where it broke off if this is the rest of the same version, else begin anew.

        Raises:
            httpx.RemoteProtocolError: not what was asked for, or only a piece of it (RFC 9110 §15.3.7), which is kept.
        """
        size = None
        if response.status_code == 206:
            start = _RANGE.match(response.headers.get("content-range", ""))
            same = self.wanted() != {} and response.headers.get("etag", "") == self.validator
            if not same or start is None or int(start[1]) != self.part.size:
                self.restart()
                raise httpx.RemoteProtocolError("a range that was not asked for")
            size = int(start[2])
        else:
            self.part.restart()
        etag = response.headers.get("etag", "")
        able = response.headers.get("accept-ranges", "").lower() == "bytes" or response.status_code == 206
        plain = not packed_as(response)  # else ranges count packed bytes
        self.validator = etag if able and plain and etag.startswith('"') else ""
        self.part.extend(unpacked(response))
        if size is not None and self.part.size != size:
            raise httpx.RemoteProtocolError("a piece of the range that was asked for")

"""What reading met that a person should know: counted by kind, with the first places."""

from __future__ import annotations

from typing import Literal

from base_ops.core.protocol import Finding

Severity = Literal["info", "warning", "error"]
_SEVERITY: dict[str, Severity] = {
    "unbalanced": "error",
    "bad_field": "error",
    "bad_envelope": "error",
    "truncated_message": "error",
    "moved_date": "warning",
    "stray_text": "warning",
}
_EXAMPLES = 20


class Notes:
    """Findings in the making, bounded whatever the input."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first: dict[str, list[tuple[int, str]]] = {}

    def add(self, code: str, line: int, message: str) -> None:
        self._counts[code] = self._counts.get(code, 0) + 1
        first = self._first.setdefault(code, [])
        if len(first) < _EXAMPLES:
            first.append((line, message))

    def findings(self) -> list[Finding]:
        found = []
        for code, count in self._counts.items():
            line, message = self._first[code][0]
            more = f", and {count - 1} more" if count > 1 else ""
            lines = [number for number, _ in self._first[code]]
            found.append(
                Finding(
                    code=code,
                    severity=_SEVERITY.get(code, "info"),
                    message=f"line {line}: {message}{more}",
                    data={"count": count, "lines": list(lines)},
                )
            )
        return found

"""What the blocks of all protocols have in common."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator

from base_ops.core.errors import ConfigError
from base_ops.core.ids import check_name
from base_ops.core.spec import Spec, is_template

_CREDENTIAL = re.compile(
    r"(^|_)(pass(word|wd|phrase)?|pwd|secret|private_key|(api|access)_?key|sig(nature)?"
    r"|(access|api|auth|bearer|client|id|refresh|security|session)_?token)$"
)
"""Parameters that are never anything else. Others may be: a `token` is also a coin or a page, a `key` a series, and
`credentials: include` a switch; these are taken."""
_Asked = TypeVar("_Asked", dict[str, str], dict[str, tuple[str, ...]])


def _without_secrets(address: str) -> str:
    if is_template(address):
        return address
    try:
        found = urlsplit(address).password
    except ValueError:  # it is no URL, for others to tell
        return address
    if found is not None:
        raise ValueError("credentials have no place in an address: put them into the connection, in Airflow")
    return address


def _no_secrets(params: _Asked) -> _Asked:
    if wrong := sorted(name for name in params if _CREDENTIAL.search(name.lower().replace("-", "_"))):
        raise ValueError(
            f"{wrong[0]} is no place for a secret: put it into the connection, in Airflow, and name it by "
            f"authentication: {{template: api_key_query, name: {wrong[0]}}}"
        )
    return params


def _name(text: str) -> str:
    if not is_template(text):
        try:
            check_name(text, "connection")
        except ConfigError as error:
            raise ValueError(f"a connection's name is expected, of {error.expected}") from None
    return text


ConnectionName = Annotated[str, AfterValidator(_name)]
"""Name of a connection, never the connection itself."""
Address = Annotated[str, AfterValidator(_without_secrets)]
"""A path or URL, in which no password may stand."""
Params = Annotated[dict[str, str], AfterValidator(_no_secrets)]
"""Query parameters, none of which may be a credential."""
Series = Annotated[dict[str, tuple[str, ...]], AfterValidator(_no_secrets)]
"""Query parameters and their values in turn, none of which may be a credential."""


class ProtocolSpec(Spec):
    """Base of a source's protocol block."""

    @property
    def moves_cursor(self) -> bool:
        """Whether a fetch brings only what is new behind a cursor: such objects add up (mode: append)."""
        return False

    @property
    def takes_window(self) -> bool:
        """Whether a fetch can be limited to a window of time (backfill)."""
        return False

    @property
    def needs_mode(self) -> Literal["snapshot", "append"] | None:
        """The only mode of a source that its objects are right for: what is fetched adds up, or replaces by name."""
        return "append" if self.moves_cursor else None

    @property
    def repeatable(self) -> bool:
        """Whether the peer gives the same again when it is asked from an earlier cursor."""
        return True

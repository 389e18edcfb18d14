"""Tokens: kept while they are good, replaced before they end, replaced once when they are refused.

A token outlives its process in `<BASE_HOME>/tokens/<digest>`, mode 0600, encrypted (Fernet) with a key derived
(HKDF-SHA256) from the secrets of the connection it was issued for: who could read it could have asked for it anyway,
no further key must be kept, and replacing the credential makes the kept token unreadable, hence forgotten. A folder
that cannot be written (a pod's read-only disk) only means that the next process asks again.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from base_ops.core.errors import missing_extra
from base_ops.core.ids import canonical_json, fingerprint
from base_ops.worker.connections.credentials import Credentials


@dataclass(frozen=True)
class Token:
    """An access token; its repr shows no secret."""

    value: str = field(repr=False)
    expires_at: float
    """POSIX seconds."""
    issued_at: float = 0.0
    kind: str = "Bearer"
    refresh: str = field(default="", repr=False)
    """Refresh token, where one was issued."""
    identity: str = field(default="", repr=False)
    """ID token (OpenID Connect), where one was issued."""

    def good_at(self, now: float, refresh_before_s: float) -> bool:
        """More left than `refresh_before_s`, or than half of its life where that is shorter."""
        life = max(0.0, self.expires_at - self.issued_at)
        return self.expires_at - now > min(refresh_before_s, life / 2)


_MEMORY: dict[tuple[str, str], Token] = {}
"""By what was asked for, and the credential."""
_LOCK = threading.RLock()
Obtain = Callable[[Token | None], Token]
"""Asks for a new token; told the last one, whose refresh token may help."""


class TokenSource:
    """The token of one source: `current` from memory, the folder, or the peer; `renew` after a refusal."""

    def __init__(self, credentials: Credentials, obtain: Obtain) -> None:
        self._credentials = credentials
        self._obtain = obtain
        self.requests = 0
        """How often the peer was asked in this process."""

    def current(self) -> Token:
        """A token that is good for a while."""
        with _LOCK:
            known = self._known()
            if known is not None and self._good(known):
                return known
            return self._replace(None)

    def renew(self, refused: Token) -> Token:
        """Another token than the one just refused: one that another process fetched meanwhile, or a new one."""
        with _LOCK:
            return self._replace(refused.value)

    def _replace(self, refused: str | None) -> Token:
        with self._exclusive():
            known = self._stored() or self._known()
            if known is not None and known.value != refused and self._good(known):
                return self._keep(known)
            self.requests += 1
            token = self._obtain(known)
            if not token.refresh and known is not None and known.refresh:
                token = Token(**{**asdict(token), "refresh": known.refresh})
            self._write(token)
            return self._keep(token)

    def _keep(self, token: Token) -> Token:
        for secret in (token.value, token.refresh, token.identity):
            if secret:
                self._credentials.keyring.remember(secret)
        _MEMORY[self._id, self._secret] = token
        return token

    def _good(self, token: Token) -> bool:
        now = self._credentials.keyring.clock.now().timestamp()
        return token.good_at(now, self._credentials.template.refresh_before_s)

    def _known(self) -> Token | None:
        known = _MEMORY.get((self._id, self._secret))
        if known is None and (known := self._stored()) is not None:
            self._keep(known)
        return known

    # -- the folder

    @cached_property
    def _id(self) -> str:
        """Of all that is asked for; a file's name must tell nothing of the secret."""
        asked = self._credentials.template.model_dump(mode="json")
        found = self._credentials.connection
        folder = str(self._credentials.keyring.folder)
        return fingerprint("token", folder, asked, found.name, found.host, found.port, found.login)[:40]

    @cached_property
    def _secret(self) -> str:
        found = self._credentials.connection
        return canonical_json([found.login, found.password, dict(found.extra)])

    @cached_property
    def _cipher(self) -> Any:
        try:
            from cryptography.fernet import Fernet
            from cryptography.hazmat.primitives.hashes import SHA256
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF
        except ImportError:
            raise missing_extra("cryptography", "auth", "the token cache") from None
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"base-ops token cache 1")
        return Fernet(base64.urlsafe_b64encode(derived.derive(self._secret.encode())))

    def _stored(self) -> Token | None:
        folder = self._credentials.keyring.folder
        if folder is None:
            return None
        from cryptography.fernet import InvalidToken

        try:
            return Token(**json.loads(self._cipher.decrypt((folder / self._id).read_bytes())))
        except (OSError, InvalidToken, ValueError, TypeError):  # absent, of another credential, or half written
            return None

    def _write(self, token: Token) -> None:
        folder = self._credentials.keyring.folder
        if folder is None:
            return
        sealed = self._cipher.encrypt(json.dumps(asdict(token)).encode())
        staged = folder / f".{uuid.uuid4().hex}"
        with contextlib.suppress(OSError):
            with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(sealed)
            staged.replace(folder / self._id)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One process at a time asks: peers that rotate refresh tokens accept each only once."""
        folder = self._credentials.keyring.folder
        handle = None
        if folder is not None:
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                handle = os.open(folder / f"{self._id}.lock", os.O_RDWR | os.O_CREAT, 0o600)
                fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if handle is not None:
                os.close(handle)


def forget_tokens() -> None:
    """Drop the tokens kept in this process."""
    with _LOCK:
        _MEMORY.clear()

"""AES-256-GCM of single values, with a nonce made of the value itself.

    enc1:<base64url of: key id (4 bytes) · nonce (12) · cipher text · tag (16)>

Two keys are derived from the connection's password (HKDF-SHA-256, RFC 5869): one encrypts, one makes the nonce as
HMAC-SHA-256(context 0x1F column 0x1F value), the first 96 bits. A nonce repeats only with its value, which is what GCM
asks for; the same value in the same place gives the same text. Context and column are authenticated.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any

from base_ops.core.errors import BadInput, missing_extra

PREFIX = "enc1:"
MIN_KEY_CHARS = 32
_SEPARATOR = b"\x1f"
_NONCE, _ID = 12, 4


@dataclass(frozen=True)
class Cipher:
    """Encrypts and decrypts the values of one column."""

    key_id: bytes
    column: str
    bound: bytes = field(repr=False)
    _nonce_key: bytes = field(repr=False)
    _aead: Any = field(repr=False)

    @classmethod
    def of(cls, password: str, context: str, column: str) -> Cipher:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            raise missing_extra("cryptography", "auth", "encryption") from None
        key, nonce_key = derived(password)
        bound = context.encode() + _SEPARATOR + column.encode()
        return cls(key_id(password), column, bound, nonce_key, AESGCM(key))

    def encrypt(self, value: str) -> str:
        """Raises: BadInput where the value is cipher text already."""
        if value.startswith(PREFIX):
            raise BadInput(
                f"A value of {self.column} is encrypted already",
                code="encrypted_already",
                where=f"column {self.column}",
                todo="encrypt once",
            )
        data = value.encode()
        nonce = hmac.digest(self._nonce_key, self.bound + _SEPARATOR + data, "sha256")[:_NONCE]
        sealed = self._aead.encrypt(nonce, data, self.bound)
        return PREFIX + base64.urlsafe_b64encode(self.key_id + nonce + sealed).decode()

    def decrypt(self, text: str) -> str:
        """Raises: BadInput for what is no cipher text of this key, context and column."""
        from cryptography.exceptions import InvalidTag

        try:
            raw = base64.urlsafe_b64decode(text.removeprefix(PREFIX))
            if not text.startswith(PREFIX) or raw[:_ID] != self.key_id:
                raise ValueError
            plain: bytes = self._aead.decrypt(raw[_ID : _ID + _NONCE], raw[_ID + _NONCE :], self.bound)
        except (ValueError, InvalidTag):
            raise BadInput(
                f"A value of {self.column} cannot be decrypted",
                code="not_decrypted",
                where=f"column {self.column}",
                expected=f"cipher text of the key {self.key_id.hex()}, in this column and context, undamaged",
            ) from None
        return plain.decode()


def derived(password: str) -> tuple[bytes, bytes]:
    """(key, nonce key): HKDF with SHA-256 (RFC 5869, no salt), one block each."""
    secret = hmac.digest(bytes(hashlib.sha256().digest_size), password.encode(), "sha256")
    one, other = (hmac.digest(secret, info + b"\x01", "sha256") for info in (b"base_ops aes", b"base_ops nonce"))
    return one, other


def key_id(password: str) -> bytes:
    """Names a key without telling it."""
    return hmac.digest(derived(password)[1], b"base_ops key id", "sha256")[:_ID]

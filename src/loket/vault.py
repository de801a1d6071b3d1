"""Secrets at rest and signed links, all from one secret key.

Sealing is AES-256-GCM; an index is an HMAC, so equal values can be found without being read.
"""

import base64
import hashlib
import hmac
import os
import struct
from datetime import datetime
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION = b"\x01"
_NONCE_BYTES = 12


class Vault:
    """Raises `ValueError` when the secret key is not 32 bytes in hexadecimal."""

    def __init__(self, secret_key: str) -> None:
        secret = bytes.fromhex(secret_key)
        if len(secret) != 32:
            raise ValueError("LOKET_SECRET_KEY must be 32 bytes in hexadecimal (64 characters)")
        self._seal = AESGCM(_derive(secret, b"seal"))
        self._index_key = _derive(secret, b"index")
        self._link_key = _derive(secret, b"link")
        self.reference_key = _derive(secret, b"reference")
        """Makes case references unguessable."""

    def seal(self, text: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._seal.encrypt(nonce, text.encode(), _VERSION)

    def open(self, sealed: bytes) -> str:
        """Raises `cryptography.exceptions.InvalidTag` when sealed with another key, or changed."""
        version, nonce, rest = sealed[:1], sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        return self._seal.decrypt(nonce, rest, version).decode()

    def index(self, purpose: str, text: str) -> bytes:
        """The same for the same `text` and `purpose`; says nothing about `text`."""
        return hmac.digest(self._index_key, f"{purpose}:{text}".encode(), "sha256")

    def link(self, purpose: str, subject: UUID, expires_at: datetime) -> str:
        """A token that stands for `subject`, for one `purpose`, until `expires_at`."""
        body = subject.bytes + struct.pack(">Q", int(expires_at.timestamp()))
        return base64.urlsafe_b64encode(body + self._sign(purpose, body)).decode().rstrip("=")

    def read_link(self, purpose: str, token: str, now: datetime) -> UUID | None:
        """The subject of `token`; None when it is false, for another purpose, or has expired."""
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            return None
        body, signature = raw[:24], raw[24:]
        if len(body) != 24 or not hmac.compare_digest(signature, self._sign(purpose, body)):
            return None
        (expires,) = struct.unpack(">Q", body[16:])
        return UUID(bytes=body[:16]) if now.timestamp() < expires else None

    def _sign(self, purpose: str, body: bytes) -> bytes:
        return hmac.digest(self._link_key, purpose.encode() + b"\0" + body, "sha256")[:24]


def token_hash(token: str) -> bytes:
    """What is kept of a random token of ours: enough to recognise it, useless to a thief."""
    return hashlib.sha256(token.encode()).digest()


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"loket:" + purpose).derive(secret)

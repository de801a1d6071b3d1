"""Global ids: how clients and subscribers name a thing, opaque to them."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple
from uuid import UUID

from loket.errors import ErrorCode, Refused


class GlobalId(NamedTuple):
    """What a global id stands for: a GraphQL type and the key of a row, or of a thing in a file."""

    kind: str
    key: UUID | str


def encode_id(kind: str, key: UUID | str) -> str:
    """The opaque global id of the `kind` with `key`.

    base64url of `Kind:` and 16 bytes, or of `Kind/` and a text; `api.mapping` builds the same in SQL.
    """
    raw = kind.encode() + b":" + key.bytes if isinstance(key, UUID) else f"{kind}/{key}".encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def read_id(value: str) -> GlobalId | None:
    """What the global id `value` stands for; None where it is not one."""
    if len(value) > 200:
        return None
    try:
        raw = urlsafe_b64decode(value + "=" * (-len(value) % 4))
        colon, slash = raw.find(b":"), raw.find(b"/")
        if colon > 0 and (slash < 0 or colon < slash):
            found = GlobalId(raw[:colon].decode("ascii"), UUID(bytes=raw[colon + 1 :]))
        elif slash > 0:
            found = GlobalId(raw[:slash].decode("ascii"), raw[slash + 1 :].decode())
        else:
            return None
    except (binascii.Error, ValueError):
        return None
    return found if encode_id(*found) == value else None


def decode_id(value: str, kind: str, *, path: list[str] | None = None) -> UUID:
    """The key in the global id `value` of a `kind`.

    Raises:
        Refused: NOT_FOUND, as for an id that does not exist: it is malformed or of another type.
    """
    found = read_id(value)
    if found is None or found.kind != kind or not isinstance(found.key, UUID):
        raise Refused(ErrorCode.NOT_FOUND, path=path)
    return found.key

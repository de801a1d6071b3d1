"""Places in a list: opaque texts, bound to the list and its order.

A cursor holds the values by which its item was sorted, and a checksum over them and the name of the list, so
that a cursor of another list, of another order or with a changed letter is told apart from one of ours. It
gives no rights: what a page shows is decided by the policy of its rows.
"""

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from hashlib import md5
from typing import Any
from uuid import UUID

import orjson

from loket.api.mapping import base64url, quote

CHECKSUM_DIGITS = 8


class WrongCursor(Exception):
    """No cursor of this list and order."""


def write(scope: str, columns: Sequence[tuple[str, str]]) -> str:
    """The SQL that makes the cursor of a row, sorted by `columns`: (expression, SQL type)."""
    values = ", ".join(_text(sql, kind) for sql, kind in columns)
    payload = f"json_build_array({values})::text"
    check = f"left(md5({quote(scope)} || {payload}), {CHECKSUM_DIGITS})"
    return base64url(f"convert_to({check} || {payload}, 'UTF8')")


def read(cursor: str, scope: str, kinds: Sequence[str]) -> list[Any]:
    """The values in `cursor`, of the SQL types `kinds`.

    Raises:
        WrongCursor: it was not given out by the list `scope`.
    """
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        check, payload = text[:CHECKSUM_DIGITS], text[CHECKSUM_DIGITS:]
        expected = md5((scope + payload).encode(), usedforsecurity=False).hexdigest()[:CHECKSUM_DIGITS]
        values = orjson.loads(payload)
        if check != expected or not isinstance(values, list) or len(values) != len(kinds):
            raise WrongCursor
        return [_value(value, kind) for value, kind in zip(values, kinds, strict=True)]
    except (binascii.Error, ValueError, InvalidOperation) as fault:
        raise WrongCursor from fault


def _text(sql: str, kind: str) -> str:
    if kind == "timestamptz":
        return f"to_char({sql} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"
    return f"({sql})::text"


def _value(value: object, kind: str) -> Any:  # noqa: ANN401  # whatever the column holds
    if not isinstance(value, str) or "\x00" in value:
        raise WrongCursor
    match kind:
        case "uuid":
            return UUID(value)
        case "timestamptz":
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        case "date":
            return date.fromisoformat(value)
        case "numeric":
            return Decimal(value)
        case "bigint" | "xid8":
            number = int(value)
            if not 0 <= number + 2**63 < 2**64:
                raise WrongCursor
            return number if kind == "bigint" else str(number)
        case "boolean":
            return value == "true"
        case _:
            return value

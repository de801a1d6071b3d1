"""The signature on what accounting and planning send us, as our published contracts describe it.

`Loket-Signature: v1=<hex HMAC-SHA256(secret, timestamp + "." + raw body)>` beside `Loket-Timestamp`.
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from loket.errors import BadSignature

WINDOW = timedelta(seconds=300)
"""How far a sender's clock may be off, either way; what is older may be a replay."""


def check(headers: Mapping[str, str], body: bytes, secrets: str, *, now: datetime | None = None) -> None:
    """Whether `body`, byte for byte as it came in, was signed by a holder of one of `secrets`.

    `secrets` are separated by commas: while one is being replaced, the old and the new hold together.

    Raises:
        BadSignature: no or a wrong signature, or a timestamp outside the window.
    """
    fields = {name.lower(): value for name, value in headers.items()}
    timestamp = fields.get("loket-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise BadSignature("Loket-Timestamp is missing or not in Unix seconds")
    age_seconds = abs((now or datetime.now(UTC)).timestamp() - int(timestamp))
    if age_seconds > WINDOW.total_seconds():
        raise BadSignature("Loket-Timestamp is too far off")
    given = [part.strip() for part in fields.get("loket-signature", "").split(",")]
    wanted = [f"v1={_signature(secret, timestamp, body)}" for secret in secrets.split(",") if secret.strip()]
    if not any([_same(one, other) for one in wanted for other in given]):  # noqa: C419  # all, for constant time
        raise BadSignature("Loket-Signature is missing or wrong")


def _signature(secret: str, timestamp: str, body: bytes) -> str:
    return hmac.digest(secret.strip().encode(), timestamp.encode() + b"." + body, "sha256").hex()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())

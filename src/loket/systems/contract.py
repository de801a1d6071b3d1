"""What our two published contracts (contracts/*.openapi.yaml) have in common: shapes, sign-in, notices."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import httpx2
import orjson
from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass as shape

from loket.errors import BadNotice, Unavailable
from loket.systems import hook_signature
from loket.trust import authorities

CENT = Decimal("0.01")

WIRE = ConfigDict(
    alias_generator=to_camel,
    validate_by_name=True,
    validate_by_alias=True,
    extra="ignore",
    hide_input_in_errors=True,
)
"""Python's names here, the contract's camelCase on the wire; fields that we do not know are left alone.

What is wrong is logged, so it must not repeat a name or an account number.
"""

Amount = Annotated[
    Decimal,
    Field(gt=0, max_digits=12, decimal_places=2),
    AfterValidator(lambda amount: amount.quantize(CENT)),
]
"""EUR, more than nothing, whole cents; always written with two decimals."""


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError as fault:
        raise ValueError("outside the calendar") from fault


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""With an offset on the wire, UTC with us."""


@shape(frozen=True, config=WIRE)
class Address:
    street: str
    postal_code: str
    municipality: str
    house_number: str | None = None
    box_number: str | None = None
    country: str = "BE"


Said = TypeVar("Said")


@dataclass(frozen=True)
class Notice(Generic[Said]):
    """What a system told us. `said` is None for a type that this version does not know: keep it, do nothing.

    `id` is the sender's, the same each time that it repeats the notice.
    """

    id: str
    type: str
    occurred_at: datetime
    said: Said | None


@shape(frozen=True, config=WIRE)
class _Envelope:
    id: Annotated[str, Field(min_length=1, max_length=100)]
    type: str
    occurred_at: Instant
    data: dict[str, Any]


_ENVELOPE = TypeAdapter(_Envelope)


def read_notice(
    headers: Mapping[str, str], body: bytes, secrets: str, kinds: Mapping[str, TypeAdapter[Said]]
) -> Notice[Said]:
    """The notice in `body`, once its signature is proven. `kinds`: what `data` holds, per type.

    Raises:
        BadSignature: not provably from the system.
        BadNotice: provably from it, yet not what the contract says.
    """
    hook_signature.check(headers, body, secrets)
    try:
        envelope = _ENVELOPE.validate_python(orjson.loads(body))
        kind = kinds.get(envelope.type)
        said = None if kind is None else kind.validate_python(envelope.data)
    except (orjson.JSONDecodeError, ValidationError) as wrong:
        raise BadNotice(str(wrong)) from wrong
    return Notice(id=envelope.id, type=envelope.type, occurred_at=envelope.occurred_at, said=said)


CONNECT_SECONDS = 5.0
"""For a line: who has none has sent nothing, and may simply ask again."""


def client(url: str, token: str, timeout_seconds: float) -> httpx2.AsyncClient:
    line = min(timeout_seconds, CONNECT_SECONDS)
    return httpx2.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
        timeout=httpx2.Timeout(timeout_seconds, connect=line, pool=line),
        trust_env=False,
        verify=authorities(),
    )


def keyed(key: UUID) -> dict[str, str]:
    """The headers of a change that may be repeated."""
    return {"Idempotency-Key": str(key), "Content-Type": "application/json"}


def answer(system: str, kind: TypeAdapter[Said], response: httpx2.Response) -> Said:
    """The body as the contract describes it.

    Raises:
        Unavailable: it is not. A repeat is recognised by its key, so asking again is safe.
    """
    try:
        return kind.validate_json(response.content)
    except ValidationError as wrong:
        raise Unavailable(system, f"unreadable answer: {wrong}", http_status=response.status_code) from wrong

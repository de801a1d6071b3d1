"""The answer to a wish that comes twice: kept under the client's key, in the transaction of what it did."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import fields, is_dataclass
from functools import partial
from hashlib import sha256
from types import SimpleNamespace
from typing import Any, Protocol, TypeVar
from uuid import UUID

import orjson
from strawberry import UNSET

from loket.api.payloads import Payload
from loket.api.reads import Allowed, Ref
from loket.errors import ErrorCode, Refused

T = TypeVar("T")

KEY = "idempotency_key"
LONGEST_KEY = 200


class Memory(Protocol):
    """Answers by idempotency key, per actor, kept in the transaction of the effect."""

    async def recall(self, work: Any, *, actor: str, key: str, request_hash: bytes) -> bytes | None:  # noqa: ANN401  # the application's
        """Claim `key`, or give the answer that it already had; waits for whoever is using it now.

        Raises:
            Refused: IDEMPOTENCY_MISMATCH, the key was used for another request.
        """

    async def remember(self, work: Any, *, actor: str, key: str, answer: bytes) -> None:  # noqa: ANN401  # as above
        """Keep `answer` under the claimed key."""


class MutationContext(Protocol):
    """What mutations need of the application's context, beside what reading needs."""

    viewer: Any
    memory: Memory

    @property
    def actor_key(self) -> str:
        """Names the caller, the same at every request."""

    async def informed(self, act: Callable[[], Awaitable[T]]) -> T:
        """What `act` answers; done again once what it did not know yet is known (`UnknownVersion`)."""

    def transaction(self, policy: Allowed | None = None) -> AbstractAsyncContextManager[Any]:
        """One piece of work, by a door that `policy` opens."""


def check_key(key: str | None) -> None:
    """Let `key` through where there is none, or it is of a bearable length.

    Raises:
        Refused: VALIDATION.
    """
    if key is not None and not 1 <= len(key) <= LONGEST_KEY:
        raise Refused(ErrorCode.VALIDATION, path=["idempotencyKey"], reason=f"1 to {LONGEST_KEY} characters")


async def once(
    context: MutationContext,
    work: Any,  # noqa: ANN401  # the application's
    arguments: Mapping[str, Any],
    act: "partial[Any]",
    payload: type[Any],
) -> Any:  # noqa: ANN401  # a payload of that type
    """What `act` answers; where its key was used before for the same wish, what it answered then."""
    actor, key = context.actor_key, arguments[KEY]
    asked = request_hash(act.func.__name__, arguments)
    known = await context.memory.recall(work, actor=actor, key=key, request_hash=asked)
    if known is not None:
        return restore(payload, known)
    answer = await act()
    await context.memory.remember(work, actor=actor, key=key, answer=store(answer))
    return answer


def request_hash(name: str, arguments: Mapping[str, Any]) -> bytes:
    """SHA-256 of what a mutation was asked, its key apart."""
    asked = {one: value for one, value in arguments.items() if one != KEY}
    return sha256(orjson.dumps([name, asked], default=_plain, option=orjson.OPT_SORT_KEYS)).digest()


def store(payload: Payload) -> bytes:
    """`payload` as it is remembered: rows by their keys, so that a repeat shows them as they are then."""
    return orjson.dumps(
        {one.name: _stored(getattr(payload, one.name)) for one in fields(payload)}, default=_plain
    )


def restore(payload: type[Any], stored: bytes) -> Any:  # noqa: ANN401  # a payload of that type
    return payload(**{name: _restored(value) for name, value in orjson.loads(stored).items()})


def _stored(value: object) -> object:
    if isinstance(value, Ref):
        return {"$ref": [value.kind, str(value.key), type(value.key).__name__]}
    if isinstance(value, list):
        return [_stored(one) for one in value]
    if is_dataclass(value):
        return {one.name: _stored(getattr(value, one.name)) for one in fields(value)}
    return value


def _restored(value: Any) -> Any:  # noqa: ANN401  # any JSON
    if isinstance(value, list):
        return [_restored(one) for one in value]
    if isinstance(value, dict) and "$ref" in value:
        kind, key, of = value["$ref"]
        return Ref(kind, UUID(key) if of == "UUID" else int(key) if of == "int" else key)
    if isinstance(value, dict):
        return SimpleNamespace(**{name: _restored(one) for name, one in value.items()})
    return value


def _plain(value: object) -> object:
    return None if value is UNSET else str(value)

"""Mutations, subscriptions and root fields: who may use them, and how a refusal comes back.

    @mutation(policy=signed_in)
    async def case_assign(self, work: Work, id: Annotated[ID, …]) -> CaseAssignPayload:
        \"\"\"Take a case on.\"\"\"
        case = await cases.assign(work, decode_id(id, "Case"))
        return CaseAssignPayload(case=Case.of(case.id))

A mutation that takes a `work` runs in one transaction, which is committed when it returns and rolled back
when it raises, and done once more when the database rolled it back by itself. With an `idempotency_key` its
answer is remembered in that same transaction.
"""

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import partial, wraps
from hashlib import sha256
from types import SimpleNamespace
from typing import Annotated, Any, Protocol, TypeVar, get_args, get_origin
from uuid import UUID

import orjson
import strawberry
from strawberry import UNSET
from strawberry.types.arguments import StrawberryArgumentAnnotation

from loket import database
from loket.api.actions import CaseAction, named
from loket.api.naming import (
    Field,
    described,
    described_argument,
    document,
    encode_id,
    enumeration,
    interface,
    output,
)
from loket.api.reads import POLICY, Allowed, Ref
from loket.errors import ErrorCode, ManyRefused, Refused, Unavailable

T = TypeVar("T")

KEY = "idempotency_key"
KNOWN_ARGUMENTS = {
    KEY: "Your own key for this wish: the same key again gives the same answer, and is done once.",
    "expected_version": "Refuse with VERSION_CONFLICT when this is no longer its version.",
}
LONGEST_KEY = 200

enumeration(
    ErrorCode,
    {
        "NOT_FOUND": "It does not exist, or not for you.",
        "NOT_ALLOWED": "You may not do this.",
        "SIGN_IN_REQUIRED": "Sign in first.",
        "TRANSITION_NOT_ALLOWED": "Not possible in the present status; see `TransitionNotAllowed`.",
        "VERSION_CONFLICT": "Somebody changed it meanwhile; see `VersionConflict`.",
        "IDEMPOTENCY_MISMATCH": "The key was used before, for something else.",
        "VALIDATION": "A value is not acceptable; `path` names it.",
        "REQUIRED": "A value is missing; `path` names it.",
        "RULE_NOT_MET": "A rule of the procedure is not met; see `RuleNotMet`.",
        "SLOT_FULL": "No place is left; see `SlotFull`.",
        "SLOT_GONE": "This slot no longer exists.",
        "TOO_LARGE": "Larger than is accepted.",
        "MEDIA_TYPE": "This kind of file is not accepted.",
        "EXPIRED": "It was possible until a moment that has passed.",
        "NOTHING_DUE": "Nothing is left to be paid.",
        "SYSTEM_UNAVAILABLE": "Another system does not answer now; try again later.",
        "CURSOR_EXPIRED": "Too old to resume from: read again, and follow from the new cursor.",
        "FELL_BEHIND": "Too slow to follow: resume from the cursor of the last event that you got.",
    },
    description="Why something was refused. Stable: switch on these, show the message.",
)


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

    def transaction(self) -> AbstractAsyncContextManager[Any]: ...


# --- refusals ---------------------------------------------------------------------------------


@interface
class UserError:
    """Why a wish was not granted. Nothing was changed."""

    message: str = described("For people, in the language of the request.")
    code: ErrorCode = described("For programs.")
    path: list[str] | None = described("The input at fault, from `input` on.", default=None)


@output
class Refusal(UserError):
    """A refusal that its code says everything about."""


@output
class ValidationError(UserError):
    """A value that is missing or not acceptable."""


@output
class TransitionNotAllowed(UserError):
    """Not possible in the present status."""

    current_status: str = described("The present status.")
    allowed_actions: list[CaseAction] = described(
        "What you can do now, as far as the status says; see `Case.viewerAvailableActions`."
    )


@output
class VersionConflict(UserError):
    """Somebody changed it meanwhile."""

    current_version: int = described("Its present version.")


@output
class IdempotencyMismatch(UserError):
    """The key was used before, for another request."""


@output
class SlotAlternative:
    """A slot that still has a place."""

    slot_id: strawberry.ID = described("The global id of the slot.")
    starts_at: datetime = described("From when.")
    ends_at: datetime = described("Until when.")


@output
class SlotFull(UserError):
    """No place is left in this slot."""

    alternatives: list[SlotAlternative] = described("Slots that still have one.")


@output
class RuleNotMet(UserError):
    """A rule of the procedure is not met."""

    rule: str = described("Its name in the definition of the procedure.")


USER_ERRORS = (
    Refusal,
    ValidationError,
    TransitionNotAllowed,
    VersionConflict,
    IdempotencyMismatch,
    SlotFull,
    RuleNotMet,
)
"""For `Schema(types=…)`: nothing else refers to them."""


def user_errors(fault: Refused | ManyRefused, language: str) -> list[UserError]:
    """`fault` as clients see it. `extra` of a refusal holds what its concrete type shows."""
    refusals = fault.refusals if isinstance(fault, ManyRefused) else [fault]
    return [_user_error(one, language) for one in refusals]


def _user_error(fault: Refused, language: str) -> UserError:
    said: dict[str, Any] = {"message": fault.message(language), "code": fault.code, "path": fault.path}
    extra, values = fault.extra, fault.values
    match fault.code:
        case ErrorCode.TRANSITION_NOT_ALLOWED:
            return TransitionNotAllowed(
                current_status=str(extra.get("status", values.get("status", ""))),
                allowed_actions=named(extra.get("allowed_actions", ())),
                **said,
            )
        case ErrorCode.VERSION_CONFLICT:
            return VersionConflict(
                current_version=int(extra.get("current", values.get("current", 0))), **said
            )
        case ErrorCode.IDEMPOTENCY_MISMATCH:
            return IdempotencyMismatch(**said)
        case ErrorCode.SLOT_FULL:
            slots = [
                SlotAlternative(
                    slot_id=_global("Slot", one["id"]), starts_at=one["starts_at"], ends_at=one["ends_at"]
                )
                for one in extra.get("alternatives", ())
            ]
            return SlotFull(alternatives=slots, **said)
        case ErrorCode.VALIDATION | ErrorCode.REQUIRED:
            return ValidationError(**said)
        case ErrorCode.RULE_NOT_MET:
            return RuleNotMet(rule=str(extra.get("rule", "")), **said)
        case _:
            return Refusal(**said)


def _global(kind: str, key: UUID | str) -> strawberry.ID:
    return strawberry.ID(encode_id(kind, key) if isinstance(key, UUID) else key)


@output
class Payload:
    """What every mutation answers. Subclass it; every field of a payload is nullable or has a default."""

    errors: list[UserError] = described("Why nothing was done; empty when it was.", default_factory=list)


def permit(policy: Allowed, viewer: Any) -> None:  # noqa: ANN401  # the application's viewer
    """Let `viewer` through, or not.

    Raises:
        Refused: SIGN_IN_REQUIRED for who is not signed in, else NOT_ALLOWED.
    """
    if not policy(viewer.scope):
        raise Refused(ErrorCode.NOT_ALLOWED if viewer.signed_in else ErrorCode.SIGN_IN_REQUIRED)


# --- declaring fields -------------------------------------------------------------------------


def root(*, policy: Allowed) -> Callable[[Callable[..., Any]], Field]:
    """A root field that Python resolves. Whom the policy does not let in gets null, or an empty list."""

    def declare(function: Callable[..., Any]) -> Field:
        many = get_origin(function.__annotations__.get("return")) is list

        def allowed(arguments: Mapping[str, Any]) -> bool:
            return policy(arguments["info"].context.viewer.scope)

        def resolve(self: Any, **arguments: Any) -> Any:  # noqa: ANN401  # a resolver
            if allowed(arguments):
                return function(self, **arguments)
            return [] if many else None

        async def resolve_later(self: Any, **arguments: Any) -> Any:  # noqa: ANN401  # a resolver
            value = resolve(self, **arguments)
            return await value if inspect.isawaitable(value) else value

        later = inspect.iscoroutinefunction(function)
        return _field(function, resolve_later if later else resolve, policy)

    return declare


def mutation(*, policy: Allowed, remembers: bool = True) -> Callable[[Callable[..., Any]], Field]:
    """A business action. Refusals become the payload's `errors`, in the caller's language.

    A function that calls another system opens its own transactions and takes no `work`; it then keeps its
    idempotency key itself, and says so with `remembers=False`.
    """

    def declare(function: Callable[..., Any]) -> Field:
        parameters = inspect.signature(function).parameters
        shared = function.__annotations__["return"]
        payload = _own(function, shared)
        function.__annotations__["return"] = payload
        if KEY in parameters and remembers and "work" not in parameters:
            raise TypeError(
                f"{function.__name__}: an idempotency key is kept in the transaction of its `work`"
            )

        async def resolve(self: Any, info: strawberry.Info, **arguments: Any) -> Any:  # noqa: ANN401  # a resolver
            context: MutationContext = info.context
            given = arguments | ({"info": info} if "info" in parameters else {})
            try:
                permit(policy, context.viewer)
                _check_key(arguments.get(KEY))
                if "work" not in parameters:
                    return _as(payload, await function(self, **given))

                async def act(work: Any) -> Any:  # noqa: ANN401  # the application's, and a payload
                    done = partial(function, self, **given, work=work)
                    if not (remembers and KEY in arguments):
                        return await done()
                    return await once(context, work, arguments, done, payload)

                return _as(payload, await kept_whole(context, act))
            except (Refused, ManyRefused) as fault:
                return payload(errors=user_errors(fault, context.viewer.language))
            except Unavailable as fault:
                refused = Refused(ErrorCode.SYSTEM_UNAVAILABLE, system=fault.system)
                return payload(errors=user_errors(refused, context.viewer.language))

        return _field(function, resolve, policy)

    return declare


async def kept_whole(context: MutationContext, act: Callable[[Any], Awaitable[T]]) -> T:
    """What `act` answers, all that it does in one transaction; once more where that gave way to another."""
    return await database.kept_whole(context.transaction, act)


def _own(function: Callable[..., Any], shared: type[Any]) -> type[Any]:
    """The mutation's own type, so that it can grow without the others: `caseAssign` has CaseAssignPayload."""
    name = "".join(word.capitalize() for word in function.__name__.split("_")) + "Payload"
    if shared.__name__ == name:
        return shared
    own = type(name, (shared,), {"__doc__": shared.__doc__, "__module__": shared.__module__})
    return output(own)


def _as(payload: type[Any], answer: Any) -> Any:  # noqa: ANN401  # a payload
    """`answer` as the mutation's own type."""
    if isinstance(answer, payload):
        return answer
    return payload(**{one.name: getattr(answer, one.name) for one in fields(answer)})


def subscription(*, policy: Allowed) -> Callable[[Callable[..., Any]], Field]:
    """A stream of rows (`Type.of(key, cursor=…)`) or of plain objects.

    An event stream that resumes by itself gives its Last-Event-ID as `after`.
    """

    def declare(function: Callable[..., AsyncGenerator[Any, None]]) -> Field:
        resumes = "after" in inspect.signature(function).parameters

        async def resolve(
            self: Any,  # noqa: ANN401  # a resolver
            info: strawberry.Info,
            **arguments: Any,  # noqa: ANN401  # as above
        ) -> AsyncGenerator[Any, None]:
            permit(policy, info.context.viewer)
            if resumes and info.context.last_event_id is not None:
                arguments["after"] = info.context.last_event_id
            return function(self, info=info, **arguments)

        return _field(function, resolve, policy, is_subscription=True)

    return declare


def _field(
    function: Callable[..., Any],
    resolve: Callable[..., Any],
    policy: Allowed,
    *,
    is_subscription: bool = False,
) -> Field:
    """`resolve` as strawberry's resolver, with the signature of `function` as clients see it."""
    wraps(function)(resolve)
    signature = inspect.signature(function)
    shown = [one for name, one in signature.parameters.items() if name != "work"]
    if "info" not in signature.parameters:
        shown.append(inspect.Parameter("info", inspect.Parameter.KEYWORD_ONLY, annotation=strawberry.Info))
    shown = [_known(one) for one in shown]
    resolve.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]  # inspect reads it
    resolve.__annotations__ = {one.name: one.annotation for one in shown} | {
        "return": signature.return_annotation
    }
    return strawberry.field(
        resolver=resolve,
        description=document(function),
        metadata={POLICY: policy},
        is_subscription=is_subscription,
    )


def _known(parameter: inspect.Parameter) -> inspect.Parameter:
    """Arguments that many fields have are described here once."""
    text = KNOWN_ARGUMENTS.get(parameter.name)
    notes = get_args(parameter.annotation)[1:] if get_origin(parameter.annotation) is Annotated else ()
    if text is None or any(isinstance(one, StrawberryArgumentAnnotation) for one in notes):
        return parameter
    return parameter.replace(annotation=Annotated[parameter.annotation, described_argument(text)])


# --- idempotency ------------------------------------------------------------------------------


def _check_key(key: str | None) -> None:
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

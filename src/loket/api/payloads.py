"""What mutations answer: their payload, and the errors in it."""

from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from loket.api.actions import CaseAction, named
from loket.api.naming import described, enumeration, interface, output
from loket.errors import ErrorCode, ManyRefused, Refused
from loket.ids import encode_id

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
        "OUTDATED": "The version of the procedure that it was begun on holds no more: `applicationUpgrade`.",
        "NOTHING_DUE": "Nothing is left to be paid.",
        "SYSTEM_UNAVAILABLE": "Another system does not answer now; try again later.",
        "CURSOR_EXPIRED": "Too old to resume from: read again, and follow from the new cursor.",
        "FELL_BEHIND": "Too slow to follow: resume from the cursor of the last event that you got.",
    },
    description="Why something was refused. Stable: switch on these, show the message.",
)


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


@output
class Payload:
    """What every mutation answers. Subclass it; every field of a payload is nullable or has a default."""

    errors: list[UserError] = described("Why nothing was done; empty when it was.", default_factory=list)


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

"""What can go wrong, in three families.

`Refused`: the caller can act on it; it becomes a `UserError` in the payload.
`Failed`: another system let us down; a worker tries again, parks it, or holds it in doubt.
Anything else is our own mistake: logged with a trace id, masked towards the caller.
"""

from enum import StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """Stable codes of refusals. Clients switch on these, people read the message."""

    NOT_FOUND = "NOT_FOUND"
    NOT_ALLOWED = "NOT_ALLOWED"
    SIGN_IN_REQUIRED = "SIGN_IN_REQUIRED"
    TRANSITION_NOT_ALLOWED = "TRANSITION_NOT_ALLOWED"
    VERSION_CONFLICT = "VERSION_CONFLICT"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    VALIDATION = "VALIDATION"
    REQUIRED = "REQUIRED"
    RULE_NOT_MET = "RULE_NOT_MET"
    SLOT_FULL = "SLOT_FULL"
    SLOT_GONE = "SLOT_GONE"
    TOO_LARGE = "TOO_LARGE"
    MEDIA_TYPE = "MEDIA_TYPE"
    EXPIRED = "EXPIRED"
    OUTDATED = "OUTDATED"
    NOTHING_DUE = "NOTHING_DUE"
    SYSTEM_UNAVAILABLE = "SYSTEM_UNAVAILABLE"
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    FELL_BEHIND = "FELL_BEHIND"


MESSAGES: dict[ErrorCode, dict[str, str]] = {
    ErrorCode.NOT_FOUND: {"nl": "Niet gevonden.", "en": "Not found."},
    ErrorCode.NOT_ALLOWED: {"nl": "U mag dit niet doen.", "en": "You may not do this."},
    ErrorCode.SIGN_IN_REQUIRED: {"nl": "Meld u eerst aan.", "en": "Sign in first."},
    ErrorCode.TRANSITION_NOT_ALLOWED: {
        "nl": "Dit kan niet (meer) in de huidige toestand ({status}).",
        "en": "This is not possible in the present state ({status}).",
    },
    ErrorCode.VERSION_CONFLICT: {
        "nl": "Iemand anders heeft dit intussen gewijzigd (nu versie {current}).",
        "en": "Somebody else changed this meanwhile (now version {current}).",
    },
    ErrorCode.IDEMPOTENCY_MISMATCH: {
        "nl": "Deze idempotency key is al gebruikt voor een andere aanvraag.",
        "en": "This idempotency key was already used for a different request.",
    },
    ErrorCode.VALIDATION: {"nl": "Ongeldige waarde: {reason}", "en": "Invalid value: {reason}"},
    ErrorCode.REQUIRED: {"nl": "Dit veld is verplicht.", "en": "This field is required."},
    ErrorCode.RULE_NOT_MET: {"nl": "{reason}", "en": "{reason}"},
    ErrorCode.SLOT_FULL: {"nl": "Dit tijdstip is volzet.", "en": "This slot is full."},
    ErrorCode.SLOT_GONE: {"nl": "Dit tijdstip bestaat niet meer.", "en": "This slot no longer exists."},
    ErrorCode.TOO_LARGE: {"nl": "Te groot: hoogstens {limit}.", "en": "Too large: at most {limit}."},
    ErrorCode.MEDIA_TYPE: {
        "nl": "Dit bestandstype wordt niet aanvaard: {media_type}.",
        "en": "This media type is not accepted: {media_type}.",
    },
    ErrorCode.EXPIRED: {"nl": "Dit is verlopen.", "en": "This has expired."},
    ErrorCode.OUTDATED: {
        "nl": "De regels zijn veranderd sinds u begon: zo kan deze aanvraag niet meer worden ingediend."
        " Neem ze over naar de regels van vandaag, en kijk ze nog eens na.",
        "en": "The rules have changed since you began: this application can not be handed in as it is."
        " Take it over to the rules of today, and look it through once more.",
    },
    ErrorCode.NOTHING_DUE: {"nl": "Er staat niets (meer) open.", "en": "Nothing is due."},
    ErrorCode.SYSTEM_UNAVAILABLE: {
        "nl": "{system} antwoordt nu niet. Probeer het later opnieuw.",
        "en": "{system} does not answer now. Please try again later.",
    },
    ErrorCode.CURSOR_EXPIRED: {
        "nl": "Deze cursor is te oud: lees opnieuw en abonneer vanaf de nieuwe cursor.",
        "en": "This cursor is too old: read again and subscribe from the new cursor.",
    },
    ErrorCode.FELL_BEHIND: {
        "nl": "U volgde te traag: abonneer opnieuw vanaf de cursor van de laatste gebeurtenis die u kreeg.",
        "en": "You were too slow to follow: subscribe again from the cursor of the last event that you got.",
    },
}


class Refused(Exception):
    """What a caller wants is not possible; nothing was changed.

    `path` names the input field at fault (`["input", "answers", "phone"]`); `extra` carries what
    a client can act on (current version, allowed actions, alternatives). `text` is a message that is
    ready in the caller's language already.
    """

    def __init__(
        self,
        code: ErrorCode,
        *,
        path: list[str] | None = None,
        extra: dict[str, Any] | None = None,
        text: str | None = None,
        **values: object,
    ) -> None:
        self.text = text
        self.code = code
        self.path = path
        self.extra = extra or {}
        self.values = values
        super().__init__(self.message("en"))

    def message(self, language: str) -> str:
        if self.text is not None:
            return self.text
        texts = MESSAGES[self.code]
        return texts.get(language, texts["nl"]).format_map(self.values)


class ManyRefused(Exception):
    """Several refusals at once: every fault of a form is reported in one go."""

    def __init__(self, refusals: list[Refused]) -> None:
        self.refusals = refusals
        super().__init__("; ".join(str(refusal) for refusal in refusals))


class UnknownVersion(KeyError):
    """A version of a procedure that this process did not read yet: another published it a moment ago.

    Whoever opened the work reads it and does the work again, so nobody hears of this.
    """

    def __init__(self, key: str, version: int) -> None:
        self.version = (key, version)
        super().__init__(f"{key} version {version}")


class Failed(Exception):
    """Another system let us down. Carried out again, parked or held in doubt: never lost."""

    def __init__(self, system: str, reason: str, *, http_status: int | None = None) -> None:
        self.system = system
        self.reason = reason
        self.http_status = http_status
        super().__init__(f"{system}: {reason}")


class Unavailable(Failed):
    """No answer, or a 'not now': the same call may be repeated later."""

    def __init__(
        self,
        system: str,
        reason: str,
        *,
        http_status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(system, reason, http_status=http_status)
        self.retry_after_seconds = retry_after_seconds


class OurFault(Unavailable):
    """We could not do our part: the system itself may be well."""


class Declined(Failed):
    """A clear no: repeating the same call is useless, a person must look."""


class InDoubt(Failed):
    """Money was asked to move and no answer came: never repeated without a person."""


class BadNotice(Exception):
    """What came in on a hook cannot be read; nothing is kept, repeating it is useless (HTTP 400)."""


class BadSignature(BadNotice):
    """A notice is not provably from the system that it says it is from, or is too old (HTTP 401)."""

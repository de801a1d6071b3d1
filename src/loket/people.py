"""Who citizens are to us: how they want to hear from us, and proving that a contact point is theirs."""

import hmac
import secrets
from datetime import date, timedelta

from sqlalchemy import delete, select
from sqlmodel import col

from loket.errors import ErrorCode, Refused
from loket.records import ActorKind, ContactCode, EffectKind, Json, MessageChannel, Person
from loket.vault import token_hash
from loket.work import Work

CODE_LIFE = timedelta(minutes=15)
MAX_TRIES = 5
MAX_CODES = 5
"""Per person and lifetime of a code: nobody is flooded in somebody's name."""
LANGUAGES = ("nl", "en", "fr", "de")


async def me(work: Work) -> Person:
    """Raises `Refused` SIGN_IN_REQUIRED for who is no citizen."""
    if work.actor.kind is not ActorKind.CITIZEN or work.actor.id is None:
        raise Refused(ErrorCode.SIGN_IN_REQUIRED)
    return await work.session.get_one(
        Person, work.actor.id, with_for_update={"key_share": True}, populate_existing=True
    )


async def set_preferences(
    work: Work,
    *,
    email: str | None,
    phone: str | None,
    by_email: bool | None,
    by_sms: bool | None,
    by_letter: bool | None,
    language: str | None,
) -> Person:
    """Change what is given; a new contact point gets a code that proves it.

    Raises:
        Refused: VALIDATION for an unknown language; REQUIRED for text messages without a number.
    """
    person = await me(work)
    if language is not None and language not in LANGUAGES:
        raise Refused(ErrorCode.VALIDATION, path=["input", "language"], reason=", ".join(LANGUAGES))
    if email is not None and email != person.email:
        person.email, person.email_verified_at = email, None
        await _send_code(work, person, MessageChannel.EMAIL, email)
    if phone is not None and phone != person.phone:
        person.phone, person.phone_verified_at = phone, None
        await _send_code(work, person, MessageChannel.SMS, phone)
    person.by_email = person.by_email if by_email is None else by_email
    person.by_sms = person.by_sms if by_sms is None else by_sms
    person.by_letter = person.by_letter if by_letter is None else by_letter
    person.language = language or person.language
    if person.by_sms and person.phone is None:
        raise Refused(ErrorCode.REQUIRED, path=["input", "phone"])
    return person


async def verify(work: Work, channel: MessageChannel, code: str) -> tuple[Person, bool]:
    """Prove a contact point with the code that was sent to it; False for another code, which counts as a try.

    Raises:
        Refused: EXPIRED when there is no code to compare with (any more).
    """
    person = await me(work)
    found = await work.session.scalars(
        select(ContactCode)
        .where(
            col(ContactCode.person_id) == person.id,
            col(ContactCode.channel) == channel,
            col(ContactCode.expires_at) > work.now,
            col(ContactCode.tries) < MAX_TRIES,
        )
        .order_by(col(ContactCode.expires_at).desc())
        .limit(1)
        .with_for_update(key_share=True)
    )
    known = found.one_or_none()
    if known is None:
        raise Refused(ErrorCode.EXPIRED, path=["input", "code"])
    known.tries += 1
    right = hmac.compare_digest(known.code_hash, token_hash(f"{known.id}:{code.strip()}"))
    if right:
        if channel is MessageChannel.EMAIL and person.email == known.address:
            person.email_verified_at = work.now
        if channel is MessageChannel.SMS and person.phone == known.address:
            person.phone_verified_at = work.now
        await work.session.delete(known)
    return person, right


def introduce(
    person: Person,
    *,
    given_name: str,
    family_name: str,
    birth_on: date | None,
    address: Json | None,
    email: str | None,
    phone: str | None,
    language: str | None,
    by_letter: bool | None = None,
) -> None:
    """Keep what somebody else says of a person, where nothing is known: nobody's own words are replaced.

    So nobody at a counter can have another's messages sent elsewhere. Letters go where a person lives, as the
    sources say: whether they are wanted can be said at a counter.
    """
    person.by_letter = person.by_letter if by_letter is None else by_letter
    met = bool(person.given_name or person.family_name)
    if not met:
        person.given_name, person.family_name = given_name.strip(), family_name.strip()
        person.language = language or person.language
        # who has a phone and no mailbox is reached there
        person.by_sms = phone is not None and email is None
    person.birth_on = person.birth_on or birth_on
    person.address = person.address or address
    person.email = person.email or email
    person.phone = person.phone or phone


def forget(person: Person) -> None:
    """Who came once, without a national number, and left without applying: nothing is kept of them."""
    person.given_name, person.family_name, person.birth_on = "", "", None
    person.address, person.email, person.phone = None, None, None


async def _send_code(work: Work, person: Person, channel: MessageChannel, address: str) -> None:
    await work.session.execute(delete(ContactCode).where(col(ContactCode.expires_at) < work.now))
    recent = await work.session.scalars(
        select(col(ContactCode.id)).where(col(ContactCode.person_id) == person.id)
    )
    if len(recent.all()) >= MAX_CODES:
        raise Refused(ErrorCode.TOO_LARGE, limit=f"{MAX_CODES} codes per {CODE_LIFE}")
    code = f"{secrets.randbelow(10**6):06d}"
    kept = ContactCode(
        person_id=person.id, channel=channel, address=address, code_hash=b"", expires_at=work.now + CODE_LIFE
    )
    kept.code_hash = token_hash(f"{kept.id}:{code}")
    work.session.add(kept)
    await work.leave(
        EffectKind.CONTACT_CODE,
        {"channel": channel, "address": address, "code": work.vault.seal(code).hex()},
    )

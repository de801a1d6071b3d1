"""Messages by post: for who has no national number, no e-mail and no phone, and would hear nothing else.

They go with the day's print batch, as ordinary letters.
"""

from sqlalchemy import select
from sqlmodel import col

from loket import letters
from loket.records import (
    Case,
    EffectKind,
    Event,
    Letter,
    LetterWay,
    Message,
    MessageChannel,
    Person,
)
from loket.work import Work


def can_reach(person: Person) -> bool:
    """Whether an envelope can be addressed."""
    return bool(letters.address_lines(person.address or {}))


async def goes_already(work: Work, cause: Event) -> bool:
    """Whether the legal delivery of what `cause` decided is on its way: that letter says it all."""
    found = await work.session.scalar(
        select(col(Message.id))
        .where(
            col(Message.case_id) == cause.case_id,
            col(Message.event_seq) == cause.seq,
            col(Message.channel) == MessageChannel.LETTER,
            col(Message.legal_value),
        )
        .limit(1)
    )
    return found is not None


async def send(work: Work, case: Case, person: Person, message: Message) -> Letter:
    """Put `message` on paper; it waits for the day's batch."""
    await work.session.flush()
    letter = Letter(
        case_id=case.id,
        person_id=person.id,
        message_id=message.id,
        way=LetterWay.NORMAL,
        subject=message.subject,
        content={
            "name": f"{person.given_name} {person.family_name}".strip(),
            "lines": letters.address_lines(person.address or {}),
            "text": message.body,
            "language": message.language,
        },
        created_at=work.now,
    )
    work.session.add(letter)
    await work.session.flush()
    payload = {"letter_id": str(letter.id)}
    await work.leave(EffectKind.LETTER_PDF, payload, case=case, event_seq=message.event_seq or None)
    return letter

"""The day's letters for who prints and posts them, in one file; and the proof that they were posted."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, time
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import col

from loket import cases, paper
from loket.errors import ErrorCode, ManyRefused, Refused
from loket.filing import keep
from loket.letters import GONE, sent
from loket.records import Case, DocumentContent, Letter, LetterBatch, LetterStatus, LetterWay
from loket.terms import BRUSSELS
from loket.work import Work

LARGEST_BATCH = 500
"""Letters; more wait for the next batch of the day."""


async def make_all(work: Work) -> None:
    """The day's batch, in as many files as the letters take; none when none waits."""
    while await make(work) is not None:
        pass


async def make(work: Work) -> LetterBatch | None:
    """Hand all letters that wait to the printer, in one file; None when there are none."""
    await work.session.execute(select(func.pg_advisory_xact_lock(func.hashtext("letterbatch"))))
    found = await work.session.execute(
        select(Letter, DocumentContent, col(Case.reference))
        .join(DocumentContent, col(DocumentContent.document_id) == col(Letter.document_id))
        .join(Case, col(Case.id) == col(Letter.case_id))
        .where(col(Letter.status) == LetterStatus.QUEUED, col(Letter.way) != LetterWay.EBOX)
        .order_by(col(Letter.created_at), col(Letter.id))
        .limit(LARGEST_BATCH)
        .with_for_update(of=Letter, key_share=True)
    )
    waiting = [(letter, content.content, reference) for letter, content, reference in found]
    if not waiting:
        return None
    printed = [
        paper.PrintLetter(
            reference=reference,
            addressee=paper.Addressee(letter.content["name"], tuple(letter.content["lines"])),
            content=content,
            service=_SERVICES[letter.way],
        )
        for letter, content, reference in waiting
    ]
    made = await asyncio.to_thread(paper.batch, printed)
    number = await _next_number(work)
    document = await keep(
        work, "LETTER_BATCH", f"brieven-{work.today:%Y%m%d}-{number}.zip", made, media_type="application/zip"
    )
    batch = LetterBatch(
        made_on=work.today,
        number=number,
        letters=len(waiting),
        document_id=document.id,
        created_at=work.now,
    )
    work.session.add(batch)
    await work.session.flush()
    for sequence, (letter, _, _) in enumerate(waiting, start=1):
        letter.status, letter.batch_id, letter.sequence = LetterStatus.BATCHED, batch.id, sequence
    await work.session.flush()
    return batch


_SERVICES = {
    LetterWay.REGISTERED: paper.Service.REGISTERED,
    LetterWay.NORMAL: paper.Service.NORMAL,
}


async def _next_number(work: Work) -> int:
    last = await work.session.scalar(
        select(func.max(col(LetterBatch.number))).where(col(LetterBatch.made_on) == work.today)
    )
    return int(last or 0) + 1


async def prove(work: Work, batch_id: UUID, csv: str) -> LetterBatch:
    """Take over what was posted of a batch: number and day of each registered letter; the others went along.

    Raises:
        Refused: NOT_FOUND; VALIDATION for each line that is wrong: then nothing of it is taken over.
    """
    batch = await work.session.get(LetterBatch, batch_id, with_for_update={"key_share": True})
    if batch is None:
        raise Refused(ErrorCode.NOT_FOUND)
    found = await work.session.execute(
        select(Letter, col(Case.reference))
        .join(Case, col(Case.id) == col(Letter.case_id))
        .where(col(Letter.batch_id) == batch.id)
        .order_by(col(Letter.case_id), col(Letter.id))
    )
    letters = {(letter.sequence or 0, reference): letter for letter, reference in found}
    registered = any(letter.way is LetterWay.REGISTERED for letter in letters.values())
    try:
        posted = paper.proof(csv.encode(), today=work.today, registered=registered)
    except paper.ProofRefused as fault:
        raise _refused(fault.faults) from fault
    unknown = [
        f"{one.sequence} {one.reference} is no registered letter of this batch"
        for one in posted
        if (letter := letters.get((one.sequence, one.reference))) is None
        or letter.way is not LetterWay.REGISTERED
    ]
    if unknown:
        raise _refused(unknown)
    proofs = {(one.sequence, one.reference): one for one in posted}
    for key, letter in letters.items():
        proof = proofs.get(key)
        if proof is None and letter.way is LetterWay.REGISTERED:
            continue
        await cases.get(work, letter.case_id)
        if proof is not None:
            letter.registered_number = letter.registered_number or proof.registered_number
        await sent(
            work, letter, datetime.combine(proof.posted_on if proof else work.today, time(12), BRUSSELS)
        )
    if all(letter.status in GONE for letter in letters.values()):
        batch.posted_at = work.now
    return batch


def _refused(faults: Sequence[str]) -> ManyRefused:
    return ManyRefused([Refused(ErrorCode.VALIDATION, path=["csv"], reason=fault) for fault in faults[:20]])

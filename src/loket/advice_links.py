"""The link with which somebody outside gives advice: what it opens, and that it opens nothing else."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import select
from sqlmodel import col

from loket import cases
from loket.advice import LINK, Words, behind, give, is_decided
from loket.errors import ErrorCode, Refused
from loket.lifecycle import ADVICE, PartAction
from loket.records import Advice, Case, Document
from loket.vault import token_hash
from loket.work import Work, the_system

LONGEST_NAME = 140


async def get_by_token(work: Work, token: str) -> tuple[Case, Advice]:
    """What an external adviser is asked, behind the lock of its case.

    Raises:
        Refused: EXPIRED, whatever is wrong: a token that is false, too old, used, or of a question that was
            taken back or decided on.
    """
    named = work.vault.read_link(LINK, token, work.now)
    advice = await work.session.get(Advice, named) if named else None
    if advice is None or advice.token_hash != token_hash(token):
        raise Refused(ErrorCode.EXPIRED)
    case = await cases.get(work.as_actor(the_system()), advice.case_id)
    await behind(work, case, advice.id)
    answerable = ADVICE.find(advice.status, PartAction.ADVISE_WITH_CONDITIONS) is not None
    if not answerable or is_decided(work, case, advice):
        raise Refused(ErrorCode.EXPIRED)
    return case, advice


async def give_by_token(work: Work, token: str, words: Words) -> None:
    """An external adviser answers, under the name of the body that was asked.

    Raises:
        Refused: EXPIRED as `get_by_token`; REQUIRED and TOO_LARGE for its words and for the name.
    """
    case, advice = await get_by_token(work, token)
    adviser = work.definition(case).adviser(advice.adviser)
    title = adviser.title.nl if adviser else advice.adviser
    name = " ".join(cases.said(words.name, "name").split())
    if len(name) > LONGEST_NAME:
        raise Refused(ErrorCode.TOO_LARGE, path=["input", "name"], limit=f"{LONGEST_NAME} characters")
    as_body = work.as_actor(replace(work.actor, name=title))
    await give(as_body, case, advice, replace(words, name=name))


async def documents_for(work: Work, case: Case, advice: Advice) -> Sequence[Document]:
    """What the applicant added, where the procedure lets this adviser see it."""
    adviser = work.definition(case).adviser(advice.adviser)
    if adviser is None or not adviser.documents:
        return ()
    found = await work.session.scalars(
        select(Document)
        .where(
            col(Document.case_id) == case.id,
            col(Document.application_id).is_not(None),
            col(Document.stored_at).is_not(None),
        )
        .order_by(col(Document.id))
    )
    return found.all()

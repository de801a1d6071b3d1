"""What an external adviser sees with a link: one question, and nothing else."""

from collections.abc import Sequence
from datetime import date

from loket import accesslog
from loket.advice_links import documents_for
from loket.api.context import Caller
from loket.api.naming import described, output
from loket.lifecycle import AdviceStatus
from loket.records import ActorKind, Advice, Case, Document
from loket.work import Actor, Work


@output
class AdviceDocument:
    """A file that the applicant added."""

    filename: str = described("Its name.")
    media_type: str = described("Its media type.")
    size: int = described("In bytes.")
    url: str = described("Where to get it, for a quarter of an hour.")


@output
class AdviceRequest:
    """What an external adviser is asked."""

    reference: str = described("The number of the case.")
    procedure: str = described("What was applied for, in your language.")
    adviser: str = described("Who is asked, in your language.")
    question: str = described("What is asked.")
    due_on: date = described("The last day to answer; late advice counts as long as nobody decided.")
    status: AdviceStatus = described("Where it stands.")
    documents: list[AdviceDocument] = described("What the applicant added, where the procedure shows it.")


async def request_of(work: Work, case: Case, advice: Advice, viewer: Caller) -> AdviceRequest:
    """What a link shows; the applicant sees that the body looked."""
    definition = work.definition(case)
    adviser = definition.adviser(advice.adviser)
    body = Actor(ActorKind.SERVICE, adviser.title.nl if adviser else advice.adviser, frozenset())
    await accesslog.looked(work.as_actor(body), case.person_id, case.procedure_key, case.id)
    return AdviceRequest(
        reference=case.reference,
        procedure=definition.title.get(viewer.language),
        adviser=adviser.title.get(viewer.language) if adviser else advice.adviser,
        question=advice.question,
        due_on=advice.due_on,
        status=advice.status,
        documents=_shown(await documents_for(work, case, advice), viewer),
    )


def _shown(documents: Sequence[Document], viewer: Caller) -> list[AdviceDocument]:
    return [
        AdviceDocument(
            filename=one.filename,
            media_type=one.media_type,
            size=one.size,
            url=viewer.file_link(one.id),
        )
        for one in documents
    ]

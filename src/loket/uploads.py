"""Files that are sent along with an application or a case: announced, sent once, and made part of it."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import case as sql_case
from sqlalchemy import delete, func, select
from sqlmodel import col

from loket import applications, cases
from loket.definition import Definition
from loket.errors import ErrorCode, Refused
from loket.lifecycle import FINAL, Role
from loket.records import ActorKind, Application, Case, Document, DocumentContent, Person
from loket.work import Work

MEDIA_TYPES = {
    "application/pdf": b"%PDF-",
    "image/jpeg": b"\xff\xd8\xff",
    "image/png": b"\x89PNG\r\n\x1a\n",
}
"""What may be uploaded, with how such a file begins."""
MAX_DOCUMENT_BYTES = 10 * 1024 * 1024
ATTACHMENT = "ATTACHMENT"
"""What a file is that somebody adds without saying which of the procedure's documents it is."""
MAX_DOCUMENTS = 20
MAX_CASE_DOCUMENTS = 100
MAX_UNSUBMITTED_DOCUMENTS = 100
MAX_UNSUBMITTED_BYTES = 400 * 1024 * 1024
"""Per person, of files that are not part of a case yet; one that is still awaited counts in full."""
LOOSE_LIFE = timedelta(days=1)
"""How long a file that became part of nothing is kept at least."""
UPLOAD_LIFE = timedelta(minutes=30)


@dataclass(frozen=True)
class Upload:
    document: Document
    token: str


@dataclass(frozen=True)
class Announced:
    """A file that is about to be sent. `kind`: key of one of the procedure's documents, or an ATTACHMENT."""

    filename: str
    media_type: str
    size: int
    kind: str = ATTACHMENT


async def start_upload(work: Work, announced: Announced) -> Upload:
    """Announce a file; its content follows by `PUT /uploads/{token}`.

    Raises:
        Refused: MEDIA_TYPE; TOO_LARGE, also together with what the citizen sent before; VALIDATION for a
            name that is none.
    """
    if work.actor.kind is not ActorKind.CITIZEN or work.actor.id is None:
        raise Refused(ErrorCode.SIGN_IN_REQUIRED)
    return await announce(work, work.actor.id, announced)


async def start_case_upload(work: Work, case: Case, announced: Announced) -> Upload:
    """Announce a file for a case that is open: by its applicant, or by who handles it.

    Raises:
        Refused: as `start_upload`; TRANSITION_NOT_ALLOWED for a case that ended.
    """
    if case.status in FINAL or not cases.roles_in(work, case) & {Role.APPLICANT, Role.HANDLER}:
        raise cases.not_allowed(work, case)
    check_kind(work.definition(case), announced.kind, ["input", "kind"])
    held = await work.session.scalar(select(func.count()).where(col(Document.case_id) == case.id))
    if (held or 0) >= MAX_CASE_DOCUMENTS:
        raise Refused(ErrorCode.TOO_LARGE, limit=f"{MAX_CASE_DOCUMENTS} documents")
    upload = await announce(work, case.person_id, announced)
    upload.document.case_id, upload.document.application_id = case.id, case.application_id
    return upload


async def check_number(work: Work, application: Application) -> None:
    """Raises `Refused` TOO_LARGE for an application that holds as many files as it may."""
    held = await work.session.scalar(
        select(func.count()).where(col(Document.application_id) == application.id)
    )
    if (held or 0) >= MAX_DOCUMENTS:
        raise Refused(ErrorCode.TOO_LARGE, limit=f"{MAX_DOCUMENTS} documents")


def check_kind(definition: Definition, kind: str, path: list[str]) -> None:
    """Raises `Refused` VALIDATION for a kind of document that the procedure does not know."""
    known = [one.key for one in definition.documents]
    if kind != ATTACHMENT and kind not in known:
        raise Refused(ErrorCode.VALIDATION, path=path, reason=f"one of: {', '.join(known) or 'none'}")


async def announce(work: Work, person_id: UUID, announced: Announced) -> Upload:
    """A file of `person_id`, whoever sends it. Raises as `start_upload`."""
    filename, media_type, size = announced.filename, announced.media_type, announced.size
    if media_type not in MEDIA_TYPES:
        raise Refused(ErrorCode.MEDIA_TYPE, path=["input", "mediaType"], media_type=media_type[:60])
    if not 0 < size <= MAX_DOCUMENT_BYTES:
        raise Refused(ErrorCode.TOO_LARGE, path=["input", "size"], limit=f"{MAX_DOCUMENT_BYTES} bytes")
    name = " ".join(filename.replace("/", " ").replace("\\", " ").split())
    if not name or len(name) > 200 or not name.isprintable():
        raise Refused(
            ErrorCode.VALIDATION, path=["input", "filename"], reason="a name of 1 to 200 characters"
        )
    await _make_room(work, person_id)
    document = Document(
        person_id=person_id,
        kind=announced.kind,
        filename=name,
        media_type=media_type,
        size=size,
        created_at=work.now,
    )
    work.session.add(document)
    await work.session.flush()
    return Upload(document, work.vault.link("upload", document.id, work.now + UPLOAD_LIFE))


async def _make_room(work: Work, person_id: UUID) -> None:
    """Forget the citizen's old files that became part of nothing, and bound the others."""
    await work.session.get(Person, person_id, with_for_update={"key_share": True})
    unsubmitted = (col(Document.person_id) == person_id, col(Document.case_id).is_(None))
    awaited = col(Document.stored_at).is_(None)
    await work.session.execute(
        delete(Document).where(
            *unsubmitted,
            col(Document.application_id).is_(None),
            (col(Document.created_at) < work.now - LOOSE_LIFE)
            | (awaited & (col(Document.created_at) < work.now - UPLOAD_LIFE)),
        )
    )
    size = sql_case((awaited, MAX_DOCUMENT_BYTES), else_=col(Document.size))
    found = await work.session.execute(
        select(func.count(), func.coalesce(func.sum(size), 0)).where(*unsubmitted)
    )
    number, total = found.one()
    if number >= MAX_UNSUBMITTED_DOCUMENTS or total + MAX_DOCUMENT_BYTES > MAX_UNSUBMITTED_BYTES:
        limit = f"{MAX_UNSUBMITTED_DOCUMENTS} documents, {MAX_UNSUBMITTED_BYTES} bytes"
        raise Refused(ErrorCode.TOO_LARGE, path=["input", "size"], limit=limit)


async def store_upload(work: Work, token: str, content: bytes, sha256: str) -> Document:
    """The content of an announced file, once.

    Raises:
        Refused: NOT_FOUND for a false, expired or used token; TOO_LARGE; MEDIA_TYPE when the content is
            not what was announced.
    """
    document_id = work.vault.read_link("upload", token, work.now)
    document = (
        await work.session.get(Document, document_id, with_for_update={"key_share": True})
        if document_id
        else None
    )
    if document is None or document.stored_at is not None:
        raise Refused(ErrorCode.NOT_FOUND)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise Refused(ErrorCode.TOO_LARGE, limit=f"{MAX_DOCUMENT_BYTES} bytes")
    if not content.startswith(MEDIA_TYPES[document.media_type]):
        raise Refused(ErrorCode.MEDIA_TYPE, media_type=f"not {document.media_type}")
    document.size, document.sha256, document.stored_at = len(content), sha256, work.now
    work.session.add(DocumentContent(document_id=document.id, content=content))
    return document


async def attach(work: Work, application: Application, document_id: UUID) -> Document:
    """Make an uploaded file part of the application.

    Raises:
        Refused: NOT_FOUND for somebody else's file, one without content, or one used elsewhere.
    """
    document = await work.session.get(Document, document_id, with_for_update={"key_share": True})
    if document is None or document.person_id != application.person_id or document.stored_at is None:
        raise Refused(ErrorCode.NOT_FOUND, path=["input", "documentId"])
    if document.application_id == application.id:
        return document
    # what a citizen sent from home is not there for a counter to take
    if document.application_id is not None or document.case_id is not None or work.actor.is_staff:
        raise Refused(ErrorCode.NOT_FOUND, path=["input", "documentId"])
    await check_number(work, application)
    check_kind(work.definition(application), document.kind, ["documentId"])
    document.application_id = application.id
    applications.touch(work, application)
    return document


async def remove_document(work: Work, application: Application, document_id: UUID) -> None:
    document = await work.session.get(Document, document_id, with_for_update={"key_share": True})
    if document is None or document.application_id != application.id:
        raise Refused(ErrorCode.NOT_FOUND, path=["input", "documentId"])
    await work.session.execute(delete(DocumentContent).where(col(DocumentContent.document_id) == document.id))
    await work.session.delete(document)
    applications.touch(work, application)

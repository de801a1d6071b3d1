"""Papers that are kept: what was sent, put before a body or handed over, with the hash of its content."""

import hashlib
from uuid import UUID

from loket.records import Document, DocumentContent
from loket.work import Work


async def keep(
    work: Work,
    kind: str,
    filename: str,
    content: bytes,
    *,
    case_id: UUID | None = None,
    person_id: UUID | None = None,
    media_type: str = "application/pdf",
) -> Document:
    """Keep a paper; without `person_id` it is for staff alone."""
    document = Document(
        person_id=person_id,
        case_id=case_id,
        kind=kind,
        filename=filename,
        media_type=media_type,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        created_at=work.now,
        stored_at=work.now,
    )
    work.session.add(document)
    await work.session.flush()
    work.session.add(DocumentContent(document_id=document.id, content=content))
    await work.session.flush()
    return document

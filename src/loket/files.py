"""Files in and out: what a citizen uploads, and papers behind short-lived addresses.

An address is itself the permission, made for somebody who may see the file; it says nothing and soon ends.
"""

import hashlib
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket import documents, uploads
from loket.app import Loket
from loket.errors import ErrorCode, Refused, Unavailable
from loket.identity import language_of
from loket.records import Document, DocumentContent, Invoice
from loket.systems.scanner import Scanner, scanner
from loket.work import the_system

_STATUS = {ErrorCode.TOO_LARGE: 413, ErrorCode.MEDIA_TYPE: 415, ErrorCode.SYSTEM_UNAVAILABLE: 503}


def routes(loket: Loket) -> list[Route]:
    """Raises `SettingsError` for a scanner that is none."""
    looking = scanner(loket.settings.scanner)

    async def store(request: Request) -> Response:
        return await _store(loket, looking, request)

    async def give(request: Request) -> Response:
        return await _give(loket, request)

    return [
        Route("/uploads/{token}", _refusing(store), methods=["PUT"]),
        Route("/files/{token}", _refusing(give), methods=["GET"]),
    ]


async def _store(loket: Loket, looking: Scanner, request: Request) -> Response:
    """`PUT /uploads/{token}`: the content of a file that `documentUploadStart` announced, once."""
    token = request.path_params["token"]
    if loket.vault.read_link("upload", token, datetime.now(UTC)) is None:
        raise Refused(ErrorCode.NOT_FOUND)
    content, sha256 = await _content(request)
    try:
        malware = await looking.find(content)
    except Unavailable as fault:
        raise Refused(ErrorCode.SYSTEM_UNAVAILABLE, system="De virusscanner") from fault
    if malware is not None:
        raise Refused(ErrorCode.VALIDATION, reason="dit bestand bevat malware")
    async with loket.work(the_system("Upload")) as work:
        document = await uploads.store_upload(work, token, content, sha256)
    return JSONResponse({"size": document.size, "mediaType": document.media_type, "sha256": sha256}, 201)


async def _content(request: Request) -> tuple[bytes, str]:
    """The body and its SHA-256. Raises `Refused` TOO_LARGE as soon as it is clear."""
    limit = Refused(ErrorCode.TOO_LARGE, limit=f"{uploads.MAX_DOCUMENT_BYTES} bytes")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > uploads.MAX_DOCUMENT_BYTES:
        raise limit
    content, digest = bytearray(), hashlib.sha256()
    async for part in request.stream():
        content += part
        digest.update(part)
        if len(content) > uploads.MAX_DOCUMENT_BYTES:
            raise limit
    return bytes(content), digest.hexdigest()


async def _give(loket: Loket, request: Request) -> Response:
    """`GET /files/{token}`: a document, or an invoice whose paper is made when nobody asked for it before."""
    token, now = request.path_params["token"], datetime.now(UTC)
    document_id = loket.vault.read_link("document", token, now)
    invoice_id = loket.vault.read_link("invoice", token, now)
    if document_id is not None:
        document, content = await _document(loket, document_id)
        return _attachment(document.filename, document.media_type, content)
    if invoice_id is not None:
        async with loket.database.transaction() as session:
            if await session.get(Invoice, invoice_id) is None:
                raise Refused(ErrorCode.NOT_FOUND)
        invoice, content = await documents.invoice_content(loket, invoice_id)
        return _attachment(f"factuur-{invoice.number}.pdf", "application/pdf", content)
    raise Refused(ErrorCode.NOT_FOUND)


async def _document(loket: Loket, document_id: UUID) -> tuple[Document, bytes]:
    async with loket.database.transaction() as session:
        found = await session.execute(
            select(Document, col(DocumentContent.content))
            .join(DocumentContent, col(DocumentContent.document_id) == col(Document.id))
            .where(col(Document.id) == document_id)
        )
        row = found.one_or_none()
    if row is None:
        raise Refused(ErrorCode.NOT_FOUND)
    return row[0], row[1]


def _attachment(filename: str, media_type: str, content: bytes) -> Response:
    """Saved, never shown: what a citizen uploads must not run on our origin."""
    plain = "".join(
        one if one.isascii() and one.isprintable() and one not in '"\\%' else "_" for one in filename
    )
    encoded = quote(filename, safe="")
    return Response(
        content,
        media_type=media_type,
        headers={
            "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "private, no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


def _refusing(
    answer: Callable[[Request], Coroutine[Any, Any, Response]],
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await answer(request)
        except Refused as refusal:
            status = _STATUS.get(refusal.code, 404 if refusal.code is ErrorCode.NOT_FOUND else 422)
            told = {"code": refusal.code, "message": refusal.message(language_of(request.headers))}
            return JSONResponse(told, status, {"Cache-Control": "no-store"})

    return endpoint

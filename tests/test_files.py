"""Files in and out, over the addresses that a citizen gets."""

import asyncio
import hashlib
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import httpx2
import pytest

from loket import identity, uploads
from loket.errors import Unavailable
from loket.lifecycle import Stage, Status
from loket.numbers import structured_reference
from loket.records import Application, Case, Document, DocumentContent, Invoice
from loket.settings import SettingsError
from loket.systems.scanner import Clamd, NoScanner, scanner
from loket.work import Actor
from served import Served, served

PDF = b"%PDF-1.7\n" + b"x" * 1000
EICAR = b"%PDF-1.7 EICAR-STANDARD-ANTIVIRUS-TEST-FILE"
MB = 1024 * 1024


class ClamdDouble:
    """Speaks INSTREAM as clamd(8) has it, and calls what says EICAR malware."""

    def __init__(self) -> None:
        self.port = 0
        self.answer: bytes | None = None
        """Said instead of the verdict."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readuntil(b"\0") == b"zINSTREAM\0"
        content = b""
        while length := struct.unpack("!L", await reader.readexactly(4))[0]:
            content += await reader.readexactly(length)
        verdict = b"Eicar-Test-Signature FOUND" if b"EICAR" in content else b"OK"
        writer.write(self.answer if self.answer is not None else b"stream: " + verdict + b"\0")
        await writer.drain()
        writer.close()


@asynccontextmanager
async def clamd_running() -> AsyncIterator[ClamdDouble]:
    double = ClamdDouble()
    server = await asyncio.start_server(double.serve, "127.0.0.1", 0)
    double.port = server.sockets[0].getsockname()[1]
    async with server:
        yield double


@pytest.fixture(scope="module")
async def clamd() -> AsyncIterator[ClamdDouble]:
    async with clamd_running() as double:
        yield double


@pytest.fixture(scope="module")
async def world(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory, clamd: ClamdDouble
) -> AsyncIterator[Served]:
    scanning = f"clamd://127.0.0.1:{clamd.port}"
    async with served(module_database_url, tmp_path_factory.mktemp("loket"), scanner=scanning) as found:
        yield found


async def an(world: Served) -> Actor:
    found = await identity.actor_of(world.loket, {"authorization": f"Bearer {await world.token_of('an')}"})
    assert found is not None
    return found.actor


async def announced(
    world: Served, *, media_type: str = "application/pdf", name: str = "plan.pdf"
) -> tuple[Document, str]:
    """A file of An's that is awaited, with where it goes."""
    async with world.loket.work(await an(world)) as work:
        upload = await uploads.start_upload(work, uploads.Announced(name, media_type, len(PDF)))
    return upload.document, f"/uploads/{upload.token}"


async def stored(world: Served, name: str = "plan.pdf") -> Document:
    document, path = await announced(world, name=name)
    assert (await world.client.put(path, content=PDF)).status_code == 201
    return document


def link(world: Served, purpose: str, id: UUID, *, minutes: int = 10) -> str:
    return f"/files/{world.loket.vault.link(purpose, id, datetime.now(UTC) + timedelta(minutes=minutes))}"


async def content_of(world: Served, document: Document) -> bytes | None:
    async with world.loket.database.transaction() as session:
        kept = await session.get(DocumentContent, document.id)
        return None if kept is None else kept.content


# ── in ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_announced_file_is_kept_as_it_came(world: Served) -> None:
    document, path = await announced(world)
    answer = await world.client.put(path, content=PDF)
    digest = hashlib.sha256(PDF).hexdigest()
    assert answer.status_code == 201
    assert answer.json() == {"size": len(PDF), "mediaType": "application/pdf", "sha256": digest}
    assert await content_of(world, document) == PDF


async def test_an_address_takes_one_file_only(world: Served) -> None:
    document, path = await announced(world)
    assert (await world.client.put(path, content=PDF)).status_code == 201
    assert (await world.client.put(path, content=b"%PDF-another")).status_code == 404
    assert await content_of(world, document) == PDF


async def test_ten_uploads_to_one_address_at_once_keep_one(world: Served) -> None:
    _, path = await announced(world)
    answers = await asyncio.gather(*(world.client.put(path, content=PDF) for _ in range(10)))
    assert sorted(one.status_code for one in answers) == [201] + [404] * 9


async def test_a_false_expired_or_other_address_takes_nothing(world: Served) -> None:
    document, path = await announced(world)
    now = datetime.now(UTC)
    for token in (
        path.removeprefix("/uploads/")[:-2] + "AA",
        "verzonnen",
        world.loket.vault.link("upload", document.id, now - timedelta(seconds=1)),
        world.loket.vault.link("document", document.id, now + timedelta(minutes=5)),
        world.loket.vault.link("upload", uuid4(), now + timedelta(minutes=5)),
    ):
        assert (await world.client.put(f"/uploads/{token}", content=PDF)).status_code == 404
    assert await content_of(world, document) is None


@pytest.mark.parametrize("content", [b"", b"MZ\x90\0", b"<html>", b"\x89PNG\r\n\x1a\n", b" %PDF-1.7"])
async def test_content_that_is_not_what_was_announced_is_refused(world: Served, content: bytes) -> None:
    document, path = await announced(world)
    answer = await world.client.put(path, content=content, headers={"content-type": "application/pdf"})
    assert (answer.status_code, answer.json()["code"]) == (415, "MEDIA_TYPE")
    assert await content_of(world, document) is None


async def test_more_than_ten_megabytes_are_refused_announced_or_not(world: Served) -> None:
    document, path = await announced(world)

    async def endless() -> AsyncIterator[bytes]:
        yield PDF
        for _ in range(11):
            yield b"x" * MB

    for content in (PDF + b"x" * 10 * MB, endless()):
        answer = await _put(world, path, content)
        assert answer in (413, None)
    assert await content_of(world, document) is None
    assert (await world.client.put(path, content=PDF.ljust(10 * MB, b"x"))).status_code == 201


async def _put(world: Served, path: str, content: bytes | AsyncIterator[bytes]) -> int | None:
    """None when the server hung up while the client was still sending."""
    try:
        return (await world.client.put(path, content=content)).status_code
    except httpx2.TransportError:
        return None


async def test_malware_is_not_kept(world: Served) -> None:
    document, path = await announced(world)
    answer = await world.client.put(path, content=EICAR)
    assert answer.status_code == 422
    assert "malware" in answer.json()["message"]
    assert await content_of(world, document) is None


async def test_what_could_not_be_scanned_is_not_taken_for_clean(world: Served, clamd: ClamdDouble) -> None:
    document, path = await announced(world)
    for said in (b"", b"INSTREAM size limit exceeded. ERROR\0"):
        clamd.answer = said
        try:
            answer = await world.client.put(path, content=PDF)
        finally:
            clamd.answer = None
        assert (answer.status_code, answer.json()["code"]) == (503, "SYSTEM_UNAVAILABLE")
    assert await content_of(world, document) is None
    assert (await world.client.put(path, content=PDF)).status_code == 201


async def test_a_scanner_that_is_away_says_so() -> None:
    async with clamd_running() as double:
        port = double.port
    with pytest.raises(Unavailable):
        await Clamd("127.0.0.1", port).find(PDF)


def test_a_scanner_is_named_by_its_address() -> None:
    assert isinstance(scanner(""), NoScanner)
    assert isinstance(scanner("clamd://clamav:3310"), Clamd)
    for wrong in ("clamav:3310", "http://clamav", "clamd://"):
        with pytest.raises(SettingsError, match="LOKET_SCANNER"):
            scanner(wrong)


# ── out ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_file_is_saved_and_never_shown(world: Served) -> None:
    document = await stored(world, 'Geboorteakte "Zoë" 50%.pdf')
    answer = await world.client.get(link(world, "document", document.id))
    assert (answer.status_code, answer.content) == (200, PDF)
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, no-store"
    assert "sandbox" in answer.headers["content-security-policy"]
    named = answer.headers["content-disposition"]
    assert named.startswith('attachment; filename="Geboorteakte _Zo__ 50_.pdf"; ')
    assert named.endswith("filename*=UTF-8''Geboorteakte%20%22Zo%C3%AB%22%2050%25.pdf")


async def test_a_false_or_expired_address_gives_nothing(world: Served) -> None:
    document = await stored(world)
    empty, _ = await announced(world)
    for path in (
        link(world, "document", document.id, minutes=-1),
        link(world, "upload", document.id),
        link(world, "document", empty.id),
        link(world, "document", uuid4()),
        link(world, "invoice", uuid4()),
        link(world, "document", document.id)[:-3] + "AAA",
        "/files/verzonnen",
        "/files/%00",
    ):
        answer = await world.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


async def test_the_paper_of_an_invoice_is_made_when_it_is_first_asked_for(world: Served) -> None:
    invoice = await _invoiced(world)
    first = await world.client.get(link(world, "invoice", invoice.id))
    assert first.status_code == 200, first.text
    assert first.content.startswith(b"%PDF-")
    assert f'filename="factuur-{invoice.number}.pdf"' in first.headers["content-disposition"]
    async with world.loket.database.transaction() as session:
        kept = await session.get_one(Invoice, invoice.id)
    assert kept.document_id is not None
    assert (await world.client.get(link(world, "document", kept.document_id))).content == first.content


async def _invoiced(world: Served) -> Invoice:
    actor, now = await an(world), datetime.now(UTC)
    assert actor.id is not None
    async with world.loket.database.transaction() as session:
        application = Application(
            procedure_key="compost-bin",
            procedure_version=1,
            person_id=actor.id,
            started_at=now,
            updated_at=now,
            expires_at=now,
        )
        session.add(application)
        await session.flush()
        case = Case(
            reference="CB-2026-FACTUR-X",
            procedure_key="compost-bin",
            procedure_version=1,
            person_id=actor.id,
            application_id=application.id,
            stage=Stage.PAYMENT,
            status=Status.AWAITING_PAYMENT,
            submitted_at=now,
            due_on=date(2026, 4, 1),
            updated_at=now,
        )
        session.add(case)
        await session.flush()
        line = {
            "kind": "PRODUCT",
            "product": "bak",
            "option": None,
            "description": "Compostbak",
            "quantity": 1,
            "unit_amount": "40.00",
            "amount": "40.00",
            "budget_key": {"account": "7010000", "policy_item": "0309"},
            "vat_rate": "0",
            "vat_note": None,
        }
        invoice = Invoice(
            case_id=case.id,
            person_id=actor.id,
            journal="VF",
            year=2026,
            sequence=1,
            number="VF-2026-000001",
            reference=structured_reference(26_0000_0001),
            amount=Decimal("40.00"),
            lines=[line],
            issued_on=date(2026, 3, 2),
            due_on=date(2026, 4, 1),
        )
        session.add(invoice)
    return invoice

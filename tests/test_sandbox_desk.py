"""The desk, for who plays along: the college, an external adviser, the bank, the post office."""

import csv
import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date

import httpx2
import pytest
from pypdf import PdfWriter

from loket import paper
from loket.sandbox.house import House, sandbox
from loket.sandbox.personas import Citizen, person
from loket.sandbox.post import registered_number

JULIE, DIRK = "burger-2", "burger-4"


@dataclass
class Desk:
    house: House
    client: httpx2.AsyncClient

    @property
    def url(self) -> str:
        return self.house.config.urls["desk"]

    async def page(self, path: str) -> str:
        answer = await self.client.get(f"{self.url}{path}")
        assert answer.status_code == 200
        return str(answer.text)

    async def brings(self, batch: bytes) -> httpx2.Response:
        return await self.client.post(f"{self.url}/post", content=batch)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with (
        sandbox({"port": 0, "loket_url": "http://127.0.0.1:1"}) as house,
        httpx2.AsyncClient(trust_env=False) as client,
    ):
        yield Desk(house, client)


def _citizen(key: str) -> Citizen:
    found = person(key)
    assert isinstance(found, Citizen)
    return found


def _letter(to: Citizen, service: paper.Service, reference: str = "SP-2026-AAAAAA-1") -> paper.PrintLetter:
    pages = PdfWriter()
    pages.add_blank_page(595, 842)
    pages.add_metadata({"/Title": to.name})
    content = io.BytesIO()
    pages.write(content)
    lines = (f"{to.street} {to.number}", f"{to.postal_code} {to.city}")
    return paper.PrintLetter(reference, paper.Addressee(to.name, lines), content.getvalue(), service)


def _batch() -> bytes:
    return paper.batch(
        [
            _letter(_citizen(JULIE), paper.Service.REGISTERED),
            _letter(_citizen(DIRK), paper.Service.NORMAL, "SP-2026-BBBBBB-2"),
        ]
    )


# ── the post office ───────────────────────────────────────────────────────────────────────────────────


async def test_a_batch_is_posted_and_its_proof_is_one_that_loket_takes(desk: Desk) -> None:
    taken = (await desk.brings(_batch())).json()
    answer = await desk.client.get(f"{desk.url}/post/{taken['id']}/proof.csv")
    assert answer.text == taken["proof"]
    today = paper.proof(taken["proof"].encode(), today=_posted(taken["proof"]))
    assert [(one.sequence, one.reference) for one in today] == [(1, "SP-2026-AAAAAA-1")]
    assert today[0].registered_number.startswith("RR")


def _posted(proof: str) -> date:
    (row,) = csv.DictReader(io.StringIO(proof), delimiter=";")
    return date.fromisoformat(row["posted_on"])


async def test_a_letter_lies_in_the_box_of_whom_it_is_for_and_of_nobody_else(desk: Desk) -> None:
    await desk.brings(_batch())
    julie, dirk, other = [await desk.page(f"/burger/{key}") for key in (JULIE, DIRK, "burger-6")]
    assert "aangetekend" in julie
    assert "SP-2026-BBBBBB-2" in dirk
    assert "aangetekend" not in dirk
    assert "De brievenbus is leeg." in other
    letters = (await desk.client.get(f"{desk.url}/post/letters")).json()
    paper_of = await desk.client.get(f"{desk.url}/post/letters/{letters[0]['id']}.pdf")
    assert hashlib.sha256(paper_of.content).hexdigest() == letters[0]["sha256"]


async def test_a_batch_that_is_brought_twice_is_delivered_once(desk: Desk) -> None:
    first, again = [(await desk.brings(_batch())).json() for _ in range(2)]
    assert first == again
    assert len((await desk.client.get(f"{desk.url}/post/letters")).json()) == 2


async def test_what_is_no_batch_or_was_changed_on_the_way_is_not_taken(desk: Desk) -> None:
    assert (await desk.brings(b"no zip")).status_code == 400
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_batch())) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content + b"\n" if name.startswith("letters/0001") else content)
    answer = await desk.brings(changed.getvalue())
    assert answer.status_code == 400
    assert answer.json()["title"] == "letter 1 is not the one of the list"
    assert (await desk.client.get(f"{desk.url}/post/letters")).json() == []


async def test_a_form_brings_it_too_and_leads_back(desk: Desk) -> None:
    headers = {"Referer": f"{desk.url}/meespelen"}
    answer = await desk.client.post(
        f"{desk.url}/post", files={"batch": ("brieven.zip", _batch(), "application/zip")}, headers=headers
    )
    assert answer.status_code == 303
    page = await desk.page("/meespelen")
    assert "bewijs van afgifte" in page
    assert _citizen(JULIE).name in page


@pytest.mark.parametrize(("number", "said"), [(1, "RR000000014BE"), (12345678, "RR123456785BE")])
def test_registered_numbers_are_those_of_the_postal_union(number: int, said: str) -> None:
    assert registered_number(number) == said


# ── the others ────────────────────────────────────────────────────────────────────────────────────────


async def test_the_page_says_what_to_do_where_nothing_waits(desk: Desk) -> None:
    page = await desk.page("/meespelen")
    for said in ("decisionSendToMinutes", "adviceRequest", "Niets om uit te betalen.", "letterBatchMake"):
        assert said in page


async def test_a_button_of_a_system_leads_back_to_where_one_stood(desk: Desk) -> None:
    accounting = desk.house.config.urls["accounting"]
    pressed = {"on": "true", "outcome": "execute", "by": "json"}
    stood = f"{desk.url}/meespelen"
    answer = await desk.client.post(f"{accounting}/sim/auto", data=pressed, headers={"Referer": stood})
    assert answer.headers["location"] == stood
    away = {"Referer": "http://elsewhere.example/meespelen"}
    answer = await desk.client.post(f"{accounting}/sim/auto", data=pressed, headers=away)
    assert answer.headers["location"] == f"{desk.url}/systeem/accounting"


async def test_a_link_is_answered_by_loket_and_by_nobody_else(desk: Desk) -> None:
    page = await desk.page("/advies?token=anything")
    assert "Deze link dient niet (meer)" in page
    assert "Loket antwoordt niet" in page

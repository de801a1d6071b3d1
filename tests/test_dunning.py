"""Having an invoice paid: what a reminder costs and says, the letter before a warrant, and where it ends."""

import re
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from io import BytesIO
from itertools import count
from uuid import uuid4

import pytest
from pypdf import PdfReader

from loket.ids import decode_id
from loket.sandbox import personas
from loket.terms import BRUSSELS
from town import DRIVER, FINANCE, Dossier, Json, Town, copied, nothing_stays_open, opened, until

SECRETARIAT = "sandra"
AFTERWARDS = "paid-after"
"""The shipped blueprint with the payment at its end: who does not pay has the goods."""
_numbers = count(1)
MONEY = """invoice { id version status epcText amount { amount } costs { amount } credited { amount }
    writtenOff { amount } paid { amount } outstanding { amount }
    dunning { kind number takenOn reason cost { amount } takenBy { name } document { filename url }
              letter { way status registeredNumber sentAt document { url } } } }
    status tasks { kind status data }"""


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    copies = tmp_path_factory.mktemp("procedures")
    copied(copies, AFTERWARDS, "screening, decision, planning, delivery, payment")
    folder = tmp_path_factory.mktemp("town")
    async with opened(module_database_url, folder, procedures=str(copies)) as found:
        yield found


# ── reminders ─────────────────────────────────────────────────────────────────────────────────────────


async def test_the_first_reminder_is_free_and_the_second_says_what_it_adds(town: Town) -> None:
    dossier = await town.applies()
    before = (await _money(dossier))["version"]
    await dossier.fires("PAYMENT_REMINDER")
    invoice = await _money(dossier)
    assert (invoice["costs"]["amount"], invoice["outstanding"]["amount"]) == ("0.00", "28.00")
    await dossier.fires("PAYMENT_REMINDER")
    invoice = await _money(dossier)
    assert (invoice["costs"]["amount"], invoice["outstanding"]["amount"]) == ("5.00", "33.00")
    assert invoice["version"] > before
    assert [(one["kind"], one["number"], one["cost"]["amount"]) for one in invoice["dunning"]] == [
        ("REMINDER", 1, "0.00"), ("REMINDER", 2, "5.00"),
    ]  # fmt: skip
    assert "EUR33.00" in invoice["epcText"].splitlines()
    free, charged = [one for one in await dossier.letters() if "Herinnering" in one["subject"]]
    assert "Kosten" not in _plain(free)
    assert "Bedrag dat openstond: € 28,00" in _plain(charged)
    assert "Kosten van deze herinnering: € 5,00" in _plain(charged)
    assert "Nog te betalen: € 33,00" in _plain(charged)
    assert await dossier.entries() == [("INVOICE", "28.00"), ("COSTS", "5.00")]
    page = await dossier.goes_to_pay()
    (checkout,) = [one for one in await town.look("worldline", "checkouts") if one["id"] == page]
    assert checkout["amount"] == 3300


async def test_a_reminder_says_until_when_and_one_that_is_late_moves_what_follows(town: Town) -> None:
    dossier = await town.applies()
    await dossier.calm()  # accounting has the invoice
    await _issued_ago(town, dossier, days=42)  # twelve days after the due date, seven more than it should be
    await dossier.fires("PAYMENT_REMINDER")
    due_on = await _due_on(dossier)
    days = {kind: (on - due_on).days for kind, on in (await _armed(town, dossier)).items()}
    assert {one: days[one] for one in ("PAYMENT_REMINDER", "DEFAULT_NOTICE", "PAYMENT_END")} == {
        "PAYMENT_REMINDER": 27, "DEFAULT_NOTICE": 42, "PAYMENT_END": 73,
    }  # fmt: skip
    (letter,) = [one for one in await dossier.letters() if "Herinnering" in one["subject"]]
    pay_by = due_on + timedelta(days=26)
    assert f"{pay_by.day} " in _plain(letter).partition("Betaal ten laatste op ")[2][:20]


async def test_money_stops_the_reminders_and_a_letter_that_was_to_come(town: Town) -> None:
    dossier = await town.applies()
    assert {"PAYMENT_REMINDER", "DEFAULT_NOTICE", "PAYMENT_END"} <= await dossier.timers()
    await dossier.fires("PAYMENT_REMINDER")
    await dossier.fires("PAYMENT_REMINDER")
    await _registers(town, dossier, "33.00")
    case = await dossier.until("AWAITING_SLOT")
    assert case["invoice"]["status"] == "PAID"
    assert not {"PAYMENT_REMINDER", "DEFAULT_NOTICE", "PAYMENT_END"} & await dossier.timers()


# ── costs alone ───────────────────────────────────────────────────────────────────────────────────────


async def test_who_pays_the_invoice_and_not_its_costs_owes_these_alone_and_they_are_given_up(
    town: Town,
) -> None:
    dossier = await town.applies()
    for _ in range(2):
        await dossier.fires("PAYMENT_REMINDER")
    await dossier.transfers("28.00")
    await until(lambda: _owes(dossier, "5.00"))
    invoice = await _money(dossier)
    assert invoice["status"] == "PARTLY_PAID"
    (letter,) = [one for one in await dossier.letters() if "een betaling ontvangen" in one["subject"]]
    assert "nog € 5,00 te betalen" in _plain(letter)
    await dossier.fires("DEFAULT_NOTICE")
    invoice = await _money(dossier)
    assert (invoice["costs"]["amount"], len(invoice["dunning"])) == ("5.00", 2), "no letter for costs alone"
    await dossier.fires("PAYMENT_END")
    await dossier.until("AWAITING_SLOT")
    invoice = await _money(dossier)
    assert (invoice["status"], invoice["writtenOff"]["amount"]) == ("WRITTEN_OFF", "5.00")
    assert await dossier.entries() == [("INVOICE", "28.00"), ("COSTS", "5.00"), ("WRITE_OFF", "5.00")]
    assert not [one for one in await dossier.letters() if "financieel directeur" in one["text"]]


# ── the notice of default ─────────────────────────────────────────────────────────────────────────────


async def test_a_notice_of_default_goes_by_registered_letter_with_its_cost_and_its_proof(town: Town) -> None:
    dossier = await town.applies(await _with_ebox(town, active=False))
    await dossier.fires("DEFAULT_NOTICE")
    await until(lambda: _notice_is(dossier, "QUEUED", "REGISTERED"))
    (notice,) = (await _money(dossier))["dunning"]
    assert (notice["kind"], notice["cost"]["amount"]) == ("DEFAULT_NOTICE", "15.00")
    said = await _read(town, notice["letter"]["document"]["url"])
    for wanted in ("Ingebrekestelling", "artikel 177, 2°", "43,00", "28,00", "15,00", "BE"):
        assert wanted in said, wanted
    assert "DEFAULT_NOTICE" not in await dossier.timers()
    told = [one for one in await dossier.letters() if "Ingebrekestelling" in one["subject"]]
    assert len(told) == 1
    assert "Nog te betalen: € 43,00" in _plain(told[0])
    assert "LETTER_SENT" not in await dossier.events()
    number = await _posted(town, dossier)
    assert (await dossier.events())[-1] == "LETTER_SENT"
    (notice,) = (await _money(dossier))["dunning"]
    assert (notice["letter"]["status"], notice["letter"]["registeredNumber"]) == ("SENT", number)
    await _registers(town, dossier, "43.00")
    assert (await dossier.until("AWAITING_SLOT"))["invoice"]["status"] == "PAID"
    assert await dossier.entries() == [("INVOICE", "28.00"), ("COSTS", "15.00"), ("PAYMENT", "43.00")]


async def test_who_has_an_ebox_gets_the_notice_there(town: Town) -> None:
    who = await _with_ebox(town, active=True)
    citizen = personas.person(who)
    assert isinstance(citizen, personas.Citizen)
    dossier = await town.applies(who)
    await dossier.fires("DEFAULT_NOTICE")
    await until(lambda: _notice_is(dossier, "SENT", "EBOX"))
    (message,) = (await town.look("ebox", f"ebox/{citizen.insz}"))["messages"]
    assert message["filename"] == f"ingebrekestelling-{dossier.reference}.pdf"


# ── the end ───────────────────────────────────────────────────────────────────────────────────────────


async def test_who_has_the_goods_is_handed_over_once_the_letter_left_with_all_that_a_warrant_names(
    town: Town,
) -> None:
    dossier = await _delivered_and_unpaid(town)
    for timer in ("PAYMENT_REMINDER", "PAYMENT_REMINDER", "DEFAULT_NOTICE"):
        await dossier.fires(timer)
    await until(lambda: _notice_is(dossier, "QUEUED", "REGISTERED"))
    await dossier.fires("PAYMENT_END")
    assert (await dossier.read())["status"] == "AWAITING_PAYMENT", (
        "without proof of sending there is no warrant"
    )
    assert (await dossier.tasks(), "PAYMENT_END" in await dossier.timers()) == (["NOTIFY_LATE"], True)
    number = await _posted(town, dossier)
    assert await dossier.tasks() == []
    await dossier.fires("PAYMENT_END")
    case = await dossier.until("COMPLETED")
    assert case["invoice"]["status"] == "HANDED_OVER"
    await until(lambda: _has_paper(dossier))
    handed = (await _money(dossier))["dunning"][-1]
    assert handed["kind"] == "HANDED_OVER"
    said = await _read(town, handed["document"]["url"])
    citizen = personas.person(dossier.who)
    assert isinstance(citizen, personas.Citizen)
    for wanted in (
        f"{citizen.given_name} {citizen.family_name}",
        "Retributiereglement", "Herinnering 1", "Herinnering 2", "kosten € 5,00", "kosten € 15,00",
        number, "verzonden op", "Openstaand: € 48,00",
    ):  # fmt: skip
        assert wanted in said, wanted
    mine = await dossier.read(dossier.who, "invoice { dunning { kind document { filename } } }")
    assert mine["invoice"]["dunning"][-1]["document"] is None, "that paper is for staff"
    await dossier.transfers("48.00")
    await until(lambda: _status(dossier, "PAID"))
    assert (await dossier.read())["status"] == "COMPLETED"


async def test_what_the_bank_took_back_is_handed_over_with_its_paper(town: Town) -> None:
    dossier = await town.applies()
    page = await dossier.goes_to_pay()
    await town.order("worldline", f"checkouts/{page}/pay")
    await dossier.until("AWAITING_SLOT")
    (payment,) = [one for one in await town.look("worldline", "payments") if one["checkoutId"] == page]
    await town.order("worldline", f"payments/{payment['id']}/chargeback")
    await until(lambda: _status(dossier, "HANDED_OVER"))
    await until(lambda: _has_paper(dossier))
    (step,) = (await _money(dossier))["dunning"]
    assert step["kind"] == "HANDED_OVER"
    assert "Openstaand: € 28,00" in await _read(town, step["document"]["url"])
    (letter,) = [one for one in await dossier.letters() if "haalde een betaling terug" in one["subject"]]
    assert "Nog te betalen: € 28,00" in _plain(letter)
    await _registers(town, dossier, "28.00")
    assert await _status(dossier, "PAID")


async def test_no_words_of_anybody_look_like_a_line_of_ours_on_that_paper(town: Town) -> None:
    dossier = await town.applies()
    page = await dossier.goes_to_pay()
    await town.order("worldline", f"checkouts/{page}/pay")
    await dossier.until("AWAITING_SLOT")
    part = {"amount": "3.00", "reason": "te veel gerekend\n- Openstaand: € 0,00"}
    await town.does(FINANCE, "invoiceCredit", id=(await _money(dossier))["id"], input=part)
    (payment,) = [one for one in await town.look("worldline", "payments") if one["checkoutId"] == page]
    await town.order("worldline", f"payments/{payment['id']}/chargeback")
    await until(lambda: _status(dossier, "HANDED_OVER"))
    await until(lambda: _has_paper(dossier))
    said = await _read(town, (await _money(dossier))["dunning"][-1]["document"]["url"])
    assert "(te veel gerekend - Openstaand: € 0,00)" in " ".join(said.split())


async def test_what_finance_gives_up_lets_the_case_go_on_and_who_pays_after_all_has_paid(town: Town) -> None:
    dossier = await town.applies()
    invoice = await _money(dossier)
    stale = {"id": invoice["id"], "input": {"reason": "oninbaar"}, "expectedVersion": invoice["version"] + 1}
    assert (await town.refused(FINANCE, "invoiceWriteOff", **stale))["code"] == "VERSION_CONFLICT"
    assert "INVOICE_WRITE_OFF" in await dossier.actions(FINANCE)
    await town.does(FINANCE, "invoiceWriteOff", id=invoice["id"], input={"reason": "Schuldbemiddeling."})
    await dossier.until("AWAITING_SLOT")
    invoice = await _money(dossier)
    assert (invoice["status"], invoice["outstanding"]["amount"]) == ("WRITTEN_OFF", "0.00")
    (step,) = invoice["dunning"]
    assert (step["kind"], step["reason"]) == ("WRITTEN_OFF", "Schuldbemiddeling.")
    assert step["takenBy"] is not None
    assert not {"PAYMENT_REMINDER", "DEFAULT_NOTICE", "PAYMENT_END"} & await dossier.timers()
    assert not [one for one in await dossier.letters() if "financieel directeur" in one["text"]]
    assert "INVOICE_WRITE_OFF" not in await dossier.actions(FINANCE)
    assert (await town.refused(FINANCE, "invoiceWriteOff", id=invoice["id"], input={"reason": "weer"}))[
        "code"
    ] == "TRANSITION_NOT_ALLOWED"
    await _registers(town, dossier, "28.00")
    assert (await _money(dossier))["status"] == "PAID"


async def test_what_a_cancelled_case_owed_in_costs_is_taken_back_with_its_invoice(town: Town) -> None:
    dossier = await town.applies()
    for timer in ("PAYMENT_REMINDER", "PAYMENT_REMINDER", "DEFAULT_NOTICE", "PAYMENT_END"):
        await dossier.fires(timer)
    await dossier.until("CANCELLED")
    invoice = await _money(dossier, by_sql=town)
    assert invoice == {"status": "CREDITED", "credited": "48.00", "outstanding": "0.00"}
    assert await dossier.entries() == [
        ("INVOICE", "28.00"), ("COSTS", "5.00"), ("COSTS", "15.00"), ("CREDIT_NOTE", "48.00"),
    ]  # fmt: skip


async def test_in_the_end_nothing_stays_open(town: Town) -> None:
    await nothing_stays_open(town)


# ── looking and doing ─────────────────────────────────────────────────────────────────────────────────


async def _money(dossier: Dossier, by_sql: Town | None = None) -> Json:
    if by_sql is not None:
        (row,) = await by_sql.sql(
            "SELECT status, credited, amount + costs - credited - paid - written_off AS outstanding"
            " FROM invoice WHERE case_id = :id",
            id=decode_id(dossier.id, "Case"),
        )
        return {"status": row.status, "credited": str(row.credited), "outstanding": str(row.outstanding)}
    invoice: Json = (await dossier.read(FINANCE, MONEY))["invoice"]
    return invoice


async def _owes(dossier: Dossier, amount: str) -> bool:
    return bool((await _money(dossier))["outstanding"]["amount"] == amount)


async def _status(dossier: Dossier, status: str) -> bool:
    return bool((await _money(dossier))["status"] == status)


async def _notice_is(dossier: Dossier, status: str, way: str) -> bool:
    """Whether its letter is made, stands so, and goes that way."""
    letters = [one["letter"] for one in (await _money(dossier))["dunning"] if one["letter"]]
    return any(one["document"] and (one["status"], one["way"]) == (status, way) for one in letters)


async def _has_paper(dossier: Dossier) -> bool:
    return (await _money(dossier))["dunning"][-1]["document"] is not None


async def _read(town: Town, url: str) -> str:
    answer = await town.client.get(url)
    assert answer.is_success
    pages = PdfReader(BytesIO(answer.content)).pages
    return " ".join(" ".join(page.extract_text() for page in pages).replace("\u00a0", " ").split())


async def _posted(town: Town, dossier: Dossier) -> str:
    """The day's batch goes to the post; the number of this case's registered letter."""
    fields = "batch { id letters { way case { reference } } }"
    batch = (await town.does(SECRETARIAT, "letterBatchMake", fields))["batch"]
    today = datetime.now(BRUSSELS).date()
    lines, mine = ["sequence;reference;registered_number;posted_on"], ""
    for sequence, letter in enumerate(batch["letters"], 1):
        number = f"0103{uuid4().int % 10**20:020}"
        if letter["way"] == "REGISTERED":
            lines.append(f"{sequence};{letter['case']['reference']};{number};{today}")
        if letter["case"]["reference"] == dossier.reference:
            mine = number
    await town.does(SECRETARIAT, "letterBatchProof", id=batch["id"], csv="\n".join(lines))
    return mine


async def _with_ebox(town: Town, *, active: bool) -> str:
    who = town.somebody()
    citizen = personas.person(who)
    assert isinstance(citizen, personas.Citizen)
    await town.order("ebox", f"ebox/{citizen.insz}", active=active)
    return who


async def _registers(town: Town, dossier: Dossier, amount: str) -> None:
    invoice = (await dossier.read(FINANCE, "invoice { id }"))["invoice"]
    given = {"amount": amount, "method": "TRANSFER", "reference": f"afschrift {next(_numbers)}",
             "valueDate": datetime.now(BRUSSELS).date().isoformat()}  # fmt: skip
    await town.does(FINANCE, "paymentRegister", invoiceId=invoice["id"], input=given)


async def _delivered_and_unpaid(town: Town) -> Dossier:
    dossier = await town.applies(await _with_ebox(town, active=False), procedure=AFTERWARDS)
    await dossier.until("AWAITING_SLOT")
    await dossier.books()
    case = await dossier.until("AWAITING_DELIVERY")
    await town.does(DRIVER, "deliveryConfirm", id=case["delivery"]["id"])
    await dossier.until("AWAITING_PAYMENT")
    return dossier


async def _issued_ago(town: Town, dossier: Dossier, days: int) -> None:
    await town.sql(
        "UPDATE invoice SET issued_on = issued_on - :days, due_on = due_on - :days WHERE case_id = :id",
        days=days, id=decode_id(dossier.id, "Case"),
    )  # fmt: skip


async def _due_on(dossier: Dossier) -> date:
    return date.fromisoformat((await dossier.read(fields="invoice { dueOn }"))["invoice"]["dueOn"])


async def _armed(town: Town, dossier: Dossier) -> dict[str, date]:
    rows = await town.sql(
        "SELECT kind, due_at FROM timer WHERE case_id = :id AND state = 'ARMED'",
        id=decode_id(dossier.id, "Case"),
    )
    return {row.kind: row.due_at.astimezone(BRUSSELS).date() for row in rows}


def _plain(letter: Json) -> str:
    return " ".join(re.sub(r"\s+", " ", letter["text"].replace("\u00a0", " ")).split())

"""Accounting is told of each journal entry, answers for each, and can have the journal as a file."""

import csv
import hashlib
import hmac
import io
import time
import uuid
import zipfile
from base64 import b64decode
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loket import bookkeeping, chart, credits, journal_files
from loket.ids import decode_id, encode_id
from loket.pricing import vat_in
from loket.records import LedgerAccount
from loket.settings import Ledger, Settings, SettingsError
from loket.terms import BRUSSELS
from loket.work import the_system
from served import BOOKS
from town import FINANCE, HANDLER, OPERATOR, Dossier, Json, Town, opened, until

SECOND = "farah"
TODAY = datetime.now(UTC).astimezone(BRUSSELS).date()
PERIOD = {"from": (TODAY - timedelta(days=1)).isoformat(), "to": (TODAY + timedelta(days=1)).isoformat()}


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


async def _bill(town: Town) -> Dossier:
    """A case with an invoice to pay."""
    dossier = await town.applies(cart={"bak": 1})
    await dossier.until("AWAITING_PAYMENT")
    return dossier


async def _state(dossier: Dossier, type: str) -> tuple[str, str, bool]:
    """Of the entry of a kind: its state, why it was refused, and whether it has a voucher."""
    row = await _entry(dossier, type)
    return row.state, row.reason, bool(row.voucher)


async def _entry(dossier: Dossier, type: str) -> Any:  # noqa: ANN401  # a row
    rows = await dossier.town.sql(
        "SELECT id, state, reason, voucher, effect_id FROM journalentry WHERE case_id = :id AND type = :type",
        id=decode_id(dossier.id, "Case"),
        type=type,
    )
    return rows[0]


async def _named(dossier: Dossier) -> list[str]:
    """Which entries the open task of the financial service names."""
    tasks = (await dossier.read(fields="tasks { kind status data }"))["tasks"]
    found = [one for one in tasks if (one["kind"], one["status"]) == ("ENTRY_REJECTED", "OPEN")]
    assert len(found) <= 1
    return [entry["type"] for task in found for entry in task["data"]["entries"]]


async def _names(dossier: Dossier, *types: str) -> None:
    async def so() -> bool:
        return await _named(dossier) == list(types)

    await until(so)


async def _resends(dossier: Dossier, type: str) -> None:
    entry = await _entry(dossier, type)
    await dossier.town.does(FINANCE, "journalEntryResend", id=encode_id("JournalEntry", entry.id))


async def _effect(dossier: Dossier, type: str) -> str:
    return encode_id("Effect", (await _entry(dossier, type)).effect_id)


async def _tells(town: Town, kind: str, data: Json) -> None:
    """Accounting's own notice."""
    told = {"id": str(uuid.uuid4()), "type": kind, "occurredAt": datetime.now(UTC).isoformat(), "data": data}
    body = orjson.dumps(told)
    at = str(int(time.time()))
    made = hmac.new(BOOKS["hook_secret"].encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"Loket-Timestamp": at, "Loket-Signature": f"v1={made}", "Content-Type": "application/json"}
    assert (await town.client.post("/hooks/accounting", content=body, headers=headers)).status_code == 204


# ── what accounting has ───────────────────────────────────────────────────────────────────────────────


async def test_accounting_has_the_same_balances_as_the_ledger(town: Town) -> None:
    online, over = await _bill(town), await _bill(town)
    await online.pays()
    await online.until("AWAITING_SLOT")
    owed = Decimal((await over.read())["invoice"]["outstanding"]["amount"])
    await over.transfers(str(owed + 5))
    await over.until("AWAITING_SLOT")
    await over.calm()
    (refund,) = await town.sql("SELECT id FROM refund WHERE case_id = :id", id=decode_id(over.id, "Case"))
    await town.order("accounting", f"entries/{refund.id}/execute")
    invoice = (await online.read())["invoice"]["id"]
    told = {"reason": "Rechtzetting.", "amount": "1.00"}
    await town.does(FINANCE, "invoiceCredit", id=invoice, input=told)

    async def equal() -> bool:
        return await _ledger(town) == await _at_accounting(town)

    await until(equal)
    assert await _entries(over) == [("INVOICE", "BOOKED"), ("PAYMENT", "KNOWN"), ("REFUND_DUE", "BOOKED"),
                                    ("REFUND", "KNOWN")]  # fmt: skip
    posted = [one["entry"]["postings"] for one in await town.look("accounting", "entries")]
    assert {"account": "REVENUE", "code": "7010000"}.items() <= posted[0][1].items()
    assert posted[0][1]["budgetKey"] == {"account": "7010000", "policyItem": "0309-00"}


async def _entries(dossier: Dossier) -> list[tuple[str, str]]:
    rows = await dossier.town.sql(
        "SELECT type, state FROM journalentry WHERE case_id = :id ORDER BY id",
        id=decode_id(dossier.id, "Case"),
    )
    order = ["INVOICE", "PAYMENT", "REFUND_DUE", "REFUND"]
    return sorted(((row.type, row.state) for row in rows), key=lambda one: order.index(one[0]))


async def _ledger(town: Town) -> dict[str, Decimal]:
    document = """query($from: Date!, $to: Date!) { ledger(from: $from, to: $to) {
        balances { account closing { amount } } } }"""
    found = (await town.ask(FINANCE, document, **PERIOD))["ledger"]["balances"]
    return _summed((one["account"], Decimal(one["closing"]["amount"])) for one in found)


async def _at_accounting(town: Town) -> dict[str, Decimal]:
    found = await town.look("accounting", "trial-balance")
    return _summed((one["account"], Decimal(one["debit"]) - Decimal(one["credit"])) for one in found)


def _summed(amounts: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for account, amount in amounts:
        sums[account] += amount
    return {account: amount for account, amount in sums.items() if amount}


async def test_the_task_names_each_refused_entry_and_closes_with_the_last_one(town: Town) -> None:
    await town.order("accounting", "budget", closed=["7010000"])
    dossier = await _bill(town)
    await _names(dossier, "INVOICE")
    assert (await _state(dossier, "INVOICE"))[0] == "REJECTED"
    assert "7010000 is afgesloten" in (await _state(dossier, "INVOICE"))[1]
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    assert (await _state(dossier, "PAYMENT"))[0] == "LEFT"
    await town.does(
        OPERATOR, "effectSkip", id=await _effect(dossier, "INVOICE"), input={"reason": "Met de hand."}
    )
    await _names(dossier, "INVOICE", "PAYMENT")
    await town.order("accounting", "budget", closed=[])
    await _resends(dossier, "INVOICE")
    await _names(dossier, "PAYMENT")
    assert await _state(dossier, "INVOICE") == ("BOOKED", "", True)
    await _resends(dossier, "PAYMENT")
    await _names(dossier)
    assert await _state(dossier, "PAYMENT") == ("BOOKED", "", True)
    assert "ENTRY_REJECTED" in await dossier.tasks("DONE")


async def test_an_operator_who_tries_again_has_the_entry_booked(town: Town) -> None:
    await town.order("accounting", "budget", closed=["7010000"])
    dossier = await _bill(town)
    await _names(dossier, "INVOICE")
    await town.does(OPERATOR, "effectRetry", id=await _effect(dossier, "INVOICE"))
    await _names(dossier, "INVOICE")
    await dossier.calm()
    assert (await _state(dossier, "INVOICE"))[0] == "REJECTED"
    await town.order("accounting", "budget", closed=[])
    await town.does(OPERATOR, "effectRetry", id=await _effect(dossier, "INVOICE"))
    await _names(dossier)
    assert await _state(dossier, "INVOICE") == ("BOOKED", "", True)


async def test_what_an_operator_leaves_undone_is_not_in_the_books_until_it_is_told(town: Town) -> None:
    await town.does(OPERATOR, "systemPause", system="accounting")
    dossier = await _bill(town)
    effect = await _effect(dossier, "INVOICE")
    await town.does(OPERATOR, "effectSkip", id=effect, input={"reason": "Boekjaar sluit"})
    state, why, voucher = await _state(dossier, "INVOICE")
    assert (state, voucher) == ("REJECTED", False)
    assert "Boekjaar sluit" in why
    await _names(dossier, "INVOICE")
    await town.does(OPERATOR, "systemResume", system="accounting")
    await _resends(dossier, "INVOICE")
    await _names(dossier)
    assert await _state(dossier, "INVOICE") == ("BOOKED", "", True)
    refused = await town.refused(
        FINANCE, "journalEntryResend", id=encode_id("JournalEntry", (await _entry(dossier, "INVOICE")).id)
    )
    assert refused["code"] == "TRANSITION_NOT_ALLOWED"


async def test_an_entry_that_is_rejected_after_it_was_booked_is_told_again(town: Town) -> None:
    dossier = await _bill(town)
    await dossier.calm()
    entry = await _entry(dossier, "INVOICE")
    await town.order("accounting", f"entries/{entry.id}/reject", reason="Verkeerd dagboek")
    await _names(dossier, "INVOICE")
    assert await _state(dossier, "INVOICE") == ("REJECTED", "Verkeerd dagboek", True)
    await _resends(dossier, "INVOICE")
    await _names(dossier)
    assert await _state(dossier, "INVOICE") == ("BOOKED", "", True)


async def test_what_accounting_told_us_itself_it_cannot_reject(town: Town) -> None:
    dossier = await _bill(town)
    await dossier.transfers((await dossier.read())["invoice"]["outstanding"]["amount"])
    await dossier.until("AWAITING_SLOT")
    entry = await _entry(dossier, "PAYMENT")
    await _tells(town, "entry.rejected", {"entryId": str(entry.id), "reason": "?"})
    assert (await _state(dossier, "PAYMENT"))[0] == "KNOWN"
    assert await _named(dossier) == []
    assert [kind for kind, _ in await dossier.entries()] == ["INVOICE"]


# ── as files ──────────────────────────────────────────────────────────────────────────────────────────


async def _export(town: Town, **input: object) -> tuple[Json, bytes]:
    fields = "document { kind filename mediaType url }"
    payload = await town.does(FINANCE, "journalExport", fields, input=PERIOD | input)
    answer = await town.client.get(payload["document"]["url"])
    assert answer.status_code == 200
    return payload["document"], answer.content


async def test_the_journal_of_a_period_is_a_file_that_a_spreadsheet_reads(town: Town) -> None:
    dossier = await _bill(town)
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    await dossier.calm()
    document, content = await _export(town)
    assert (document["kind"], document["mediaType"]) == ("JOURNAL", "text/csv")
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline=""), delimiter=";"))
    assert sum(_cents(row["debet"]) for row in rows) == sum(_cents(row["credit"]) for row in rows) > 0
    mine = [row for row in rows if row["dossier"] == dossier.reference]
    assert [(row["soort"], row["algemene rekening"], row["debet"], row["credit"], row["beleidsitem"])
            for row in mine] == [
        ("factuur", "4000000", "28,00", "", ""),
        ("factuur", "7010000", "", "28,00", "0309-00"),
        ("betaling", "5800000", "28,00", "", ""),
        ("betaling", "4000000", "", "28,00", ""),
    ]  # fmt: skip
    assert {row["stand"] for row in mine} == {"geboekt"}
    assert all(row["stuk boekhouding"] and row["boekjaar"] == str(TODAY.year) for row in mine)
    (person,) = await town.sql(
        'SELECT family_name FROM person JOIN "case" ON person_id = person.id WHERE reference = :it',
        it=dossier.reference,
    )
    assert person.family_name not in content.decode()
    _, marked = await _export(town, bom=True)
    assert marked.startswith(b"\xef\xbb\xbfboekjaar;")


def _cents(amount: str) -> int:
    return int(amount.replace(",", "") or 0)


async def test_nobody_but_finance_writes_the_journal_and_only_of_a_real_period(town: Town) -> None:
    assert (await town.refused(HANDLER, "journalExport", input=PERIOD))["code"] == "NOT_ALLOWED"
    for wrong in ({"from": "2026-02-01", "to": "2026-01-01"}, {"from": "2024-01-01", "to": "2025-06-01"}):
        assert (await town.refused(FINANCE, "journalExport", input=wrong))["code"] == "VALIDATION"


async def test_a_file_is_there_for_finance_alone_and_for_an_hour(town: Town) -> None:
    payload = await town.does(FINANCE, "journalExport", "document { id url }", input=PERIOD)
    document = payload["document"]
    seen = "query($id: ID!) { node(id: $id) { ... on Document { url } } }"
    assert (await town.ask(FINANCE, seen, id=document["id"]))["node"] is not None
    assert (await town.ask(HANDLER, seen, id=document["id"]))["node"] is None
    await town.sql(
        "UPDATE document SET created_at = created_at - interval '61 minutes' WHERE kind = 'JOURNAL'"
    )
    async with town.served.loket.work(the_system()) as work:
        await journal_files.forget(work)
    assert (await town.client.get(document["url"])).status_code == 404


async def test_payment_files_are_the_ones_that_accounting_was_sent(town: Town) -> None:
    dossier = await _bill(town)
    owed = Decimal((await dossier.read())["invoice"]["outstanding"]["amount"])
    await dossier.transfers(str(owed + 3))
    await dossier.until("AWAITING_SLOT")
    (refund,) = await town.sql("SELECT id FROM refund WHERE case_id = :id", id=decode_id(dossier.id, "Case"))
    ordered = await town.does(FINANCE, "refundOrder", "payout { id }", id=encode_id("Refund", refund.id))
    await town.does(SECOND, "payoutApprove", id=ordered["payout"]["id"])
    await dossier.calm()
    sent = {
        one["order"]["id"]: b64decode(one["order"]["pain001"]["content"])
        for one in await town.look("accounting", "payouts")
    }
    _, content = await _export(town, format="PAIN_001_ZIP")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {str(uuid.UUID(name[9:-4])): archive.read(name) for name in archive.namelist()}
    assert files == sent
    assert len(files) == 1


async def test_ubl_documents_of_the_period_are_in_one_zip(town: Town) -> None:
    dossier = await _bill(town)
    await dossier.calm()
    (row,) = await town.sql(
        "UPDATE invoice SET ubl_document_id = document_id WHERE case_id = :id AND document_id IS NOT NULL"
        " RETURNING number",
        id=decode_id(dossier.id, "Case"),
    )
    _, content = await _export(town, format="UBL_ZIP")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert f"{row.number}.xml" in archive.namelist()
    _, nothing = await _export(town, format="UBL_ZIP", **{"from": "2020-01-01", "to": "2020-01-31"})
    assert zipfile.ZipFile(io.BytesIO(nothing)).namelist() == []


async def test_the_command_writes_the_same_file(town: Town, tmp_path: Path) -> None:
    await (await _bill(town)).calm()
    _, content = await _export(town)
    out = tmp_path / "dagboek.csv"
    yesterday, tomorrow = TODAY - timedelta(days=1), TODAY + timedelta(days=1)
    await journal_files.run(town.served.loket.settings, yesterday, tomorrow, str(out), bom=False)
    assert out.read_bytes() == content


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["=1+1", "+32 470", "-5", "@SUM(A1)", "'quoted", '"; =cmd', "a;b\r\nc", "\t=1", "", "dossier é €"]
)
ROWS = st.lists(
    st.lists(CELLS, min_size=len(journal_files.HEAD), max_size=len(journal_files.HEAD)), max_size=5
)


@given(rows=ROWS, bom=st.booleans())
def test_a_file_says_what_was_written_and_has_no_formulas(rows: Sequence[Sequence[str]], bom: bool) -> None:
    content = journal_files.written(rows, bom=bom)
    text = content.decode("utf-8-sig" if bom else "utf-8")
    head, *read = list(csv.reader(io.StringIO(text, newline=""), delimiter=";", strict=True))
    assert tuple(head) == journal_files.HEAD
    assert not [cell for row in read for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert [[cell.removeprefix("'") for cell in row] for row in read] == [list(row) for row in rows]


# ── entries balance ───────────────────────────────────────────────────────────────────────────────────

LINES = st.lists(
    st.tuples(st.integers(1, 90_000), st.sampled_from([0, 6, 12, 21]), st.integers(0, 2)),
    min_size=1,
    max_size=6,
).map(lambda found: [_line(Decimal(cents) / 100, Decimal(rate), key) for cents, rate, key in found])


def _line(amount: Decimal, rate: Decimal, key: int) -> Json:
    return {
        "kind": "PRODUCT",
        "product": "bak",
        "option": None,
        "description": "Bak",
        "quantity": 1,
        "unit_amount": str(amount),
        "amount": str(amount),
        "budget_key": {"account": f"70{key}0000", "policy_item": "0309-00"},
        "vat_category": "S" if rate else "O",
        "vat_rate": str(rate),
        "vat_amount": str(vat_in(amount, rate)),
    }


@given(lines=LINES, parts=st.lists(st.integers(1, 100), min_size=1, max_size=4))
def test_what_is_credited_in_parts_takes_back_what_was_booked_to_the_cent(
    lines: list[Json], parts: list[int]
) -> None:
    amount = sum((Decimal(line["amount"]) for line in lines), Decimal(0))
    booked = bookkeeping.of_lines(lines)
    assert sum(one.amount for one in booked) == -amount
    left, taken = [dict(line) for line in lines], list(booked)
    for number, part in enumerate(parts):
        rest = sum((Decimal(line["amount"]) for line in left), Decimal(0))
        wanted = rest if number == len(parts) - 1 else (rest * part / 100).quantize(Decimal("0.01"))
        for line in credits.taken(left, wanted) if wanted else []:
            for name in ("amount", "vat_amount"):
                left[line["line"]][name] = str(Decimal(left[line["line"]][name]) - Decimal(line[name]))
            taken += bookkeeping.reversed_(bookkeeping.of_lines([line]))
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for one in taken:
        sums[one.account, chart.code(Ledger(), one.account, one.budget_key)] += one.amount
    assert {key: value for key, value in sums.items() if value} == {}


def test_the_accounts_of_the_chart_are_the_municipalitys_own() -> None:
    own = Settings.from_environment({"LOKET_LEDGER_BANK": "55012345"}).ledger
    assert chart.code(own, LedgerAccount.BANK, None) == "55012345"
    assert chart.code(own, LedgerAccount.REVENUE, {"account": "7024000", "policy_item": "x"}) == "7024000"
    assert chart.code(own, LedgerAccount.REVENUE, None) == "7010000"
    for wrong in ("", "55", "8000000", "bank", "550000000"):
        with pytest.raises(SettingsError, match="LOKET_LEDGER_BANK"):
            Settings.from_environment({"LOKET_LEDGER_BANK": wrong})

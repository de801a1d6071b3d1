"""What the bank says came in pays what it names; what names nothing waits for a person, with suggestions."""

import asyncio
import base64
import gzip
import itertools
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from loket import payout_facts, statement_files
from loket.ids import decode_id
from loket.lifecycle import PartAction
from loket.numbers import structured_reference
from loket.sandbox.bank_files import Line, Sheet, written
from loket.work import the_system
from premiums import Json
from premiums import written as premium
from test_payouts import GRANTED, plain
from town import FINANCE, HANDLER, OPERATOR, Dossier, Town, opened, until

OURS = "BE71096123456769"
THEIRS = "BE68539007547034"
SECOND = "farah"
TODAY = datetime.now(UTC).date()
ENTRY = """id status version amount { amount } remittance counterpartyName counterpartyAccount reason
    structuredReference payment { id status amount { amount } } payout { id status }
    suggestions { invoiceId invoiceNumber caseReference debtor outstanding reasons strength }"""


@dataclass
class Account:
    """The bank's side: statements one behind the other."""

    town: Town
    numbers: Iterator[int]
    balance: Decimal = Decimal("1000.00")

    def sheet(self, *lines: Line) -> Sheet:
        made = Sheet(OURS, next(self.numbers), TODAY - timedelta(days=1), TODAY, self.balance, lines)
        self.balance = made.closing
        return made

    async def tells(self, *lines: Line, form: str = "camt08") -> list[Json]:
        """The entries of a statement, as they stand after its import."""
        payload = await imports(self.town, written(form, [self.sheet(*lines)]))
        assert payload["errors"] == [], payload["errors"]
        assert (payload["imported"], payload["warnings"]) == (1, [])
        return await entries(self.town, payload["statements"][0]["id"])


async def imports(town: Town, content: bytes, **more: str) -> Json:
    file = {"name": "dag.txt", "content": base64.b64encode(content).decode()}
    fields = "imported warnings statements { id number openCount }"
    payload = await town.tries(FINANCE, "bankStatementImport", fields, input=file, **more)
    # the worker may have a movement in its hands, for which the import does not wait
    await town.sql("SELECT FROM bankentry FOR UPDATE")
    return payload


async def entries(town: Town, statement: str) -> list[Json]:
    document = f"""query($id: ID!) {{ node(id: $id) {{ ... on BankStatement {{
        entries(first: 100) {{ nodes {{ {ENTRY} }} }} }} }} }}"""
    found = await town.ask(FINANCE, document, id=statement)
    nodes: list[Json] = found["node"]["entries"]["nodes"]
    return nodes


def line(amount: str, **told: object) -> Line:
    return replace(Line(Decimal(amount), TODAY, TODAY, name="PEETERS AN", iban=THEIRS), **told)  # type: ignore[arg-type]  # fields by name


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    premium(folder, "premium", plain)
    home = tmp_path_factory.mktemp("town")
    async with opened(module_database_url, home, procedures=str(folder)) as found:
        yield found


@pytest.fixture(scope="module")
def account(town: Town) -> Account:
    return Account(town, itertools.count(100))  # the sandbox's own bank begins with 1


async def _to_pay(town: Town) -> tuple[Dossier, str, str]:
    """A case that waits for its money, the digits of its communication, and how much it is."""
    dossier = await town.applies()
    case = await dossier.until("AWAITING_PAYMENT")
    reference = "".join(one for one in case["invoice"]["structuredReference"] if one.isdigit())
    return dossier, reference, case["invoice"]["amount"]["amount"]


async def _payments(dossier: Dossier) -> list[tuple[str, str]]:
    case = await dossier.read(fields="invoice { payments { status amount { amount } } }")
    return [(one["status"], one["amount"]["amount"]) for one in case["invoice"]["payments"]]


async def _invoice(dossier: Dossier) -> tuple[str, str]:
    case = await dossier.read(fields="invoice { status outstanding { amount } }")
    return case["invoice"]["status"], case["invoice"]["outstanding"]["amount"]


async def _refunds(dossier: Dossier) -> list[tuple[str, str]]:
    case = await dossier.read(fields="refunds { status amount { amount } }")
    return [(one["status"], one["amount"]["amount"]) for one in case["refunds"]]


# ── what pays by itself ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", ["coda", "camt08"])
async def test_money_with_the_communication_pays_without_anybody(
    town: Town, account: Account, form: str
) -> None:
    dossier, reference, amount = await _to_pay(town)
    free, other, less = await _to_pay(town)
    printed = f"factuur +++{other[:3]}/{other[3:7]}/{other[7:]}+++"
    found = await account.tells(line(amount, reference=reference), line(less, text=printed), form=form)
    assert [one["status"] for one in found] == ["MATCHED", "MATCHED"]
    assert [one["structuredReference"] for one in found] == [reference, other]
    assert found[0]["counterpartyAccount"].startswith("BE68 ****")
    for one in (dossier, free):
        case = await one.read()
        assert case["invoice"]["status"] == "PAID"
        assert "PAID" in await one.events()
        assert await one.tasks() == []
    rows = await town.sql("SELECT counterparty_iban_sealed, payer_iban_masked FROM bankentry b"
                          " JOIN payment p ON p.id = b.payment_id")  # fmt: skip
    assert all(THEIRS.encode() not in bytes(one[0]) for one in rows)
    assert all(one[1].startswith("BE68 ****") for one in rows)


async def test_a_part_and_then_the_rest_pay_once(town: Town, account: Account) -> None:
    dossier, reference, amount = await _to_pay(town)
    rest = str(Decimal(amount) - Decimal("10.00"))
    await account.tells(line("10.00", reference=reference))
    assert await _invoice(dossier) == ("PARTLY_PAID", rest)
    await account.tells(line(rest, reference=reference))
    assert await _invoice(dossier) == ("PAID", "0.00")
    assert await _refunds(dossier) == []


async def test_what_is_too_much_and_what_comes_twice_is_to_go_back(town: Town, account: Account) -> None:
    dossier, reference, amount = await _to_pay(town)
    more = str(Decimal(amount) + Decimal("5.00"))
    await account.tells(line(more, reference=reference), line(amount, reference=reference))
    assert await _invoice(dossier) == ("PAID", "0.00")
    assert sorted(await _refunds(dossier)) == sorted([("DUE", "5.00"), ("DUE", amount)])
    assert await dossier.tasks() == ["REFUND_DUE"]


async def test_money_after_the_cancellation_goes_back(town: Town, account: Account) -> None:
    dossier, reference, amount = await _to_pay(town)
    await town.does(HANDLER, "caseCancel", id=dossier.id, input={"reason": "Op vraag van de burger."})
    (entry,) = await account.tells(line(amount, reference=reference))
    assert entry["status"] == "MATCHED"
    assert await _refunds(dossier) == [("DUE", amount)]
    assert "REFUND_DUE" in await dossier.tasks()


async def test_money_after_the_term_pays_what_was_handed_over(town: Town, account: Account) -> None:
    dossier, reference, amount = await _to_pay(town)
    invoice = decode_id((await dossier.read())["invoice"]["id"], "Invoice")
    await town.sql("UPDATE invoice SET status = 'HANDED_OVER' WHERE id = :id", id=invoice)
    await account.tells(line(amount, reference=reference))
    assert await _invoice(dossier) == ("PAID", "0.00")


@pytest.mark.parametrize("first", ["bank", "accounting", "clerk"])
async def test_a_transfer_of_which_others_tell_too_is_one_payment(
    town: Town, account: Account, first: str
) -> None:
    dossier, reference, amount = await _to_pay(town)
    invoice = (await dossier.read())["invoice"]["id"]
    told = {"amount": amount, "method": "TRANSFER", "reference": f"K-{reference}", "valueDate": str(TODAY)}

    async def accounting() -> None:
        await town.order("accounting", "transfer", amount=amount, reference=reference)

        async def heard() -> bool:
            names = await town.sql(
                "SELECT FROM paymentname n JOIN payment p ON p.id = n.payment_id"
                " WHERE p.invoice_id = :id AND n.source = 'accounting'",
                id=decode_id(invoice, "Invoice"),
            )
            return bool(names)

        await until(heard)

    async def clerk() -> None:
        await town.does(FINANCE, "paymentRegister", invoiceId=invoice, input=told)

    async def bank() -> None:
        (entry,) = await account.tells(line(amount, reference=reference))
        assert entry["status"] == "MATCHED"

    who = {"bank": bank, "accounting": accounting, "clerk": clerk}
    for one in (first, *(name for name in who if name != first)):
        await who[one]()
    assert await _payments(dossier) == [("CAPTURED", amount)]
    assert await _refunds(dossier) == []


async def test_the_same_money_in_another_form_is_not_paid_twice(town: Town, account: Account) -> None:
    dossier, reference, amount = await _to_pay(town)
    paid = line(amount, reference=reference, bank_reference="A1")
    sheet = account.sheet(paid)
    await imports(town, written("coda", [sheet]))
    again = await imports(town, written("camt02", [sheet]))
    assert "again, imported before" in again["errors"][0]["message"]
    # with other money beside it, it is another statement: then the movement is known
    other = replace(sheet, number=next(account.numbers), lines=(paid, line("-1.00", text="kosten")))
    payload = await imports(town, written("camt02", [other]))
    assert len(payload["warnings"]) == 1
    assert "ontbreken uittreksels" in payload["warnings"][0]
    found = await entries(town, payload["statements"][0]["id"])
    assert [one["status"] for one in found] == ["OPEN", "OPEN"]
    assert found[0]["suggestions"][0]["reasons"][0] == "REFERENCE"
    assert await _payments(dossier) == [("CAPTURED", amount)]
    account.balance = other.closing


# ── payouts ───────────────────────────────────────────────────────────────────────────────────────────


async def _approved(town: Town) -> tuple[Dossier, str]:
    who = town.somebody()
    payload = await town.does(who, "applicationStart", "application { id }", procedure="premium")
    draft = payload["application"]["id"]
    answers = {"benefits": ["own"], "iban": "BE68 5390 0754 7034"}
    await town.does(who, "applicationSetAnswers", id=draft, input=answers)
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=draft)
    dossier = Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])
    await dossier.until("AWAITING_DECISION")
    await town.does(HANDLER, "decisionTake", caseId=dossier.id, input=GRANTED)
    payload = await town.does(HANDLER, "payoutOrder", "payout { id }", caseId=dossier.id)
    await town.does(FINANCE, "payoutApprove", id=payload["payout"]["id"])
    return dossier, payload["payout"]["id"]


async def _payout(dossier: Dossier) -> str:
    return str((await dossier.read(fields="payouts { status }"))["payouts"][-1]["status"])


async def test_a_debit_with_our_own_number_is_the_payout_and_its_return_comes_back(
    town: Town, account: Account
) -> None:
    dossier, payout = await _approved(town)
    named = decode_id(payout, "Payout").hex
    (entry,) = await account.tells(line("-70.50", end_to_end_id=named, text="Premie"))
    assert (entry["status"], entry["payout"]["id"]) == ("MATCHED", payout)
    assert await _payout(dossier) == "EXECUTED"
    await dossier.until("COMPLETED")
    (again,) = await account.tells(line("-70.50", end_to_end_id=named, text="Premie"))
    assert again["status"] == "OPEN"  # the bank paid twice: a person must look
    (back,) = await account.tells(line("70.50", end_to_end_id=named.upper(), return_code="AC04"), form="coda")
    assert back["status"] == "MATCHED"
    assert await _payout(dossier) == "RETURNED"
    refused = await town.refused(FINANCE, "paymentMatch", id=again["id"], input={"payoutId": payout})
    assert "another movement" in refused["message"]


async def test_a_person_says_which_payout_left_without_its_number(town: Town, account: Account) -> None:
    dossier, payout = await _approved(town)
    (entry,) = await account.tells(line("-70.50", text="Premie"))
    assert (entry["status"], entry["suggestions"]) == ("OPEN", [])
    done = await town.does(
        FINANCE,
        "paymentMatch",
        "entry { status } payout { status }",
        id=entry["id"],
        input={"payoutId": payout},
    )
    assert (done["entry"]["status"], done["payout"]["status"]) == ("MATCHED", "EXECUTED")
    async with town.served.loket.work(the_system("Accounting")) as work:
        await payout_facts.heard(work, decode_id(payout, "Payout"), payout_facts.Fact(PartAction.EXECUTE))
    assert await _payout(dossier) == "EXECUTED"


# ── by hand ───────────────────────────────────────────────────────────────────────────────────────────


def _mistyped(reference: str) -> str:
    return reference[:4] + str((int(reference[4]) + 1) % 10) + reference[5:]


def _swapped(reference: str) -> str:
    at = next(k for k in range(11) if reference[k] != reference[k + 1])
    return reference[:at] + reference[at + 1] + reference[at] + reference[at + 2 :]


async def test_what_does_not_match_is_listed_with_suggestions_and_matched_by_a_person(
    town: Town, account: Account
) -> None:
    dossier, reference, amount = await _to_pay(town)
    case = await dossier.read(fields="invoice { id number } applicant { name familyName givenName }")
    who = f"{case['applicant']['familyName'].upper()} {case['applicant']['givenName']}"
    wrong = line("1.23", text=_mistyped(reference), name="IEMAND ANDERS")
    swapped = line("1.24", text=_swapped(reference), name="X")
    named = line(amount, text="compost", name=who, iban="BE29539007547065")
    found = await account.tells(wrong, swapped, named)
    assert [one["status"] for one in found] == ["OPEN"] * 3
    for one in found[:2]:
        told = [s["reasons"] for s in one["suggestions"] if s["invoiceId"] == case["invoice"]["id"]]
        assert told == [["ALMOST_REFERENCE"]]
    best = found[2]["suggestions"][0]
    assert (best["invoiceNumber"], best["reasons"]) == (case["invoice"]["number"], ["AMOUNT", "NAME"])
    assert (best["caseReference"], best["outstanding"]) == (dossier.reference, amount)
    strengths = [one["strength"] for one in found[2]["suggestions"]]
    assert strengths == sorted(strengths, reverse=True)
    stale = await town.refused(
        FINANCE, "paymentMatch", id=found[2]["id"], input={"invoiceId": best["invoiceId"]}, expectedVersion=7
    )
    assert stale["code"] == "VERSION_CONFLICT"
    done = await town.does(
        FINANCE,
        "paymentMatch",
        "entry { status settledBy { name } } invoice { status } payment { amount { amount } }",
        id=found[2]["id"],
        input={"invoiceId": best["invoiceId"]},
        expectedVersion=1,
    )
    assert (done["entry"]["status"], done["invoice"]["status"]) == ("MATCHED", "PAID")
    assert done["payment"]["amount"]["amount"] == amount
    assert done["entry"]["settledBy"]["name"]
    again = await town.refused(
        FINANCE, "paymentMatch", id=found[2]["id"], input={"invoiceId": best["invoiceId"]}
    )
    assert again["code"] == "TRANSITION_NOT_ALLOWED"


async def test_who_paid_from_an_account_before_is_suggested(town: Town, account: Account) -> None:
    iban = "BE02539007547140"
    first, reference, amount = await _to_pay(town)
    await account.tells(line(amount, reference=reference, iban=iban))
    await town.sql(
        "UPDATE invoice SET person_id = (SELECT person_id FROM invoice WHERE reference = :paid)"
        " WHERE reference = :open",
        paid=reference,
        open=(other := await _to_pay(town))[1],
    )
    (entry,) = await account.tells(line("3.33", text="ziehier", name="", iban=iban))
    assert [(one["caseReference"], one["reasons"]) for one in entry["suggestions"]] == [
        (other[0].reference, ["ACCOUNT"])
    ]
    assert first.reference != other[0].reference


async def test_money_that_a_person_matches_to_a_credited_invoice_goes_back(
    town: Town, account: Account
) -> None:
    dossier, _, amount = await _to_pay(town)
    invoice = (await dossier.read())["invoice"]["id"]
    await town.does(HANDLER, "caseCancel", id=dossier.id, input={"reason": "Op vraag."})
    (entry,) = await account.tells(line(amount, text="te laat"))
    await town.does(FINANCE, "paymentMatch", id=entry["id"], input={"invoiceId": invoice})
    assert await _refunds(dossier) == [("DUE", amount)]


async def test_what_is_not_for_loket_is_set_aside_alone_or_in_bulk_and_can_be_matched_still(
    town: Town, account: Account
) -> None:
    dossier, _, amount = await _to_pay(town)
    invoice = (await dossier.read())["invoice"]["id"]
    foreign = [structured_reference(7700000000 + number) for number in range(3)]
    found = await account.tells(
        line("-4.20", text="beheerskosten", name="BANK"),
        *(line("15.00", reference=one) for one in foreign),
        line(amount, text="zomaar"),
    )
    costs, *others, mine = [one["id"] for one in found]
    done = await town.does(
        FINANCE, "bankEntrySetAside", "count entries { status reason }",
        input={"ids": [costs, mine], "reason": "Niet van ons."},
    )  # fmt: skip
    assert done["count"] == 2
    assert done["entries"] == [{"status": "SET_ASIDE", "reason": "Niet van ons."}] * 2
    yesterday = {"foreignUntil": str(TODAY - timedelta(days=1)), "reason": "Belastingen."}
    assert (await town.does(FINANCE, "bankEntrySetAside", "count", input=yesterday))["count"] == 0
    today = {"foreignUntil": str(TODAY), "reason": "Belastingen."}
    assert (await town.does(FINANCE, "bankEntrySetAside", "count", input=today))["count"] == 3
    seen = await town.ask(
        FINANCE,
        """{ bankEntries(filter: {status: [SET_ASIDE], amount: "15.00"}) { totalCount nodes { id } } }""",
    )
    assert {one["id"] for one in seen["bankEntries"]["nodes"]} == set(others)
    await town.does(FINANCE, "paymentMatch", id=mine, input={"invoiceId": invoice})
    assert await _invoice(dossier) == ("PAID", "0.00")
    refused = await town.refused(FINANCE, "bankEntrySetAside", input={"ids": [mine], "reason": "x"})
    assert refused["code"] == "TRANSITION_NOT_ALLOWED"


@pytest.mark.parametrize("form", ["coda", "camt08"])
async def test_numbers_of_people_that_a_payer_writes_down_are_masked(
    town: Town, account: Account, form: str
) -> None:
    written_down = "voor 85.07.30-033.28 op BE68 5390 0754 7034 van mij"
    (found,) = await account.tells(line("3.21", text=written_down), form=form)
    assert found["remittance"] == "voor 85.**.**-***.28 op BE68 **** **** 7034 van mij"


async def test_whose_money_is_looked_for_by_name_or_number_sees_by_whom(town: Town, account: Account) -> None:
    looks = "{ viewer { accessLog(first: 50) { nodes { service actor { name } } } } }"
    ways = (
        ("query($v: String!) { bankEntries(filter: {text: $v}) { totalCount } }", "gezocht-op-naam"),
        ("query($v: String!) { bankEntries(filter: {reference: $v}) { totalCount } }", ""),
        ("query($v: ID!) { node(id: $v) { id } }", ""),
    )
    for ask, given in ways:
        dossier, reference, amount = await _to_pay(town)
        paid = line(amount, reference=reference, name=given.upper() or "PEETERS AN")
        (found,) = await account.tells(paid, form="camt08")
        before = str(await town.ask(dossier.who, looks))
        await town.ask(SECOND, ask, v=given or (found["id"] if "node" in ask else reference))
        after = str(await town.ask(dossier.who, looks))
        assert ("Farah Benali" in before, "Farah Benali" in after) == (False, True), ask


async def test_movements_are_found_by_words_days_and_direction(town: Town, account: Account) -> None:
    await account.tells(line("8.08", text="Zeldzaam WOORD", name="ÉÉN"), line("-8.08", text="x"))
    for given, count in (
        ('text: "zeldzaam woord"', 1),
        ('text: "één"', 1),
        ('amount: "8.08"', 1),
        ('amount: "8.08", incoming: false', 0),
        (f'text: "zeldzaam", bookedFrom: "{TODAY}", bookedUntil: "{TODAY}"', 1),
        (f'text: "zeldzaam", bookedFrom: "{TODAY + timedelta(days=1)}"', 0),
        ('text: "100%_niets"', 0),
    ):
        seen = await town.ask(FINANCE, f"{{ bankEntries(filter: {{{given}}}) {{ totalCount }} }}")
        assert seen["bankEntries"]["totalCount"] == count, given


async def test_nobody_but_finance_sees_what_stands_on_the_account(town: Town, account: Account) -> None:
    (entry,) = await account.tells(line("9.99", text="geheim"))
    for who in (HANDLER, OPERATOR, "an"):
        seen = await town.ask(
            who,
            "query($id: ID!) { bankEntries { nodes { id } } bankStatements { nodes { id } }"
            " node(id: $id) { id } }",
            id=entry["id"],
        )
        assert (seen["bankEntries"]["nodes"], seen["bankStatements"]["nodes"], seen["node"]) == ([], [], None)
        refused = await town.refused(who, "bankEntrySetAside", input={"ids": [entry["id"]], "reason": "x"})
        assert refused["code"] == "NOT_ALLOWED"


# ── whole, and once ───────────────────────────────────────────────────────────────────────────────────


async def test_a_file_imported_again_or_five_times_at_once_is_imported_once(
    town: Town, account: Account
) -> None:
    dossier, reference, amount = await _to_pay(town)
    file = written("coda", [account.sheet(line(amount, reference=reference), line("1.00"))])
    at_once = await asyncio.gather(*(imports(town, file) for _ in range(5)))
    assert [one["errors"] for one in at_once] == [[]] * 5
    assert sorted(one["imported"] for one in at_once) == [0, 0, 0, 0, 1]
    assert len({one["statements"][0]["id"] for one in at_once}) == 1
    assert (await imports(town, file))["imported"] == 0
    assert await _payments(dossier) == [("CAPTURED", amount)]
    key = town.key()
    first = await imports(town, file, idempotencyKey=key)
    assert await imports(town, file, idempotencyKey=key) == first
    other = written("coda", [account.sheet(line("2.00"))])
    assert (await imports(town, other, idempotencyKey=key))["errors"][0]["code"] == "IDEMPOTENCY_MISMATCH"
    assert (await imports(town, other))["imported"] == 1


async def _count(town: Town) -> int:
    return int((await town.sql("SELECT count(*) FROM bankentry"))[0][0])


async def test_a_file_is_refused_whole_and_nothing_is_changed(town: Town, account: Account) -> None:
    before, balance = await _count(town), account.balance
    good = account.sheet(line("5.00"))
    account.balance = balance
    foreign = replace(good, iban=THEIRS, number=1)
    for content, why in (
        (written("camt08", [good, foreign]), "BE68 **** **** 7034 is not our account"),
        (written("camt08", [good]).replace(b">5.00<", b">5.01<"), "not to the closing balance"),
        (written("coda", [good])[:-150], "ends in the middle"),
        (b"PK\x03\x04", "neither CODA nor camt.053"),
        (gzip.compress(written("coda", [good]))[:-9], "cut off"),
    ):
        refused = (await imports(town, content))["errors"]
        assert (refused[0]["code"], refused[0]["path"]) == ("VALIDATION", ["input", "content"])
        assert why in refused[0]["message"]
    assert await _count(town) == before
    assert (await imports(town, written("camt08", [good])))["imported"] == 1
    changed = replace(good, lines=(line("4.00"), line("1.00")))
    refused = (await imports(town, written("camt08", [changed])))["errors"]
    assert "was imported before with another content" in refused[0]["message"]
    assert await _count(town) == before + 1
    account.balance = good.closing


async def test_ten_thousand_lines_and_five_megabytes_are_one_import(town: Town, account: Account) -> None:
    dossier, reference, amount = await _to_pay(town)
    names = random.Random(4)
    many = [
        line(f"{names.randrange(1, 90_000) / 100:.2f}", reference=structured_reference(7800000000 + number),
             iban=f"BE{names.randrange(10, 99)}{names.randrange(10**11, 10**12)}",
             name=f"{names.choice(('JANSSENS', 'PEETERS', 'MAES'))} {names.randrange(10**6)}",
             bank_reference=f"{names.randrange(10**20):020}")
        for number in range(13_200)
    ]  # fmt: skip
    file = written("coda", [account.sheet(*many, line(amount, reference=reference))])
    assert len(file) > 5_000_000
    packed = gzip.compress(file)
    assert len(packed) * 4 / 3 < 1_000_000
    payload = await imports(town, packed)
    assert (payload["errors"], payload["imported"]) == ([], 1)
    assert await _invoice(dossier) == ("PAID", "0.00")
    assert payload["statements"][0]["openCount"] == 13_200
    await town.sql("DELETE FROM bankentry WHERE status = 'OPEN' AND reference LIKE '78%'")


# ── the folder, and the command ───────────────────────────────────────────────────────────────────────


def _names(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


async def test_the_folder_is_emptied_by_any_number_of_workers(
    town: Town, account: Account, tmp_path: Path
) -> None:
    dossier, reference, amount = await _to_pay(town)
    loket = town.served.loket
    folders = [statement_files.Folder(loket, tmp_path) for _ in range(4)]
    good = written("coda", [account.sheet(line(amount, reference=reference))])
    (tmp_path / "goed.cod").write_bytes(good)
    (tmp_path / "slecht.xml").write_bytes(b"<Document/>")
    (tmp_path / "half.cod.part").write_bytes(good[:200])
    (tmp_path / ".verborgen").write_bytes(good)
    (tmp_path / "link.cod").symlink_to("/etc/hostname")
    growing = tmp_path / "groeit.cod"
    growing.write_bytes(good[:300])
    assert [await one.look() for one in folders] == [[], [], [], []]
    growing.write_bytes(good[:400])
    taken = await asyncio.gather(*(one.look() for one in folders))
    assert sorted(itertools.chain(*taken)) == ["goed.cod", "slecht.xml"]
    left = {"done", "refused", "half.cod.part", ".verborgen", "link.cod", "groeit.cod"}
    assert _names(tmp_path) == left
    assert _names(tmp_path / "done") == {"goed.cod"}
    assert _names(tmp_path / "refused") == {"slecht.xml", "slecht.xml.txt"}
    assert "are read, not this" in (tmp_path / "refused" / "slecht.xml.txt").read_text()
    await statement_files.match_due(loket)
    assert await _invoice(dossier) == ("PAID", "0.00")
    growing.unlink()
    # the same once more is known, and pushes nothing out of its place
    (tmp_path / "goed.cod").write_bytes(good)
    for _ in range(2):
        await folders[0].look()
    assert _names(tmp_path / "done") == {"goed.cod", "goed-2.cod"}
    assert await _payments(dossier) == [("CAPTURED", amount)]


async def test_links_in_the_folder_lead_nowhere(town: Town, tmp_path: Path) -> None:
    """The bank's software writes there: it must not reach what Loket may write elsewhere."""
    folder, outside = tmp_path / "bank", tmp_path / "buiten"
    (folder / "refused").mkdir(parents=True)
    outside.write_text("blijft")
    (folder / "refused" / "slecht.xml.txt").symlink_to(outside)
    (folder / "slecht.xml").write_bytes(b"<Document/>")
    looking = statement_files.Folder(town.served.loket, folder)
    await looking.look()
    assert await looking.look() == ["slecht.xml"]
    assert outside.read_text() == "blijft"
    assert "are read, not this" in (folder / "refused" / "slecht.xml.txt").read_text()


async def test_the_command_takes_files_and_says_what_became_of_them(
    town: Town, account: Account, tmp_path: Path
) -> None:
    dossier, reference, amount = await _to_pay(town)
    good, bad = tmp_path / "goed.xml", tmp_path / "slecht.xml"
    good.write_bytes(written("camt02", [account.sheet(line(amount, reference=reference))]))
    bad.write_bytes(b"<Document/>")
    told = await statement_files.run(town.served.loket.settings, [str(good), str(bad), str(tmp_path / "weg")])
    assert [taken for _, taken in told] == [True, False, False]
    assert "1 new of 1 statements" in told[0][0]
    assert "are read, not this" in told[1][0]
    assert await _invoice(dossier) == ("PAID", "0.00")


# ── the bank of the sandbox ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", ["coda", "camt02"])
async def test_the_sandbox_s_bank_tells_of_transfers_and_payouts(town: Town, form: str) -> None:
    dossier, reference, amount = await _to_pay(town)
    paid, payout = await _approved(town)
    named = decode_id(payout, "Payout")

    async def ordered() -> bool:
        return any(one["order"]["id"] == str(named) for one in await town.look("accounting", "payouts"))

    await until(ordered)
    await town.order("accounting", f"payouts/{named}/execute", by="silent")
    text = f"composteervat {reference[:3]}/{reference[3:7]}/{reference[7:]}"
    moved = await town.order("desk", "bank/transfers", amount=amount, text=text, payer=dossier.who)
    assert moved["iban"].startswith("BE")
    made = await town.order("desk", "bank/statements", form=form)
    payload = await imports(town, base64.b64decode(made["content"]))
    assert (payload["errors"], payload["imported"]) == ([], 1)
    assert await _invoice(dossier) == ("PAID", "0.00")
    assert await _payout(paid) == "EXECUTED"
    desk = town.served.house.config.urls["desk"]
    file = await town.client.get(f"{desk}/sim/bank/statements/{made['number']}/{form}")
    assert file.content == base64.b64decode(made["content"])
    page = await town.client.get(f"{desk}/bank")
    assert amount.replace(".", ",") in page.text


async def test_the_sandbox_s_bank_takes_no_nonsense(town: Town) -> None:
    desk = town.served.house.config.urls["desk"]
    for path, order in (
        ("transfers", {"amount": "x"}),
        ("transfers", {"amount": "0.00"}),
        ("transfers", {"amount": "1.00", "reference": "123"}),
        ("transfers", {"amount": "1.00", "payer": "niemand-zo"}),
        ("statements", {"form": "mt940"}),
    ):
        answer = await town.client.post(f"{desk}/sim/bank/{path}", json=order)
        assert answer.status_code == 400, order
    assert (await town.client.get(f"{desk}/sim/bank/statements/999/coda")).status_code == 404

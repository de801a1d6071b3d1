"""What comes back: a deposit is asked with the invoice, held, and released by finance, whole or in part."""

import os
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loket import publishing
from loket.ids import decode_id
from loket.publishing import DefinitionError
from loket.terms import BRUSSELS
from shops import Json, product, shop
from town import FINANCE, HANDLER, OPERATOR, Dossier, Town, nothing_stays_open, opened, until

HALL = {"hall": 1, "deposit": 1}
RELEASED = {
    "replaces": ["INVOICE_CREDITED"],
    "subject": "Uw waarborg is vrijgegeven ({reference})",
    "body": "Wij geven {deposit} vrij.\n\nWij houden {kept} in: {reason}",
    "sms": "Uw waarborg: {deposit}.",
}


def rents_out(told: Json) -> None:
    """A hall with a deposit."""
    told["catalogue"] = {
        "deposit_days": 14,
        "products": [
            product("hall", "100.00"),
            product("deposit", "50.00", deposit=True, title={"nl": "Waarborg", "en": "Deposit"}),
        ],
    }
    told["rules"]["screening"] = told["rules"]["screening"][:2]
    told["payment"]["unpaid"] = "hand_over"
    told["texts"]["messages"]["DEPOSIT_RETURNED"] = RELEASED


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    shop(folder, "hall", "screening, decision, payment", rents_out)
    home = tmp_path_factory.mktemp("town")
    async with opened(module_database_url, home, procedures=str(folder)) as found:
        yield found


async def _asked(town: Town) -> Dossier:
    dossier = await town.applies(procedure="hall", cart=HALL)
    await dossier.until("AWAITING_PAYMENT")
    return dossier


async def _rented(town: Town, *, online: bool = True) -> Dossier:
    """Somebody who paid for the hall and the deposit."""
    dossier = await _asked(town)
    await (dossier.pays() if online else dossier.transfers("150.00"))
    await dossier.until("COMPLETED")
    return dossier


async def _releases(dossier: Dossier, **told: str) -> Json:
    more: Json = {"input": told} if told else {}
    fields = "case { id status } creditNote { number amount { amount } reason }"
    return await dossier.town.does(FINANCE, "depositReturn", fields, caseId=dossier.id, **more)


async def _refunds(dossier: Dossier) -> list[tuple[str, str]]:
    seen = await dossier.read(fields="refunds { status amount { amount } }")
    return [(one["status"], one["amount"]["amount"]) for one in seen["refunds"]]


async def _are_refunds(dossier: Dossier, *expected: tuple[str, str]) -> bool:
    return await _refunds(dossier) == list(expected)


async def _outstanding(dossier: Dossier) -> str:
    seen = await dossier.read(fields="invoice { outstanding { amount } }")
    return str(seen["invoice"]["outstanding"]["amount"])


# ── released ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_deposit_that_was_paid_online_goes_back_by_itself(town: Town) -> None:
    dossier = await _rented(town)
    assert "DEPOSIT_RETURN" in await dossier.actions(FINANCE)
    assert "DEPOSIT_RETURN" not in await dossier.actions(HANDLER)
    payload = await _releases(dossier)
    assert payload["case"]["status"] == "COMPLETED"
    assert payload["creditNote"]["amount"]["amount"] == "50.00"
    assert payload["creditNote"]["reason"] == "Vrijgave van de waarborg"
    await until(lambda: _are_refunds(dossier, ("DONE", "50.00")))
    assert await dossier.entries() == [
        ("INVOICE", "150.00"), ("PAYMENT", "150.00"), ("CREDIT_NOTE", "50.00"), ("REFUND_DUE", "50.00"),
        ("REFUND", "50.00"),
    ]  # fmt: skip
    (letter,) = [one for one in await dossier.letters() if "waarborg" in one["subject"]]
    assert "€ 50,00" in letter["text"].replace("\u00a0", " ")
    assert "houden" not in letter["text"]
    assert not any("verminderd" in one["subject"] for one in await dossier.letters())
    assert (await dossier.dosis())[-1] == ("Uitgevoerd", "Afgerond")


async def test_it_is_released_once(town: Town) -> None:
    dossier = await _rented(town)
    await _releases(dossier, kept="10.00", reason="Een stoel is stuk.")
    assert "DEPOSIT_RETURN" not in await dossier.actions(FINANCE)
    refusal = await town.refused(FINANCE, "depositReturn", caseId=dossier.id)
    assert refusal["code"] == "TRANSITION_NOT_ALLOWED"
    assert (await dossier.events()).count("DEPOSIT_RETURNED") == 1


async def test_what_is_kept_is_told_with_its_reason_and_the_rest_goes_to_the_payers_account(
    town: Town,
) -> None:
    dossier = await _rented(town, online=False)
    await _releases(dossier, kept="20.00", reason="Een stoel is stuk.")
    assert await _refunds(dossier) == [("DUE", "30.00")]
    assert "REFUND_DUE" in await dossier.tasks()
    (letter,) = [one for one in await dossier.letters() if "waarborg" in one["subject"]]
    said = letter["text"].replace("\u00a0", " ")
    assert "€ 30,00 vrij" in said
    assert "Wij houden € 20,00 in: Een stoel is stuk." in said
    lines = await town.sql(
        "SELECT l.line ->> 'product' AS product, l.line ->> 'amount' AS amount FROM creditnote c,"
        " jsonb_array_elements(c.lines) AS l(line) WHERE c.case_id = :id",
        id=decode_id(dossier.id, "Case"),
    )
    assert [(row.product, row.amount) for row in lines] == [("deposit", "30.00")]


async def test_all_of_it_can_be_kept(town: Town) -> None:
    dossier = await _rented(town)
    payload = await _releases(dossier, kept="50", reason="De zaal was niet schoongemaakt.")
    assert payload["creditNote"] is None
    assert await _refunds(dossier) == []
    assert "DEPOSIT_RETURNED" in await dossier.events()


async def test_a_deposit_that_was_never_paid_is_not_due_any_more(town: Town) -> None:
    dossier = await _asked(town)
    await dossier.fires("PAYMENT_END")
    await dossier.until("COMPLETED")
    assert (await dossier.read())["invoice"]["status"] == "HANDED_OVER"
    await _releases(dossier)
    assert await _outstanding(dossier) == "100.00"
    assert await _refunds(dossier) == []


async def test_what_was_written_off_counts_for_the_deposit_first(town: Town) -> None:
    dossier = await _asked(town)
    await dossier.transfers("110.00")
    await until(lambda: _owes(dossier, "40.00"))
    invoice = (await dossier.read())["invoice"]["id"]
    await town.does(FINANCE, "invoiceWriteOff", id=invoice, input={"reason": "Niet in te vorderen."})
    await dossier.until("COMPLETED")
    payload = await _releases(dossier)
    assert payload["creditNote"]["amount"]["amount"] == "10.00"
    assert await _refunds(dossier) == [("DUE", "10.00")]


async def _owes(dossier: Dossier, amount: str) -> bool:
    return await _outstanding(dossier) == amount


async def test_who_cancels_gets_all_of_it_back_with_the_rest(town: Town) -> None:
    dossier = await _asked(town)
    await dossier.transfers("60.00")
    await until(lambda: _owes(dossier, "90.00"))
    await town.does(HANDLER, "caseCancel", id=dossier.id, input={"reason": "De zaal is afgebrand."})
    assert await _refunds(dossier) == [("DUE", "60.00")]
    refusal = await town.refused(FINANCE, "depositReturn", caseId=dossier.id)
    assert refusal["code"] == "TRANSITION_NOT_ALLOWED"
    assert "DEPOSIT_END" not in await dossier.timers()


# ── refused ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"kept": "50.01", "reason": "Stuk"}, "VALIDATION"),
        ({"kept": "-0.01", "reason": "Stuk"}, "VALIDATION"),
        ({"kept": "0.001", "reason": "Stuk"}, "VALIDATION"),
        ({"kept": "10"}, "REQUIRED"),
    ],
)
async def test_what_cannot_be_kept_is_refused_and_changes_nothing(
    town: Town, told: Json, code: str, paid: Dossier
) -> None:
    refusal = await town.refused(FINANCE, "depositReturn", caseId=paid.id, input=told)
    assert refusal["code"] == code
    assert "DEPOSIT_RETURNED" not in await paid.events()


@pytest.fixture(scope="module")
async def paid(town: Town) -> Dossier:
    return await _rented(town)


async def test_who_handles_a_case_gives_no_money_back(town: Town, paid: Dossier) -> None:
    for who in (HANDLER, OPERATOR, paid.who):
        refusal = await town.refused(who, "depositReturn", caseId=paid.id)
        assert refusal["code"] in ("NOT_ALLOWED", "NOT_FOUND")


async def test_before_its_end_nothing_of_a_case_is_released(town: Town) -> None:
    dossier = await _asked(town)
    refusal = await town.refused(FINANCE, "depositReturn", caseId=dossier.id)
    assert refusal["code"] == "TRANSITION_NOT_ALLOWED"
    assert "DEPOSIT_RETURN" not in await dossier.actions(FINANCE)


# ── asked ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_after_some_days_finance_is_asked_once_what_becomes_of_it(town: Town) -> None:
    dossier = await _rented(town)
    assert await dossier.timers() == {"DEPOSIT_END"}
    day = "(({} AT TIME ZONE 'Europe/Brussels')::date)"
    days = f"{day.format('due_at')} - {day.format('c.closed_at')}"
    rows = await town.sql(
        f'SELECT {days} AS days FROM timer JOIN "case" c ON c.id = case_id'  # noqa: S608  # our words
        " WHERE case_id = :id AND state = 'ARMED'",
        id=decode_id(dossier.id, "Case"),
    )
    assert [row.days for row in rows] == [14]
    await dossier.fires("DEPOSIT_END")
    assert await dossier.tasks() == ["DEPOSIT_DUE"]
    assert await dossier.timers() == set()
    await _releases(dossier)
    assert "DEPOSIT_DUE" not in await dossier.tasks()


async def test_while_what_was_granted_holds_nobody_is_asked(town: Town) -> None:
    dossier = await _rented(town)
    await town.sql(
        'UPDATE "case" SET valid_until = current_date + 20 WHERE id = :id', id=decode_id(dossier.id, "Case")
    )
    await dossier.fires("DEPOSIT_END")
    assert (await dossier.tasks(), await dossier.timers()) == ([], {"DEPOSIT_END"})


async def test_a_deposit_is_nothing_that_is_ordered(town: Town) -> None:
    dossier = await _asked(town)
    (letter,) = [one for one in await dossier.letters() if "goedgekeurd" in one["subject"]]
    assert "1 × Hall" in letter["text"]
    assert "1 × Waarborg" not in letter["text"]
    document = '{ procedure(key: "hall") { catalogue { key deposit } } }'
    seen = await town.ask(None, document)
    assert [one["deposit"] for one in seen["procedure"]["catalogue"]] == [False, True]


# ── anything at all ───────────────────────────────────────────────────────────────────────────────────

SEQUENCES = int(os.environ.get("SEQUENCES", "3"))
CENTS = st.integers(min_value=1, max_value=16_000).map(lambda cents: str(Decimal(cents).scaleb(-2)))
ACTIONS = st.one_of(
    st.tuples(st.sampled_from(["transfers", "credits", "releases"]), CENTS),
    st.tuples(
        st.sampled_from(["pays", "writes off", "hands over", "releases all", "pays back"]), st.just("0")
    ),
)


async def _does(dossier: Dossier, invoice: str, what: str, amount: str) -> None:
    """Each may be refused: then it changes nothing."""
    town = dossier.town
    told: Json = {"reason": "Zo is het."}
    match what:
        case "transfers" | "pays":
            owed = await _outstanding(dossier)
            if what == "transfers" or Decimal(owed) > 0:
                await dossier.transfers(amount if what == "transfers" else owed)
        case "credits":
            await town.tries(FINANCE, "invoiceCredit", id=invoice, input=told | {"amount": amount})
        case "writes off":
            await town.tries(FINANCE, "invoiceWriteOff", id=invoice, input=told)
        case "hands over":
            await town.tries(OPERATOR, "timerFire", caseId=dossier.id, kind="PAYMENT_END")
        case "releases" | "releases all":
            kept = str(min(Decimal(amount), Decimal(50)))
            await town.tries(FINANCE, "depositReturn", caseId=dossier.id, input=told | {"kept": kept})
        case "pays back":
            for refund in (await dossier.read(fields="refunds { id }"))["refunds"]:
                await town.tries(FINANCE, "refundOrder", id=refund["id"])
        case _:
            raise AssertionError(what)


@given(actions=st.lists(ACTIONS, min_size=5, max_size=12))
@settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=list(HealthCheck))
async def test_no_sequence_releases_more_than_was_held(town: Town, actions: list[tuple[str, str]]) -> None:
    dossier = await _asked(town)
    invoice = (await dossier.read())["invoice"]["id"]
    for what, amount in actions:
        await _does(dossier, invoice, what, amount)
    await dossier.calm()
    rows = await town.sql(
        "SELECT (data ->> 'amount')::numeric AS released FROM event"
        " WHERE case_id = :id AND type = 'DEPOSIT_RETURNED'",
        id=decode_id(dossier.id, "Case"),
    )
    assert len(rows) <= 1
    assert all(0 <= row.released <= 50 for row in rows)
    (row,) = await town.sql(
        "SELECT amount, paid, credited, written_off, amount - paid - credited - written_off AS open"
        " FROM invoice WHERE case_id = :id",
        id=decode_id(dossier.id, "Case"),
    )
    assert min(row) >= 0


async def test_in_the_end_nothing_stays_open_and_all_books_agree(town: Town) -> None:
    await nothing_stays_open(town)
    today = datetime.now(BRUSSELS).date().isoformat()
    payload = await town.does(
        FINANCE, "reconciliationRun", "reconciliation { id }", **{"from": today, "to": today}
    )
    seen: Json = {}

    async def done() -> bool:
        document = """query($id: ID!) { node(id: $id) { ... on Reconciliation {
            endedAt differences { kind detail case { reference } } } } }"""
        answer = await town.ask(FINANCE, document, id=payload["reconciliation"]["id"])
        seen.update(answer["node"])
        return seen["endedAt"] is not None

    await until(done)
    assert seen["differences"] == []


# ── what a file may say ───────────────────────────────────────────────────────────────────────────────


def _with_vat(told: Json) -> None:
    told["catalogue"]["products"][1]["vat"] = {"rate": 21}


def _with_discount(told: Json) -> None:
    told["catalogue"]["products"][1]["first_unit_discount"] = {"amount": 5, "from": "2026-01-01"}


def _silently(told: Json) -> None:
    del told["texts"]["messages"]["DEPOSIT_RETURNED"]


def _freely(told: Json) -> None:
    free = {"key": "young", "title": "Jong", "when": "applicant.age < 18", "products": ["deposit"]}
    told["catalogue"]["free"] = [free]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (_with_vat, "a deposit is outside the scope of VAT"),
        (_with_discount, "a deposit comes back whole"),
        (_silently, "DEPOSIT_RETURNED has no message"),
        (_freely, "comes back"),
    ],
    ids=["taxed", "discounted", "untold", "free"],
)
def test_a_deposit_that_makes_no_sense_is_not_published(
    tmp_path: Path, wrong: Callable[[Json], None], said: str
) -> None:
    def changed(told: Json) -> None:
        rents_out(told)
        wrong(told)

    shop(tmp_path, "hall", "screening, decision, payment", changed)
    with pytest.raises(DefinitionError, match=said):
        publishing.load(tmp_path / "hall.yaml")

"""Many at once: whoever asks at the same time gets one case, one place, one share, one say."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, time, timedelta

import pytest
from sqlalchemy import text

from loket import cases, deliveries, orders
from loket.ids import decode_id, encode_id
from loket.lifecycle import Action, ApplicationStatus, EventType
from loket.records import Application, Person
from loket.terms import BRUSSELS
from loket.work import the_system
from town import HANDLER, OPERATOR, Dossier, Json, Town, copied, nothing_stays_open, opened, until

PLACES = 10
PLANNED_FIRST = "planned-first"
BY_HAND = {
    "applicant": {
        "address": {"street": "Beekdal", "number": "27", "postal_code": "2999", "city": "Lindebeke"},
    },
    "delivery": {"place": "home"},
}
ELSEWHERE = {
    "delivery": {
        "place": "other",
        "address": {"street": "Markt", "number": "8", "postal_code": "2400", "city": "Mol"},
    }
}


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    copies = tmp_path_factory.mktemp("procedures")
    copied(copies, PLANNED_FIRST, "planning, screening, decision, payment, delivery", journal="VG")
    folder = tmp_path_factory.mktemp("town")
    async with opened(module_database_url, folder, procedures=str(copies)) as found:
        yield found


# ── one application ───────────────────────────────────────────────────────────────────────────────────


async def test_fifty_identical_submissions_are_one_case_with_one_answer(town: Town) -> None:
    who = town.somebody()
    draft = await town.fills_in(who)
    fields = "application { status } case { id reference submittedAt }"
    answers = await asyncio.gather(
        *(town.does(who, "applicationSubmit", fields, id=draft, idempotencyKey="once") for _ in range(50))
    )
    assert all(answer == answers[0] for answer in answers)
    dossier = _dossier(town, who, answers[0]["case"])
    assert await _cases_of(town, who) == [dossier.reference]
    assert (await dossier.dosis())[0] == ("Ingediend", "Samenstelling")
    assert len(await dossier.dosis()) == 4
    assert await dossier.entries() == [("INVOICE", "28.00")]


async def test_fifty_submissions_of_one_draft_under_other_keys_are_one_case(town: Town) -> None:
    who = town.somebody()
    draft = await town.fills_in(who)
    answers = await asyncio.gather(
        *(town.tries(who, "applicationSubmit", "case { id reference }", id=draft) for _ in range(50))
    )
    (granted,) = [answer for answer in answers if answer["case"]]
    codes = Counter(one["code"] for answer in answers for one in answer["errors"])
    assert codes == {"TRANSITION_NOT_ALLOWED": 49}
    assert await _cases_of(town, who) == [granted["case"]["reference"]]


async def test_a_key_that_was_used_for_something_else_is_refused(town: Town) -> None:
    who = town.somebody()
    first, second = [await town.fills_in(who) for _ in range(2)]
    await town.does(who, "applicationSubmit", id=first, idempotencyKey="mine")
    refusal = await town.refused(who, "applicationSubmit", id=second, idempotencyKey="mine")
    assert (refusal["code"], refusal["__typename"]) == ("IDEMPOTENCY_MISMATCH", "IdempotencyMismatch")
    other = town.somebody()
    await town.does(other, "applicationSubmit", id=await town.fills_in(other), idempotencyKey="mine")


async def test_a_refused_wish_leaves_its_key_free(town: Town) -> None:
    who = town.somebody()
    payload = await town.does(who, "applicationStart", "application { id }", procedure="compost-bin")
    draft = payload["application"]["id"]
    refused = await town.tries(who, "applicationSubmit", "case { id }", id=draft, idempotencyKey="later")
    assert {one["code"] for one in refused["errors"]} == {"REQUIRED"}
    assert len(refused["errors"]) > 2
    given = {"contact": {}, "delivery": {"place": "home"}, "declaration": True}
    await town.does(who, "applicationSetAnswers", id=draft, input=given)
    await town.does(who, "applicationSetCart", id=draft, input={"lines": [{"product": "bak", "quantity": 1}]})
    await town.does(who, "applicationSubmit", "case { id }", id=draft, idempotencyKey="later")


async def _cases_of(town: Town, who: str) -> list[str]:
    seen = await town.ask(who, "{ viewer { cases(first: 50) { nodes { reference } } } }")
    return [one["reference"] for one in seen["viewer"]["cases"]["nodes"]]


def _dossier(town: Town, who: str, case: Json) -> Dossier:
    return Dossier(town, who, case["id"], case["reference"])


# ── one household ─────────────────────────────────────────────────────────────────────────────────────


async def test_two_members_of_a_household_never_get_more_than_its_maximum(town: Town) -> None:
    for _ in range(3):
        drafts = [
            (who, await town.fills_in(who, cart={"bak": number}))
            for who, number in (("an", 2), ("bert", 2), ("an", 1))
        ]
        payloads = await asyncio.gather(
            *(town.does(who, "applicationSubmit", "case { id reference }", id=draft) for who, draft in drafts)
        )
        dossiers = [_dossier(town, who, one["case"]) for (who, _), one in zip(drafts, payloads, strict=True)]
        cases = [await one.read() for one in dossiers]
        taken = [
            sum(line["quantity"] for line in case["invoice"]["lines"] if line["description"] == "Compostbak")
            for case in cases
            if case["status"] == "AWAITING_PAYMENT"
        ]
        assert {case["status"] for case in cases} == {"AWAITING_PAYMENT", "INADMISSIBLE"}
        assert 2 <= sum(taken) <= 3
        assert await _counted(town) == sum(taken)
        discounts = [line for case in cases if case["invoice"] for line in case["invoice"]["lines"]
                     if line["description"].startswith("Korting")]  # fmt: skip
        assert len(discounts) == 1
        for dossier, case in zip(dossiers, cases, strict=True):
            if case["status"] == "AWAITING_PAYMENT":
                await town.does(dossier.who, "caseWithdraw", id=dossier.id)
        assert await _counted(town) == 0


async def _counted(town: Town) -> int:
    """How many bins the database counts for the household of An and Bert this year."""
    rows = await town.sql(
        """SELECT quota.quantity FROM quota JOIN "case" ON "case".household_index = quota.household_index
             JOIN person ON person.id = "case".person_id
            WHERE person.given_name = 'An' AND quota.product = 'bak'
              AND quota.period = extract(year FROM now()) LIMIT 1"""
    )
    return int(rows[0].quantity)


# ── one slot ──────────────────────────────────────────────────────────────────────────────────────────


async def _crowd(town: Town, size: int) -> list[str]:
    """The ids of so many cases that wait for a slot: of people without national number, so nobody is asked
    about them, and opened by the verbs, without a word to anybody, since the doors would take long."""
    loket = town.served.loket
    (definition,) = [one for one in loket.procedures.values() if one.key == PLANNED_FIRST]
    ids = []
    async with loket.work(the_system()) as work:
        for number in range(size):
            person = Person(given_name="Iemand", family_name=str(number), created_at=work.now)
            application = Application(
                procedure_key=definition.key,
                procedure_version=definition.version,
                person_id=person.id,
                status=ApplicationStatus.SUBMITTED,
                answers=BY_HAND,
                cart=[{"product": "bak", "quantity": 1}],
                started_at=work.now,
                updated_at=work.now,
                expires_at=work.now,
            )
            work.session.add(person)
            await work.session.flush()
            work.session.add(application)
            await work.session.flush()
            case = await cases.open_for(work, application, definition)
            await orders.place(work, case, application.cart)
            await cases.advance(work, case, Action.BEGIN)
            await deliveries.invite(work, case)
            work.entered.clear()
            work.happened.clear()
            ids.append(encode_id("Case", case.id))
    return ids


async def _slot(town: Town, hour: int, capacity: int = PLACES) -> Json:
    """A slot of one's own, with its number in the planning tool."""
    soon = datetime.now(BRUSSELS).date() + timedelta(days=10)
    friday = soon + timedelta(days=(4 - soon.weekday()) % 7)
    starts_at = datetime.combine(friday, time(hour), BRUSSELS)
    times = {"startsAt": starts_at.isoformat(), "endsAt": (starts_at + timedelta(hours=1)).isoformat()}
    made = await town.order("planning", "slots", **times, capacity=capacity)
    await town.sql("UPDATE slot SET refreshed_at = refreshed_at - interval '1 day'")
    (case,) = await _crowd(town, 1)
    document = "query($id: ID!) { deliverySlots(caseId: $id) { id startsAt free } }"
    slots = (await town.ask(HANDLER, document, id=case))["deliverySlots"]
    (slot,) = [one for one in slots if datetime.fromisoformat(one["startsAt"]) == starts_at]
    return {**slot, "external": made["id"]}


async def test_two_hundred_who_want_one_of_ten_places_get_ten(town: Town) -> None:
    slot = await _slot(town, 13)
    answers = await asyncio.gather(
        *(
            town.tries(HANDLER, "deliveryBookSlot", "delivery { status }", caseId=case, slotId=slot["id"])
            for case in await _crowd(town, 200)
        )
    )
    granted = [one for one in answers if not one["errors"]]
    refused = [one["errors"][0] for one in answers if one["errors"]]
    assert len(granted) == PLACES
    assert Counter(one["code"] for one in refused) == {"SLOT_FULL": 200 - PLACES}
    offered = {other["slotId"] for one in refused for other in one["alternatives"]}
    assert all(one["alternatives"] for one in refused)
    assert slot["id"] not in offered
    (late,) = await _crowd(town, 1)
    await town.does(HANDLER, "deliveryBookSlot", caseId=late, slotId=offered.pop())
    await until(lambda: _heard_of(town, slot, PLACES))


async def test_held_places_count_as_taken(town: Town) -> None:
    slot = await _slot(town, 14)
    crowd = await _crowd(town, 40)
    holding, booking = crowd[:20], crowd[20:]
    answers = await asyncio.gather(
        *(town.tries(HANDLER, "deliveryHoldSlot", caseId=case, slotId=slot["id"]) for case in holding),
        *(town.tries(HANDLER, "deliveryBookSlot", caseId=case, slotId=slot["id"]) for case in booking),
    )
    assert len([one for one in answers if not one["errors"]]) == PLACES


async def test_two_who_swap_places_never_wait_for_each_other(town: Town) -> None:
    slots = [await _slot(town, hour, capacity=4) for hour in (15, 16)]
    cases = await _crowd(town, 4)
    for number, case in enumerate(cases):
        await town.does(HANDLER, "deliveryBookSlot", caseId=case, slotId=slots[number % 2]["id"])
    for turn in range(1, 6):
        await asyncio.gather(
            *(
                town.does(HANDLER, "deliveryReschedule", caseId=case, slotId=slots[(number + turn) % 2]["id"])
                for number, case in enumerate(cases)
            ),
            town.sql("UPDATE slot SET refreshed_at = refreshed_at - interval '1 day'"),
            town.ask(HANDLER, "query($id: ID!) { deliverySlots(caseId: $id) { id } }", id=cases[0]),
        )
    for slot in slots:
        await until(lambda slot=slot: _heard_of(town, slot, 2))  # type: ignore[misc]  # mypy loses the default


async def test_who_does_not_choose_gets_the_next_slot_when_the_first_was_just_taken(town: Town) -> None:
    (case,) = await _crowd(town, 1)
    document = "query($id: ID!) { deliverySlots(caseId: $id) { id } }"
    first, second, *_ = (await town.ask(HANDLER, document, id=case))["deliverySlots"]
    taken = {"id": decode_id(first["id"], "Slot")}

    async def waits() -> bool:
        return bool(
            await town.sql(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )

    async with town.served.loket.database.transaction() as session:
        await session.execute(text("UPDATE slot SET taken = capacity WHERE id = :id"), taken)
        planning = asyncio.create_task(town.does(OPERATOR, "timerFire", caseId=case, kind="SLOT_END"))
        await until(waits)
    await planning
    fields = "... on Case { delivery { booking { status slot { id } } } }"
    told = await town.ask(HANDLER, f"query($id: ID!) {{ node(id: $id) {{ {fields} }} }}", id=case)
    assert told["node"]["delivery"]["booking"] == {"status": "BOOKED", "slot": {"id": second["id"]}}
    await town.sql(
        "UPDATE slot SET taken = (SELECT count(*) FROM booking WHERE slot_id = slot.id"
        " AND status IN ('HELD', 'BOOKED')) WHERE id = :id",
        **taken,
    )


async def test_nobody_is_left_in_a_slot_that_falls_away_while_it_is_booked(town: Town) -> None:
    for hour in (17, 18, 19):
        slot = await _slot(town, hour)
        crowd = await _crowd(town, 8)
        await asyncio.gather(
            *(town.tries(HANDLER, "deliveryBookSlot", caseId=case, slotId=slot["id"]) for case in crowd),
            town.order("planning", f"slots/{slot['external']}/cancel", reason="Ijzel"),
        )
        await until(lambda slot=slot: _all_told(town, slot))  # type: ignore[misc]  # mypy loses the default
        rows = await town.sql(
            "SELECT FROM booking JOIN slot ON slot.id = booking.slot_id WHERE slot.id = :id"
            " AND booking.status IN ('HELD', 'BOOKED')",
            id=decode_id(slot["id"], "Slot"),
        )
        assert rows == []


async def _heard_of(town: Town, slot: Json, number: int) -> bool:
    """Whether the planning tool has so many places given away in a slot."""
    bookings = await town.look("planning", "bookings", slot=slot["external"])
    return len([one for one in bookings if one["status"] == "BOOKED"]) == number


async def _all_told(town: Town, slot: Json) -> bool:
    told = await town.look("planning", "callbacks", type="slot.cancelled")
    heard = all(one["state"] == "HEARD" for one in told)
    rows = await town.sql("SELECT state FROM slot WHERE id = :id", id=decode_id(slot["id"], "Slot"))
    return heard and bool(rows[0].state == "CANCELLED")


# ── one case ──────────────────────────────────────────────────────────────────────────────────────────


async def test_of_two_handlers_who_saw_the_same_one_decides(town: Town) -> None:
    dossier = await town.applies(answers=ELSEWHERE)
    seen = (await dossier.read(HANDLER, "version"))["version"]
    answers = await asyncio.gather(
        *(
            town.tries(who, "decisionTake", "case { status version }", caseId=dossier.id,
                       input={"granted": True}, expectedVersion=seen)
            for who in (HANDLER, OPERATOR)
        )
    )  # fmt: skip
    (granted,) = [one["case"] for one in answers if not one["errors"]]
    (refused,) = [one["errors"][0] for one in answers if one["errors"]]
    assert granted["status"] == "AWAITING_PAYMENT"
    assert (refused["code"], refused["currentVersion"]) == ("VERSION_CONFLICT", granted["version"])


async def test_who_waited_for_a_case_is_later_than_what_they_waited_for(town: Town) -> None:
    """DOSIS takes the time of a change for its order."""
    dossier = await town.applies(answers=ELSEWHERE)
    case_id = decode_id(dossier.id, "Case")
    async with town.served.loket.work(the_system()) as early:
        await town.does(HANDLER, "caseAssign", id=dossier.id)
        await cases.record(early, await cases.get(early, case_id), EventType.NOTE_ADDED)
    rows = await town.sql(
        "SELECT occurred_at FROM event WHERE case_id = :id AND case_version > 0 ORDER BY case_version",
        id=case_id,
    )
    moments = [row.occurred_at for row in rows]
    assert moments == sorted(moments)
    assert moments[-1] > moments[-2], "nor is it of the same moment"


async def test_of_twenty_who_decide_one_wins_and_the_others_hear_what_is(town: Town) -> None:
    dossier = await town.applies(answers=ELSEWHERE)
    grant = {"granted": True}
    refuse = {"granted": False, "motivationLegal": "Artikel 5", "motivationFactual": "Het is in Mol."}
    answers = await asyncio.gather(
        *(
            town.tries(who, "decisionTake", "case { status }", caseId=dossier.id, input=wish)
            for who in (HANDLER, OPERATOR)
            for wish in (grant, refuse)
            for _ in range(5)
        )
    )
    (granted,) = [one["case"] for one in answers if not one["errors"]]
    refused = [one["errors"][0] for one in answers if one["errors"]]
    assert {(one["code"], one["currentStatus"]) for one in refused} == {
        ("TRANSITION_NOT_ALLOWED", granted["status"])
    }
    events = await dossier.events()
    assert events.count("APPROVED") + events.count("REJECTED") == 1


async def test_who_withdraws_while_the_money_comes_ends_with_neither_debt_nor_loss(town: Town) -> None:
    for _ in range(4):
        dossier = await town.applies()
        page = await dossier.goes_to_pay()
        await asyncio.gather(
            town.order("worldline", f"checkouts/{page}/pay"),
            town.tries(dossier.who, "caseWithdraw", id=dossier.id),
        )
        await until(lambda dossier=dossier: _all_paid_back(dossier))  # type: ignore[misc]  # as above
        assert (await dossier.read())["status"] == "WITHDRAWN"
        assert sorted(await dossier.entries()) == [
            ("CREDIT_NOTE", "28.00"), ("INVOICE", "28.00"), ("PAYMENT", "28.00"), ("REFUND", "28.00"),
            ("REFUND_DUE", "28.00"),
        ]  # fmt: skip


async def test_two_halves_that_arrive_at_once_pay_the_whole(town: Town) -> None:
    dossier = await town.applies()
    await asyncio.gather(*(dossier.transfers("14.00") for _ in range(2)))
    case = await dossier.until("AWAITING_SLOT")
    assert (case["invoice"]["status"], case["refunds"]) == ("PAID", [])
    assert (await dossier.events()).count("PAID") == 1


async def test_invoices_made_at_once_are_numbered_without_gaps(town: Town) -> None:
    people = [town.somebody() for _ in range(12)]
    drafts = await asyncio.gather(*(town.fills_in(who) for who in people))
    await asyncio.gather(
        *(town.does(who, "applicationSubmit", id=draft) for who, draft in zip(people, drafts, strict=True))
    )
    rows = await town.sql("SELECT sequence FROM invoice WHERE journal = 'VF' ORDER BY sequence")
    assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))


async def _all_paid_back(dossier: Dossier) -> bool:
    case = await dossier.read(dossier.who, "refunds { status }")
    return [one["status"] for one in case["refunds"]] == ["DONE"]


async def test_in_the_end_nothing_stays_open(town: Town) -> None:
    await nothing_stays_open(town)

"""A body decides: what is proposed, what comes before it, what comes back however often, and the letter."""

import asyncio
import base64
import contextlib
import hashlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from loket import agenda, cases, decisions, hearsay, sittings, stages, timers, withdrawals
from loket.hearsay import Heard, Signatory
from loket.ids import decode_id
from loket.lifecycle import DecisionStatus, Role
from loket.proposals import Wish
from loket.records import ActorKind, Case
from loket.sandbox import personas
from loket.systems.minutes_item import Meeting, Outcome
from loket.work import Actor, Work, the_system
from premiums import Json, rule, written
from town import FINANCE, HANDLER, OPERATOR, Dossier, Town, opened, until

SECRETARIAT, SECOND = "sandra", "farah"
IBAN = "BE68 5390 0754 7034"
SIGNED = [
    {"name": "Leen Verhaegen", "function": "burgemeester", "signedOn": "2026-11-20"},
    {"name": "Joris Van den Broeck", "function": "algemeen directeur", "signedOn": "2026-11-20"},
]
ACCEPTED = {"result": "ACCEPTED", "decidedOn": "2026-11-20", "signatories": SIGNED}
PAPER = b"%PDF-1.7 het besluit"
DECISION = """decision { id status version body proposal amount { amount }
    benefits { key granted amount } meetingOn conditions motivationLegal motivationFactual
    text decidedOn signatories { name function signedOn } documentSha256
    document { kind url } agendaItem { externalIdentifier itemUid title state meetingOn }
    letter { way status legalValue registeredNumber document { url } } }"""
_minutes_from_now = itertools.count(1)


def _of_the_college(told: Json) -> None:
    """Screened by rule, weighed by a handler, decided by the college; one of its three sums is a person's."""
    told["stages"] = ["screening", "assessment", "decision", "payout"]
    told["phases"][-1]["stages"] = told["stages"]
    told["title"] = "Premie"
    told["screening"], told["checks"], told["documents"] = {"by": "rule"}, [], []
    told["rules"] = {"screening": [rule("here", "applicant.address.nis == municipality.nis")]}
    home, own = told["benefits"]
    told["benefits"] = [
        home | {"per": "applicant", "when": "household.members > 50", "title": "Premie voor grote gezinnen"},
        own | {"when": "true", "title": "Premie voor iedereen"},
        own | {"key": "child", "asked": "'child' in application.benefits", "when": "'REFER'"},
    ]
    told["form"]["schema"]["properties"]["iban"] = {"type": "string", "format": "iban"}
    told["payout"] = {"account_field": "/iban", "remittance": "Premie {reference}"}
    told["decision"] = {
        "by": "COLLEGE",
        "legal_delivery": True,
        "articles_granted": ["Het college kent in {reference} {amount} toe: {benefits}."],
        "articles_refused": ["Het college weigert de premie in {reference}."],
        "agenda": {"proposing_group": "sociale-dienst", "item_title": "{procedure}: beslissingen ({count})"},
    }
    messages = told["texts"]["messages"]
    for event in ("APPROVED", "PARTLY_APPROVED", "REJECTED"):
        messages[event] = _message("Er is nieuws", "Kijk in uw dossier.")
    messages["PAID_OUT"] = _message("Betaald", "Wij stortten {granted}.")
    messages["ACCOUNT_NEEDED"] = _message("Uw rekening", "{reason} Antwoord voor {answer_by}.")
    messages["DECISION_WITHDRAWN"] = _message("Ingetrokken", "De beslissing geldt niet meer. {reason}")
    messages["DECISION_ON_AGENDA"] = _message("Op de agenda", "{body} vergadert op {meeting_on}.")


def _message(subject: str, body: str) -> Json:
    return {"subject": f"{subject} ({{reference}})", "body": body, "sms": body}


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    written(folder, "premie", _of_the_college)
    home = tmp_path_factory.mktemp("town")
    async with opened(module_database_url, home, procedures=str(folder)) as found:
        yield found


# ── the road to the college ───────────────────────────────────────────────────────────────────────────


async def _weighed(town: Town, *asked: str, who: str | None = None) -> Dossier:
    """A case that its handler can prepare."""
    who = who or town.somebody()
    payload = await town.does(who, "applicationStart", "application { id }", procedure="premie")
    draft = payload["application"]["id"]
    answers = {"benefits": list(asked or ["own"]), "iban": IBAN}
    await town.does(who, "applicationSetAnswers", id=draft, input=answers)
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=draft)
    dossier = Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])
    await dossier.until("ASSESSMENT")
    return dossier


async def _prepared(town: Town, *asked: str, **input: object) -> Dossier:
    dossier = await _weighed(town, *asked)
    await town.does(HANDLER, "decisionPrepare", caseIds=[dossier.id], input=input or None)
    return dossier


async def _convened(town: Town) -> Json:
    """A meeting of the college for one test alone."""
    at = datetime.now(UTC) + timedelta(days=2, minutes=next(_minutes_from_now))
    meeting: Json = await town.order(
        "minutes", "meetings", body="COLLEGE", date=at.replace(tzinfo=None).isoformat()
    )
    return meeting


async def _sent(town: Town, *dossiers: Dossier, meeting: Json | None = None) -> Json:
    """The meeting on whose agenda the cases stand now, as one item."""
    meeting = meeting or await _convened(town)
    ids = [one.id for one in dossiers]
    await town.does(HANDLER, "decisionSendToMinutes", caseIds=ids, meetingUid=meeting["UID"])
    for one in dossiers:
        await until(lambda one=one: _is(one, "ON_AGENDA"))  # type: ignore[misc]  # bound here
    return meeting


async def _decision(dossier: Dossier, who: str = OPERATOR) -> Json:
    decision: Json = (await dossier.read(who, DECISION))["decision"]
    return decision


async def _is(dossier: Dossier, status: str) -> bool:
    decision: Json | None = (await dossier.read(fields="decision { status }"))["decision"]
    return decision is not None and str(decision["status"]) == status


async def _has_task(dossier: Dossier, kind: str) -> bool:
    return kind in await dossier.tasks()


async def _sits(
    town: Town, meeting: Json, dossier: Dossier, result: str, *, tell: bool = True, **said: str
) -> Json:
    """The college decides on the item of a case; the item."""
    item = (await _decision(dossier))["agendaItem"]
    asked = [{"uid": item["itemUid"], "result": result} | said]
    told = await town.order(
        "minutes", f"meetings/{meeting['UID']}/decide", items=asked, heldNow=True, tell=tell
    )
    decided: Json = told["items"][0]
    return decided


async def _signs(town: Town, item: Json, *, tell: bool = True) -> None:
    await town.order("minutes", f"items/{item['UID']}/sign", tell=tell)


async def _box(town: Town, who: str) -> Json:
    citizen = personas.person(who)
    assert isinstance(citizen, personas.Citizen)
    box: Json = await town.look("ebox", f"ebox/{citizen.insz}")
    return box


async def _with_ebox(town: Town, *asked: str, active: bool) -> Dossier:
    who = town.somebody()
    citizen = personas.person(who)
    assert isinstance(citizen, personas.Citizen)
    await town.order("ebox", f"ebox/{citizen.insz}", active=active)
    dossier = await _weighed(town, *asked, who=who)
    await town.does(HANDLER, "decisionPrepare", caseIds=[dossier.id])
    return dossier


async def test_a_signed_decision_grants_and_its_letter_lies_in_the_ebox(town: Town) -> None:
    dossier = await _with_ebox(town, "own", active=True)
    drafted = await _decision(dossier)
    assert (drafted["status"], drafted["body"], drafted["proposal"]) == ("DRAFT", "COLLEGE", "GRANTED")
    assert drafted["amount"]["amount"] == "70.50"
    assert drafted["motivationLegal"]
    assert drafted["motivationFactual"]
    assert (await dossier.read(fields="status"))["status"] == "AWAITING_DECISION"
    meeting = await _sent(town, dossier)
    on = (await _decision(dossier, dossier.who))["meetingOn"]
    assert on == meeting["date"][:10]
    item = await _sits(town, meeting, dossier, "accepted")
    await until(lambda: _state(dossier, "accepted"))
    assert await _is(dossier, "ON_AGENDA"), "nobody signed yet"
    await _signs(town, item)
    await dossier.until("AWAITING_PAYOUT")
    decision = await _decision(dossier)
    assert decision["status"] == "GRANTED"
    assert [one["function"] for one in decision["signatories"]] == ["burgemeester", "algemeen directeur"]
    content = (await town.client.get(decision["document"]["url"])).content
    assert hashlib.sha256(content).hexdigest() == decision["documentSha256"]
    await until(lambda: _letter_is(dossier, "SENT"))
    letter = (await _decision(dossier, dossier.who))["letter"]
    assert (letter["way"], letter["legalValue"]) == ("EBOX", "LEGAL")
    (lying,) = [one for one in (await _box(town, dossier.who))["messages"] if dossier.reference in str(one)]
    assert lying
    events = await dossier.events()
    wanted = ["DECISION_PREPARED", "DECISION_SENT", "DECISION_ON_AGENDA", "DECISION_SIGNED", "APPROVED"]
    assert [one for one in events if one in wanted] == wanted
    assert events.count("LETTER_SENT") == 1
    messages = (await dossier.read(fields="messages { nodes { channel legalValue status } }"))["messages"][
        "nodes"
    ]
    assert {"channel": "LETTER", "legalValue": "LEGAL", "status": "SENT"} in messages
    assert {one["legalValue"] for one in messages if one["channel"] != "LETTER"} == {"INFORMATIVE"}
    assert await dossier.timers() == {"PAYOUT_END", "EBOX_POLL"}
    await dossier.fires("EBOX_POLL")
    await until(lambda: _letter_is(dossier, "DELIVERED"))
    messages = (await dossier.read(fields="messages { nodes { channel status } }"))["messages"]["nodes"]
    assert {"channel": "LETTER", "status": "DELIVERED"} in messages
    assert await dossier.timers() == {"PAYOUT_END"}


async def _state(dossier: Dossier, state: str) -> bool:
    return bool((await _decision(dossier))["agendaItem"]["state"] == state)


async def _letter_is(dossier: Dossier, status: str) -> bool:
    letter = (await _decision(dossier))["letter"]
    return letter is not None and letter["status"] == status


async def test_the_same_decision_heard_three_times_is_one(town: Town) -> None:
    dossier = await _prepared(town)
    meeting = await _sent(town, dossier)
    item = await _sits(town, meeting, dossier, "accepted", tell=False)
    await _signs(town, item)
    await dossier.until("AWAITING_PAYOUT")
    await town.order("minutes", f"items/{item['UID']}/tell")
    identifier = (await _decision(dossier))["agendaItem"]["externalIdentifier"]
    on = (await _decision(dossier))["decidedOn"]
    again = ACCEPTED | {"decidedOn": on}
    for _ in range(2):
        await town.does(SECRETARIAT, "decisionRecord", externalIdentifier=identifier, input=again)
    await dossier.calm()
    assert (await dossier.events()).count("APPROVED") == 1
    assert "DECISION_DIFFERS" not in await dossier.tasks()
    rows = await town.sql("SELECT FROM letter WHERE case_id = :id", id=decode_id(dossier.id, "Case"))
    assert len(rows) == 1


class _Undone(Exception):
    """Rolls a transaction back: the next order of words begins where this one did."""


async def test_asked_told_and_recorded_in_any_order_and_twice_are_one_decision(town: Town) -> None:
    dossier = await _prepared(town)
    await _sent(town, dossier)
    uid = (await _decision(dossier))["agendaItem"]["itemUid"]
    on, sha256 = date(2026, 11, 20), hashlib.sha256(PAPER).hexdigest()
    two = tuple(Signatory(one["name"], one["function"], on) for one in SIGNED)
    accepted = Heard(Outcome.ACCEPTED, on, item_uid=uid, signatories=two, content=PAPER, sha256=sha256)
    words = (
        replace(accepted, state="accepted", signatories=(), content=None, sha256=""),
        replace(accepted, state="accepted"),
        accepted,
        Heard(Outcome.ACCEPTED, on, signatories=two),
        Heard(Outcome.OPEN, on, item_uid=uid, state="itempublished"),
    )
    for order in itertools.permutations(words):
        end = await _end_after(town, dossier, [word for word in order for _ in range(2)])
        counts = end.signatories, end.approvals, end.letters
        assert (end.status, end.sha256, *counts) == ("GRANTED", sha256, 2, 1, 1), order
        assert end.tasks == {"ORDER_PAYOUT"}, order


@dataclass(frozen=True)
class End:
    """Where a case got to."""

    status: str
    sha256: str
    signatories: int
    approvals: int
    letters: int
    tasks: frozenset[str]

    @property
    def is_a_persons(self) -> bool:
        return not self.tasks.isdisjoint(TO_LOOK_AT)


TO_LOOK_AT = {"DECISION_DIFFERS", "CONFIRM_DECISION", "DECISION_REMOVED", "DECISION_AFTER_WITHDRAWAL"}
A_HANDLER = Actor(ActorKind.STAFF, "Hilde", frozenset({Role.HANDLER}))
Act = Callable[[Work, Case], Awaitable[object]]


async def _end_after(town: Town, dossier: Dossier, words: Sequence[Heard | Act]) -> End:
    """Where a case gets to when this is heard or done, in this order; nothing of it is kept."""
    end: list[End] = []
    with contextlib.suppress(_Undone):
        async with town.served.loket.work(the_system("Minutes")) as work:
            case = await cases.get(work, decode_id(dossier.id, "Case"))
            decision = await decisions.of(work, case)
            assert decision is not None
            assert decision.agenda_item_id is not None
            item_id = decision.agenda_item_id
            for word in words:
                if isinstance(word, Heard):
                    await sittings.heard(work, item_id, word)
                else:
                    await word(work.as_actor(A_HANDLER), case)
                await stages.settle(work)
            connection = await work.session.connection()

            async def column(statement: str) -> list[str]:
                found = await connection.execute(text(statement), {"id": case.id})
                return [row[0] for row in found]

            approved = await column("SELECT type FROM event WHERE case_id = :id AND type = 'APPROVED'")
            letters = await column("SELECT id FROM letter WHERE case_id = :id")
            tasks = await column("SELECT kind FROM task WHERE case_id = :id AND status = 'OPEN'")
            counts = len(decision.signatories), len(approved), len(letters)
            end.append(End(decision.status, decision.document_sha256, *counts, frozenset(tasks)))
            raise _Undone
    return end[0]


async def _words_on(dossier: Dossier) -> tuple[Heard, dict[str, Heard]]:
    """That the item was postponed, and what else can be heard of it after that."""
    item = (await _decision(dossier))["agendaItem"]
    first, back = date.fromisoformat(item["meetingOn"]), f"{item['itemUid']}-back"
    later = first + timedelta(days=7)
    one, two = (tuple(Signatory(f"Tekenaar {n}", "lid", later) for n in range(n)) for n in (1, 2))
    postponed = Heard(Outcome.POSTPONED, first, item_uid=item["itemUid"], state="delayed")
    waits = Heard(Outcome.OPEN, later, item_uid=back, state="presented", successor_of=(item["itemUid"],))
    granted = Heard(Outcome.ACCEPTED, later, item_uid=back, signatories=two)
    modified = replace(granted, result=Outcome.MODIFIED, text="Het college kent 40 euro toe.")
    refused = replace(granted, result=Outcome.REFUSED, text="Het krediet is op.")
    return postponed, {
        "stands on a later agenda": waits,
        "granted": granted,
        "granted, half signed": replace(granted, signatories=one),
        "granted, not signed": replace(granted, signatories=(), state="accepted"),
        "modified": modified,
        "modified, not signed": replace(modified, signatories=()),
        "refused": refused,
        "refused, half signed": replace(refused, signatories=one),
        "refused without words": replace(refused, text=""),
        "removed": Heard(Outcome.REMOVED, later, item_uid=back),
    }


async def _before_the_college(town: Town, *asked: str, **input: object) -> Dossier:
    dossier = await _prepared(town, *asked, **input)
    await _sent(town, dossier)
    return dossier


@pytest.mark.parametrize("asked", [("own",), ("own", "home"), ("home",)], ids=["all", "a part", "nothing"])
async def test_what_is_heard_in_whichever_order_ends_alike_or_with_a_person(
    town: Town, asked: tuple[str, ...]
) -> None:
    dossier = await _before_the_college(town, *asked)
    _, words = await _words_on(dossier)
    for (one, a), (other, b) in itertools.combinations(words.items(), 2):
        ends = [await _end_after(town, dossier, order) for order in ((a, a, b, b), (b, b, a, a))]
        alike, persons = len({end.status for end in ends}) == 1, [end.is_a_persons for end in ends]
        if one.startswith("refused") and other.startswith("refused"):  # without words a person is asked
            assert alike or any(persons), (one, other, ends)
            continue
        assert alike or all(persons), (one, other, ends)
        if {one, other} <= {"granted", "modified", "refused", "refused without words"}:
            assert all(persons), (one, other, ends)


async def test_that_it_was_postponed_before_is_heard_at_any_time(town: Town) -> None:
    dossier = await _before_the_college(town)
    postponed, words = await _words_on(dossier)
    told = replace(postponed, item_uid=None, state="")
    for name, word in words.items():
        alone = await _end_after(town, dossier, [word])
        before = await _end_after(town, dossier, [postponed, postponed, word, word])
        after = await _end_after(town, dossier, [word, word, postponed, postponed])
        assert before == after, name
        assert after == alone, name
        if name not in ("stands on a later agenda", "granted, not signed"):
            assert await _end_after(town, dossier, [word, told]) == alone, (name, "by somebody else")


async def test_a_word_on_what_the_handler_confirmed_is_the_same_or_a_persons(town: Town) -> None:
    dossier = await _before_the_college(town)
    _, words = await _words_on(dossier)
    why = Wish(legal="Artikel 4", fact="Het college besliste zo.")
    partly = replace(why, outcome=DecisionStatus.PARTLY_GRANTED, amount=Decimal(40))
    no = replace(why, outcome=DecisionStatus.REFUSED)
    refusals = {name for name in words if name.startswith("refused")}
    for told, wish, agreeing in (
        ("modified", partly, {"modified", "modified, not signed"}),
        ("modified", no, {"modified", "modified, not signed"} | refusals),
        ("refused without words", no, refusals),
    ):

        async def confirmed(work: Work, case: Case, wish: Wish = wish) -> None:
            await decisions.confirm(work, case, wish)

        for name in words:
            end = await _end_after(town, dossier, [words[told], confirmed, words[name], words[name]])
            assert end.status == wish.outcome, name
            agrees = name in agreeing or name == "stands on a later agenda"
            assert ("DECISION_DIFFERS" in end.tasks) is not agrees, (told, wish.outcome, name)


async def test_what_was_withdrawn_stays_so_and_a_decision_on_it_is_a_persons(town: Town) -> None:
    dossier = await _before_the_college(town)
    _, words = await _words_on(dossier)

    async def withdrawn(work: Work, case: Case) -> None:
        await withdrawals.withdraw(work, case, "Er ontbreekt een stuk.")

    for name, word in words.items():
        end = await _end_after(town, dossier, [withdrawn, word, word])
        decides = word.result in hearsay.YES_OR_NO
        assert (end.status, "DECISION_AFTER_WITHDRAWAL" in end.tasks) == ("WITHDRAWN", decides), name


async def test_what_nobody_tells_is_asked(town: Town) -> None:
    dossier = await _prepared(town)
    meeting = await _sent(town, dossier)
    item = await _sits(town, meeting, dossier, "accepted", tell=False)
    await _signs(town, item, tell=False)
    await dossier.fires("MINUTES_POLL")
    await dossier.until("AWAITING_PAYOUT")


async def test_a_list_is_one_item_and_names_stand_in_its_closed_annex_alone(town: Town) -> None:
    granted, partly, refused = (
        await _prepared(town, "own"),
        await _prepared(town, "own", "home"),
        await _prepared(town, "home"),
    )
    early = await _weighed(town)
    dossiers, meeting = (granted, partly, refused), await _convened(town)
    told = await town.does(
        HANDLER,
        "decisionSendToMinutes",
        "agendaItem { title } results { caseId errors { code } case { id } }",
        caseIds=[early.id, *(one.id for one in dossiers)],
        meetingUid=meeting["UID"],
    )
    assert [one["errors"] for one in told["results"]] == [[{"code": "TRANSITION_NOT_ALLOWED"}], [], [], []]
    for one in dossiers:
        await until(lambda one=one: _is(one, "ON_AGENDA"))  # type: ignore[misc]  # bound here
    assert await early.read(fields="status") == {"status": "ASSESSMENT"}
    names = [personas.person(one.who) for one in dossiers]
    identifier = (await _decision(granted))["agendaItem"]["externalIdentifier"]
    (item,) = await town.look("minutes", "items", externalIdentifier=identifier)
    published = " ".join((item["title"], item["motivation"], item["decision"]))
    assert (item["title"], item["privacy"]) == ("Premie: beslissingen (3)", "secret")
    for name in names:
        assert isinstance(name, personas.Citizen)
        assert name.family_name not in published
        assert name.insz not in published
    assert len(item["annexes"]) == 2
    decided = await _sits(town, meeting, granted, "accepted")
    await _signs(town, decided)
    assert (await granted.until("AWAITING_PAYOUT"))["decision"]["status"] == "GRANTED"
    assert (await partly.until("AWAITING_PAYOUT"))["decision"]["status"] == "PARTLY_GRANTED"
    assert (await refused.until("REJECTED"))["decision"]["status"] == "REFUSED"
    assert await refused.timers() <= {"NOTIFY_END", "EBOX_POLL"}, "its letter alone is followed"
    benefits = (await _decision(partly))["benefits"]
    assert {one["key"]: one["granted"] for one in benefits} == {"home": False, "own": True}


# ── what is proposed ──────────────────────────────────────────────────────────────────────────────────


async def test_a_rule_that_leaves_it_to_a_person_wants_a_choice(town: Town) -> None:
    dossier = await _weighed(town, "own", "child")
    refusal = await town.refused(HANDLER, "decisionPrepare", caseIds=[dossier.id])
    assert (refusal["__typename"], refusal["code"]) == ("RuleNotMet", "RULE_NOT_MET")
    choice = {"benefits": [{"key": "child", "granted": False}]}
    await town.does(HANDLER, "decisionPrepare", caseIds=[dossier.id], input=choice)
    decision = await _decision(dossier)
    assert (decision["proposal"], decision["amount"]["amount"]) == ("PARTLY_GRANTED", "70.50")


async def test_of_a_list_each_case_is_prepared_or_says_why_not_and_a_repeat_says_the_same(town: Town) -> None:
    clear, doubtful = await _weighed(town), await _weighed(town, "child")
    asked = {"caseIds": [doubtful.id, clear.id], "idempotencyKey": town.key()}
    fields = "results { caseId case { id status } errors { code rule message } }"
    first = await town.does(HANDLER, "decisionPrepare", fields, **asked)
    assert [one["case"] and one["case"]["status"] for one in first["results"]] == [None, "AWAITING_DECISION"]
    assert first["results"][0]["errors"][0]["rule"] == "child"
    assert await town.does(HANDLER, "decisionPrepare", fields, **asked) == first
    assert (await clear.events()).count("DECISION_PREPARED") == 1
    assert await doubtful.read(fields="status decision { id }") == {"status": "ASSESSMENT", "decision": None}


async def test_a_refusal_that_is_remembered_does_not_repeat_what_was_given(town: Town) -> None:
    dossiers = [await _weighed(town), await _weighed(town)]
    citizen = personas.person(dossiers[0].who)
    assert isinstance(citizen, personas.Citizen)
    words = {"motivationFactual": f"Nummer {citizen.insz} van {citizen.family_name}, rekening {IBAN}."}
    asked = {"caseIds": [one.id for one in dossiers], "idempotencyKey": town.key(), "input": words}
    fields = "results { errors { code path message } }"
    first = await town.does(HANDLER, "decisionPrepare", fields, **asked)
    assert [one["errors"][0]["path"] for one in first["results"]] == [["input", "motivationFactual"]] * 2
    assert await town.does(HANDLER, "decisionPrepare", fields, **asked) == first
    ((kept,),) = await town.sql(
        "SELECT answer::text FROM idempotentrequest WHERE key = :key", key=asked["idempotencyKey"]
    )
    assert not [one for one in (citizen.insz, citizen.family_name, IBAN, "539007547034") if one in kept]


async def test_a_refusal_against_the_rules_is_motivated_by_who_wants_it(town: Town) -> None:
    dossier = await _weighed(town)
    refusal = await town.refused(
        HANDLER,
        "decisionPrepare",
        caseIds=[dossier.id],
        input={"outcome": "REFUSED", "motivationLegal": "Artikel 9"},
    )
    assert refusal["path"] == ["input", "motivationFactual"]
    name = personas.person(dossier.who)
    assert isinstance(name, personas.Citizen)
    words = {"outcome": "REFUSED", "motivationLegal": "Artikel 9"}
    named = f"{name.given_name} {name.family_name} woont elders."
    refusal = await town.refused(
        HANDLER, "decisionPrepare", caseIds=[dossier.id], input=words | {"motivationFactual": named}
    )
    assert refusal["code"] == "VALIDATION"
    for field, leak in (
        ("motivationFactual", f"Het adres is {name.street} {name.number}."),
        ("motivationFactual", f"Dat zei mevrouw {name.family_name.upper()}."),
        ("motivationLegal", f"Zie {name.insz[:6]} {name.insz[6:9]} {name.insz[9:]}."),
        ("motivationLegal", f"Rekening {IBAN}."),
    ):
        told = words | {"motivationFactual": "Elders."} | {field: leak}
        refusal = await town.refused(HANDLER, "decisionPrepare", caseIds=[dossier.id], input=told)
        assert (refusal["code"], refusal["path"]) == ("VALIDATION", ["input", field])
        assert leak.split()[-1].strip(".") not in refusal["message"]
    await town.does(
        HANDLER, "decisionPrepare", caseIds=[dossier.id], input=words | {"motivationFactual": "Elders."}
    )
    decision = await _decision(dossier)
    assert (decision["proposal"], decision["amount"]) == ("REFUSED", None)
    assert (await _decision(dossier, dossier.who))["motivationFactual"] == "", "nothing is decided yet"


async def test_what_a_body_decides_no_handler_takes_and_only_the_secretariat_records(town: Town) -> None:
    dossier = await _prepared(town)
    taken = {"granted": True}
    assert (await town.refused(HANDLER, "decisionTake", caseId=dossier.id, input=taken))[
        "code"
    ] == "NOT_ALLOWED"
    for who in (HANDLER, FINANCE, OPERATOR):
        refusal = await town.refused(who, "decisionRecord", caseId=dossier.id, input=ACCEPTED)
        assert refusal["code"] == "NOT_ALLOWED"
    offered = await dossier.actions(HANDLER)
    assert {"DECISION_PREPARE", "DECISION_SEND_TO_MINUTES", "DECISION_WITHDRAW"} <= offered
    assert not {"DECISION_TAKE", "DECISION_RECORD", "DECISION_CONFIRM"} & offered
    offered = {one for one in await dossier.actions(SECRETARIAT) if one.startswith("DECISION")}
    assert offered == {"DECISION_RECORD", "DECISION_WITHDRAW"}
    await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=ACCEPTED)
    assert (await dossier.read(fields="status"))["status"] == "AWAITING_PAYOUT"


async def test_of_twenty_who_prepare_one_case_one_does_and_one_item_comes_of_twenty_sendings(
    town: Town,
) -> None:
    dossier = await _weighed(town)
    version = (await dossier.read(fields="version"))["version"]
    answers = await asyncio.gather(
        *(
            town.tries(HANDLER, "decisionPrepare", caseIds=[dossier.id], expectedVersion=version)
            for _ in range(20)
        )
    )
    assert sorted(len(one["errors"]) for one in answers) == [0] + [1] * 19
    assert {error["code"] for one in answers for error in one["errors"]} == {"VERSION_CONFLICT"}
    meeting = await _convened(town)
    answers = await asyncio.gather(
        *(
            town.tries(HANDLER, "decisionSendToMinutes", caseIds=[dossier.id], meetingUid=meeting["UID"])
            for _ in range(20)
        )
    )
    assert sum(not one["errors"] for one in answers) == 1
    await until(lambda: _is(dossier, "ON_AGENDA"))
    identifier = (await _decision(dossier))["agendaItem"]["externalIdentifier"]
    assert len(await town.look("minutes", "items", externalIdentifier=identifier)) == 1
    answers = await asyncio.gather(
        *(town.tries(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=ACCEPTED) for _ in range(20))
    )
    assert [one["errors"] for one in answers] == [[]] * 20
    assert (await dossier.events()).count("APPROVED") == 1


# ── what comes back ───────────────────────────────────────────────────────────────────────────────────


async def test_a_postponed_item_is_followed_to_its_successor(town: Town) -> None:
    dossier = await _prepared(town)
    meeting = await _sent(town, dossier)
    item = await _sits(town, meeting, dossier, "delayed")
    await until(lambda: _is(dossier, "POSTPONED"))
    assert "SUCCESSOR_END" in await dossier.timers()
    successor = next(one for one in await town.look("minutes", "items") if one["predecessor"] == item["UID"])
    await town.order("minutes", f"items/{successor['UID']}/present")
    await dossier.fires("MINUTES_POLL")
    await until(lambda: _is(dossier, "ON_AGENDA"))
    assert "SUCCESSOR_END" not in await dossier.timers()
    later = (await _decision(dossier))["agendaItem"]
    assert later["itemUid"] == successor["UID"]
    await _sits(town, {"UID": await _meeting_of(town, successor["UID"])}, dossier, "accepted", tell=False)
    await town.order("minutes", f"items/{successor['UID']}/sign", tell=True)
    await dossier.until("AWAITING_PAYOUT")
    events = [one for one in await dossier.events() if one in ("DECISION_ON_AGENDA", "DECISION_POSTPONED")]
    assert events == ["DECISION_ON_AGENDA", "DECISION_POSTPONED", "DECISION_ON_AGENDA"]


async def _meeting_of(town: Town, uid: str) -> str:
    item = next(one for one in await town.look("minutes", "items") if one["UID"] == uid)
    return str(item["meeting"])


async def test_a_postponed_item_that_comes_back_nowhere_is_a_persons(town: Town) -> None:
    dossier = await _prepared(town)
    meeting = await _sent(town, dossier)
    await _sits(town, meeting, dossier, "delayed")
    await until(lambda: _is(dossier, "POSTPONED"))
    await dossier.fires("SUCCESSOR_END")
    assert "NO_SUCCESSOR" in await dossier.tasks()


async def test_what_the_body_changed_the_handler_confirms_once_it_is_signed(town: Town) -> None:
    dossier = await _prepared(town)
    meeting = await _sent(town, dossier)
    item = await _sits(
        town, meeting, dossier, "accepted_but_modified", decision="<p>Het college kent 40 euro toe.</p>"
    )
    await until(lambda: _is(dossier, "TO_CONFIRM"))
    assert "CONFIRM_DECISION" in await dossier.tasks()
    assert (await _decision(dossier))["text"] == "Het college kent 40 euro toe."
    words = {"motivationLegal": "Reglement, artikel 4", "motivationFactual": "Het college kent een deel toe."}
    wish = {"outcome": "PARTLY_GRANTED", "amount": "40.00"} | words
    refusal = await town.refused(HANDLER, "decisionConfirm", caseId=dossier.id, input=wish)
    assert refusal["code"] == "RULE_NOT_MET", "nobody signed yet"
    await _signs(town, item)
    await until(lambda: _signed(dossier))
    assert "DECISION_CONFIRM" in await dossier.actions(HANDLER)
    await town.does(HANDLER, "decisionConfirm", caseId=dossier.id, input=wish)
    decision = await _decision(dossier)
    assert (decision["status"], decision["amount"]["amount"]) == ("PARTLY_GRANTED", "40.00")
    assert "CONFIRM_DECISION" not in await dossier.tasks()


async def _signed(dossier: Dossier) -> bool:
    return len((await _decision(dossier))["signatories"]) == 2


async def test_a_refusal_in_the_bodys_own_words_is_one_and_without_words_the_handlers(town: Town) -> None:
    spoken, silent = await _prepared(town), await _prepared(town)
    for dossier, said in ((spoken, {"motivation": "<p>Het krediet is uitgeput.</p>"}), (silent, {})):
        meeting = await _sent(town, dossier)
        item = await _sits(town, meeting, dossier, "refused", tell=False, **said)
        await _signs(town, item, tell=False)
        await dossier.fires("MINUTES_POLL")
    case = await spoken.until("REJECTED")
    assert case["decision"]["motivationFactual"] == "Het krediet is uitgeput."
    await until(lambda: _is(silent, "TO_CONFIRM"))
    wish = {"outcome": "REFUSED", "motivationLegal": "Artikel 1", "motivationFactual": "Er is geen krediet."}
    await town.does(HANDLER, "decisionConfirm", caseId=silent.id, input=wish)
    assert (await silent.read(fields="status"))["status"] == "REJECTED"


async def test_what_is_taken_from_the_agenda_can_be_prepared_anew(town: Town) -> None:
    dossier = await _prepared(town)
    meeting = await _sent(town, dossier)
    await _sits(town, meeting, dossier, "removed")
    await until(lambda: _is(dossier, "WITHDRAWN"))
    assert "DECISION_REMOVED" in await dossier.tasks()
    await town.does(HANDLER, "decisionPrepare", caseIds=[dossier.id])
    assert await _is(dossier, "DRAFT")
    assert "DECISION_REMOVED" not in await dossier.tasks()


async def test_a_second_word_that_differs_changes_nothing_and_asks_a_person(town: Town) -> None:
    dossier = await _prepared(town)
    await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=ACCEPTED)
    other = ACCEPTED | {"result": "REFUSED", "text": "Toch niet."}
    await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=other)
    assert "DECISION_DIFFERS" in await dossier.tasks()
    assert await _is(dossier, "GRANTED")


async def test_a_postponement_told_after_the_successor_was_accepted_bothers_nobody(town: Town) -> None:
    dossier = await _prepared(town)
    meeting = await _sent(town, dossier)
    item = await _sits(town, meeting, dossier, "delayed", tell=False)
    successor = next(one for one in await town.look("minutes", "items") if one["predecessor"] == item["UID"])
    await town.order("minutes", f"items/{successor['UID']}/present")
    told = {"UID": await _meeting_of(town, successor["UID"])}
    decided = {"uid": successor["UID"], "result": "accepted"}
    await town.order("minutes", f"meetings/{told['UID']}/decide", items=[decided], heldNow=True, tell=True)
    await town.order("minutes", f"items/{successor['UID']}/sign", tell=True)
    await dossier.until("AWAITING_PAYOUT")
    await town.order("minutes", f"items/{item['UID']}/tell")
    await dossier.calm()
    assert await dossier.tasks() == ["ORDER_PAYOUT"]


async def test_a_refusal_after_a_change_is_for_the_handler_to_see_before_it_is_confirmed(town: Town) -> None:
    dossier = await _prepared(town)
    changed = ACCEPTED | {"result": "MODIFIED", "text": "Het college kent 40 euro toe.", "amount": "40.00"}
    for told in (changed, changed | {"amount": None}, changed | {"text": "kent 40 euro toe"}):
        await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=told)
    assert await dossier.tasks() == ["CONFIRM_DECISION"]
    await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=ACCEPTED | {"result": "REFUSED"})
    assert sorted(await dossier.tasks()) == ["CONFIRM_DECISION", "DECISION_DIFFERS"]
    decision = await _decision(dossier)
    assert (decision["status"], decision["text"]) == ("TO_CONFIRM", "Het college kent 40 euro toe.")


async def test_a_document_that_is_not_the_one_that_was_promised_is_not_accepted(town: Town) -> None:
    dossier = await _prepared(town)
    document = base64.b64encode(PAPER).decode()
    false = ACCEPTED | {"document": document, "sha256": "0" * 64}
    await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=false)
    assert "DOCUMENT_DIFFERS" in await dossier.tasks()
    assert await _is(dossier, "DRAFT")
    true = false | {"sha256": hashlib.sha256(PAPER).hexdigest()}
    await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=true)
    assert (await _decision(dossier))["documentSha256"] == hashlib.sha256(PAPER).hexdigest()


async def test_what_one_person_signed_holds_not_yet(town: Town) -> None:
    dossier = await _prepared(town)
    half = ACCEPTED | {"signatories": SIGNED[:1]}
    await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=half)
    assert (await dossier.read(fields="status"))["status"] == "AWAITING_DECISION"
    await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=ACCEPTED)
    assert (await dossier.read(fields="status"))["status"] == "AWAITING_PAYOUT"


# ── taken back ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_withdrawn_case_leaves_the_agenda_and_a_decision_after_it_is_kept(town: Town) -> None:
    dossier = await _prepared(town)
    await _sent(town, dossier)
    identifier = (await _decision(dossier))["agendaItem"]["externalIdentifier"]
    await town.does(dossier.who, "caseWithdraw", id=dossier.id)
    await dossier.calm()
    (item,) = await town.look("minutes", "items", externalIdentifier=identifier)
    assert item["state"] in ("itemcreated", "removed")
    await town.does(SECRETARIAT, "decisionRecord", externalIdentifier=identifier, input=ACCEPTED)
    assert "DECISION_AFTER_WITHDRAWAL" in await dossier.tasks()
    decision = await _decision(dossier)
    assert (decision["status"], len(decision["signatories"])) == ("WITHDRAWN", 2)
    assert (await dossier.read(fields="status"))["status"] == "WITHDRAWN"


async def test_a_decision_on_a_proposal_that_another_replaced_is_a_persons_to_see(town: Town) -> None:
    anew, again = await _prepared(town), await _prepared(town)
    items = []
    for dossier in (anew, again):
        await _sent(town, dossier)
        items.append((await _decision(dossier))["agendaItem"]["externalIdentifier"])
    await town.does(HANDLER, "decisionWithdraw", caseId=anew.id, input={"reason": "Er ontbreekt een stuk."})
    await town.does(HANDLER, "decisionPrepare", caseIds=[anew.id])
    await town.does(again.who, "caseWithdraw", id=again.id)
    back = {"stage": "ASSESSMENT", "reason": "Toch wel."}
    await town.does(HANDLER, "caseReopen", id=again.id, input=back)
    for dossier, identifier in zip((anew, again), items, strict=True):
        await town.does(SECRETARIAT, "decisionRecord", externalIdentifier=identifier, input=ACCEPTED)
        assert "DECISION_AFTER_WITHDRAWAL" in await dossier.tasks()
    assert await _is(anew, "DRAFT")


async def test_of_a_list_a_case_that_waits_for_its_applicant_stays_behind(town: Town) -> None:
    waits, goes = await _prepared(town), await _prepared(town)
    await town.does(HANDLER, "caseRequestInformation", id=waits.id, input={"question": "Waarom?"})
    meeting = await _convened(town)
    told = await town.does(
        HANDLER,
        "decisionSendToMinutes",
        "results { errors { code } }",
        caseIds=[waits.id, goes.id],
        meetingUid=meeting["UID"],
    )
    assert [one["errors"] for one in told["results"]] == [[{"code": "TRANSITION_NOT_ALLOWED"}], []]
    await until(lambda: _is(goes, "ON_AGENDA"))


async def test_what_a_body_took_is_not_drafted_anew_before_the_second_signature(town: Town) -> None:
    dossier = await _prepared(town)
    half = ACCEPTED | {"signatories": SIGNED[:1]}
    await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=half)
    more = {"outcome": "GRANTED", "amount": "900.00"}
    refusal = await town.refused(HANDLER, "decisionPrepare", caseIds=[dossier.id], input=more)
    assert refusal["code"] == "TRANSITION_NOT_ALLOWED"
    again = {"name": " leen  VERHAEGEN", "function": "burgemeester", "signedOn": "2026-11-20"}
    twice = ACCEPTED | {"signatories": [SIGNED[0], again]}
    await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=twice)
    assert (await dossier.read(fields="status"))["status"] == "AWAITING_DECISION", "one person is one"


WITHDRAWN = "decision { withdrawnReason } messages(first: 50) { nodes { about body } }"


async def test_a_draft_is_taken_from_its_agenda_and_goes_there_anew(town: Town) -> None:
    dossier = await _prepared(town)
    await _sent(town, dossier)
    why = {"reason": "Er ontbreekt een stuk."}
    await town.does(HANDLER, "decisionWithdraw", caseId=dossier.id, input=why)
    assert await _is(dossier, "WITHDRAWN")
    assert (await dossier.read(fields=WITHDRAWN))["decision"]["withdrawnReason"] == why["reason"]
    mine = await dossier.read(dossier.who, WITHDRAWN)
    assert why["reason"] not in str(mine), "who applied hears what is decided, not what is proposed"
    await town.does(HANDLER, "decisionPrepare", caseIds=[dossier.id])
    await _sent(town, dossier)


async def test_what_was_granted_goes_back_to_the_decision_until_the_money_went(town: Town) -> None:
    dossier = await _prepared(town)
    await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=ACCEPTED)
    why = {"reason": "Het bedrag is fout."}
    await town.does(HANDLER, "payoutOrder", caseId=dossier.id)
    await town.does(HANDLER, "decisionWithdraw", caseId=dossier.id, input=why)
    mine = await dossier.read(dossier.who, WITHDRAWN)
    assert mine["decision"]["withdrawnReason"] == why["reason"]
    assert f"De beslissing geldt niet meer. {why['reason']}" in str(mine["messages"])
    case = await dossier.read(fields="status tasks { kind status } payout { status }")
    assert (case["status"], case["payout"]["status"]) == ("AWAITING_DECISION", "CANCELLED")
    assert "DECIDE" in await dossier.tasks()
    await town.does(HANDLER, "decisionPrepare", caseIds=[dossier.id])
    await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=ACCEPTED)
    paid = await town.does(HANDLER, "payoutOrder", "payout { id }", caseId=dossier.id)
    await town.does(FINANCE, "payoutApprove", id=paid["payout"]["id"])
    await until(lambda: _paid(dossier))
    await town.does(HANDLER, "decisionWithdraw", caseId=dossier.id, input=why)
    assert "RECOVERY" in await dossier.tasks()
    assert await _is(dossier, "WITHDRAWN")


async def _paid(dossier: Dossier) -> bool:
    status = (await dossier.read(fields="payout { status }"))["payout"]["status"]
    return status in ("SENT", "EXECUTED")


# ── the letter ────────────────────────────────────────────────────────────────────────────────────────


async def test_who_has_no_ebox_gets_a_registered_letter_of_which_the_number_comes_back(town: Town) -> None:
    dossier = await _with_ebox(town, "home", active=False)
    await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=ACCEPTED)
    await dossier.until("REJECTED")
    await until(lambda: _goes(dossier, "REGISTERED"))
    await dossier.fires("NOTIFY_END")
    assert "NOTIFY_LATE" in await dossier.tasks()
    fields = "batch { id size url postedAt letters { case { reference } status } }"
    batch = (await town.does(SECRETARIAT, "letterBatchMake", fields))["batch"]
    place = 1 + [one["case"]["reference"] for one in batch["letters"]].index(dossier.reference)
    assert (await town.client.get(batch["url"])).content[:2] == b"PK"
    assert (await town.does(SECRETARIAT, "letterBatchMake", "batch { id }"))["batch"] is None
    head = "sequence;reference;registered_number;posted_on"
    wrong = f"{head}\n{place};SP-0000;RR123456785BE;2026-11-20"
    refusal = (await town.tries(SECRETARIAT, "letterBatchProof", id=batch["id"], csv=wrong))["errors"]
    assert [one["code"] for one in refusal] == ["VALIDATION"]
    posted = f"{head}\n{place};{dossier.reference};RR123456785BE;2026-11-20"
    await town.does(SECRETARIAT, "letterBatchProof", id=batch["id"], csv=posted)
    letter = (await _decision(dossier))["letter"]
    assert (letter["status"], letter["registeredNumber"]) == ("SENT", "RR123456785BE")
    assert (await dossier.events())[-2:] == ["LETTER_SENT", "TASK_DONE"]
    assert "NOTIFY_LATE" not in await dossier.tasks()
    listed = await town.ask(SECRETARIAT, "{ letterBatches(first: 5) { nodes { id size } } }")
    assert batch["id"] in [one["id"] for one in listed["letterBatches"]["nodes"]]


async def test_a_letter_that_the_ebox_refuses_goes_by_post(town: Town) -> None:
    dossier = await _with_ebox(town, "home", active=True)
    citizen = personas.person(dossier.who)
    assert isinstance(citizen, personas.Citizen)
    await town.order("ebox", f"ebox/{citizen.insz}", refuses=True)
    await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=ACCEPTED)
    await dossier.until("REJECTED")
    await until(lambda: _letter_is(dossier, "SENT"))
    assert await dossier.timers() == {"EBOX_POLL"}
    await dossier.fires("EBOX_POLL")
    await until(lambda: _goes(dossier, "REGISTERED"))
    assert await _letter_is(dossier, "QUEUED")
    assert await dossier.timers() == {"NOTIFY_END"}, "the term to send it runs again"
    fields = "batch { letters { case { reference } } }"
    batch = (await town.does(SECRETARIAT, "letterBatchMake", fields))["batch"]
    assert dossier.reference in [one["case"]["reference"] for one in batch["letters"]]


async def test_the_ebox_is_asked_for_thirty_days_and_no_longer(town: Town) -> None:
    dossier = await _with_ebox(town, "home", active=True)
    await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=ACCEPTED)
    await dossier.until("REJECTED")
    await until(lambda: _letter_is(dossier, "SENT"))
    await town.fails("ebox", mode="error")
    for _ in range(2):
        await dossier.fires("EBOX_POLL")
        assert await dossier.timers() == {"EBOX_POLL"}
    assert len(await _asked_of_ebox(town, dossier)) == 1, "one question at a time"
    await town.sql(
        "UPDATE letter SET sent_at = sent_at - interval '31 days' WHERE case_id = :id",
        id=decode_id(dossier.id, "Case"),
    )
    await dossier.fires("EBOX_POLL")
    assert await dossier.timers() == set()
    await town.recovers("ebox")


async def _asked_of_ebox(town: Town, dossier: Dossier) -> list[object]:
    return await town.sql(
        "SELECT id FROM effect WHERE kind = 'EBOX_READ' AND case_id = :id", id=decode_id(dossier.id, "Case")
    )


async def test_the_days_batch_is_made_by_itself_once_and_only_when_a_letter_waits(town: Town) -> None:
    first = await _with_ebox(town, "home", active=False)
    second = await _with_ebox(town, "home", active=False)
    for dossier in (first, second):
        await town.does(SECRETARIAT, "decisionRecord", caseId=dossier.id, input=ACCEPTED)
        await until(lambda dossier=dossier: _goes(dossier, "REGISTERED"))  # type: ignore[misc]  # bound here
    before = await _batches(town)
    (armed,) = await town.sql(
        "SELECT id, due_at > now() AS later FROM timer WHERE kind = 'LETTER_BATCH' AND state = 'ARMED'"
    )
    assert armed.later
    assert before == await _batches(town), "nothing is printed before its time"
    await town.sql("UPDATE timer SET due_at = now() WHERE id = :id", id=armed.id)
    await asyncio.gather(*(timers.fire(town.served.loket, armed.id) for _ in range(4)))
    await until(lambda: _has_batches(town, len(before) + 1))
    ((_, letters),) = (await _batches(town)).items() - before.items()
    assert {first.reference, second.reference} <= set(letters)
    await town.sql("UPDATE timer SET state = 'ARMED' WHERE id = :id", id=armed.id)
    await timers.fire(town.served.loket, armed.id)
    assert len(await _batches(town)) == len(before) + 1, "no letter waited"


async def _batches(town: Town) -> dict[str, tuple[str, ...]]:
    """Which letters lie in which batch."""
    fields = "id letters { case { reference } }"
    seen = await town.ask(SECRETARIAT, f"{{ letterBatches(first: 50) {{ nodes {{ {fields} }} }} }}")
    return {
        one["id"]: tuple(letter["case"]["reference"] for letter in one["letters"])
        for one in seen["letterBatches"]["nodes"]
    }


async def _has_batches(town: Town, number: int) -> bool:
    return len(await _batches(town)) == number


async def _goes(dossier: Dossier, way: str) -> bool:
    letter = (await _decision(dossier))["letter"]
    return letter is not None and letter["way"] == way and letter["document"] is not None


async def test_the_secretariat_sees_what_waits_for_which_meeting(town: Town) -> None:
    dossier = await _prepared(town)
    meeting = await _sent(town, dossier)
    asked = """query($on: Date) {
        decisions(filter: {body: COLLEGE, status: [ON_AGENDA], meetingOn: $on}, first: 100)
            { nodes { case { reference } agendaItem { meetingOn } } }
        meetings(body: COLLEGE) { uid startsAt } }"""
    seen = await town.ask(SECRETARIAT, asked, on=meeting["date"][:10])
    assert dossier.reference in [one["case"]["reference"] for one in seen["decisions"]["nodes"]]
    assert meeting["UID"] in [one["uid"] for one in seen["meetings"]]


# ── which meeting ─────────────────────────────────────────────────────────────────────────────────────


def _meeting(uid: str, days: int, accepts_until: datetime | None = None) -> Meeting:
    return Meeting(uid, uid, NOON + timedelta(days=days), accepts_until, "created")


NOON = datetime(2026, 11, 16, 12, tzinfo=UTC)
SOON, LATER = _meeting("soon", 2), _meeting("later", 9)


def test_an_item_comes_before_the_first_meeting_whose_cut_off_is_still_ahead() -> None:
    found = agenda.next_meeting([LATER, SOON], NOON, 3, None)
    assert found is LATER, "the next one takes nothing any more, three days before"
    assert agenda.next_meeting([LATER, SOON], NOON, 1, None) is SOON
    assert agenda.next_meeting([SOON], NOON, 3, None) is None


def test_the_packages_own_deadline_counts_and_a_wish_before_all() -> None:
    open_still = _meeting("open", 2, accepts_until=NOON + timedelta(hours=1))
    assert agenda.next_meeting([LATER, open_still], NOON, 3, None) is open_still
    closed = _meeting("closed", 30, accepts_until=NOON - timedelta(hours=1))
    assert agenda.next_meeting([closed], NOON, 3, None) is None
    assert agenda.next_meeting([SOON, LATER], NOON, 3, "soon") is SOON


async def test_an_item_that_no_meeting_takes_is_not_lost_and_a_person_hears_why(town: Town) -> None:
    dossier = await _prepared(town)
    config = "meeting-config-college"
    for meeting in await town.look("minutes", "meetings", body=config):
        if meeting["state"] == "created":
            await town.order("minutes", f"meetings/{meeting['UID']}/freeze")
    await town.does(HANDLER, "decisionSendToMinutes", caseIds=[dossier.id])
    await until(lambda: _has_task(dossier, "MINUTES_WARNING"))
    assert await _is(dossier, "DRAFT")
    meeting = await _convened(town)
    item = (await _decision(dossier))["agendaItem"]
    await town.order("minutes", f"items/{item['itemUid']}/present")
    await dossier.fires("MINUTES_POLL")
    await until(lambda: _is(dossier, "ON_AGENDA"))
    assert (await _decision(dossier))["meetingOn"] == meeting["date"][:10]
    assert "MINUTES_WARNING" not in await dossier.tasks()

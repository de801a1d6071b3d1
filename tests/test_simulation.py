"""Trying a definition dry: the path is the one that a real case takes, and nothing of it stays."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from loket import publishing, trials
from loket.app import SHIPPED
from loket.database import Database
from loket.errors import ManyRefused
from loket.lifecycle import TimerKind
from loket.settings import Settings
from loket.terms import BRUSSELS
from loket.trial import casefile, samples, simulation, strawman
from loket.trial.simulated import THEN
from loket.trial.simulation import Ground
from loket.work import Work, the_system
from served import SECRET
from town import DRIVER, FINANCE, HANDLER, OPERATOR, Dossier, Json, Town, opened, until

PATH = """faults { line column reason }
    path { procedure version reference outcome final stopped statuses amount { amount }
        lines { description quantity amount { amount } } benefits { key granted amount { amount } }
        steps { at event status by byKind rules reasons }
        rules { kind key outcome why times }
        assumptions { kind key said }
        messages { event channel language subject text html skipped
            length { encoding segments dear { character } } }
        dosis { code phase details }
        deadlines { at kind state then }
        waiting { status tasks until then } }"""
SETTINGS = Settings()
HOUSEHOLD = {"answers": {"benefits": ["household"]}}
COUNTED = """SELECT format('SELECT %L, count(*) FROM %I', tablename, tablename) AS query FROM pg_tables
    WHERE schemaname = 'public' ORDER BY 1"""


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine is no fault of a trial."""
    for name in ("PATIENCE_SECONDS", "LONGEST_SECONDS", "STATEMENT_SECONDS", "LOCK_SECONDS"):
        monkeypatch.setattr(simulation, name, 120.0)


async def tries(town: Town, who: str | None = OPERATOR, **said: Any) -> Json:  # noqa: ANN401  # JSON
    payload: Json = await town.tries(who, "procedureSimulate", PATH, **said)
    return payload


async def walks(town: Town, procedure: str = "compost-bin", **said: Any) -> Json:  # noqa: ANN401  # JSON
    payload = await tries(town, procedure=procedure, **said)
    assert payload["errors"] == []
    path: Json = payload["path"]
    return path


def events(path: Json) -> list[str]:
    return [one["event"] for one in path["steps"]]


def written(path: Json) -> list[tuple[str, str]]:
    return [(one["event"], one["channel"]) for one in path["messages"] if not one["skipped"]]


def shipped(key: str) -> str:
    return (SHIPPED / f"{key}.yaml").read_text("utf-8")


# ── the same as what really happens ───────────────────────────────────────────────────────────────────


async def messages_of(case: Dossier) -> list[tuple[str, str]]:
    """About what the citizen was really written to, and how, in order."""
    rows = await case.town.sql(
        'SELECT about, message.channel FROM message JOIN "case" ON "case".id = message.case_id'
        " WHERE reference = :reference AND message.status <> 'SKIPPED' ORDER BY event_seq, message.id",
        reference=case.reference,
    )
    return [(row.about, row.channel) for row in rows]


async def test_a_bin_walks_dry_as_it_walks_for_real(town: Town) -> None:
    facts = {"applicant": {"by_sms": False}}
    dry = await walks(town, facts=facts)
    assert (dry["outcome"], dry["final"], dry["amount"]) == ("COMPLETED", True, {"amount": "28.00"})
    case = await town.applies()
    await case.until("AWAITING_PAYMENT")
    await case.pays()
    await case.until("AWAITING_SLOT")
    await case.books()
    delivery = (await case.read(fields="delivery { id }"))["delivery"]
    await case.calm()
    await town.does(DRIVER, "deliveryConfirm", id=delivery["id"])
    await case.until("COMPLETED")
    assert events(dry) == await case.events()
    assert written(dry) == await messages_of(case)
    assert [(one["code"], one["phase"]) for one in dry["dosis"]] == await case.dosis()
    lines = (await case.read(fields="invoice { lines { description quantity amount } }"))["invoice"]["lines"]
    assert [(one["description"], one["quantity"], one["amount"]["amount"]) for one in dry["lines"]] == [
        (one["description"], one["quantity"], one["amount"]) for one in lines
    ]


async def test_a_refusal_is_the_same_dry_and_real(town: Town) -> None:
    """Who ordered as many as a household may have."""
    who = town.somebody()
    first = await town.applies(who, cart={"bak": 3})
    await first.until("AWAITING_PAYMENT")
    second = await town.applies(who, cart={"bak": 1})
    await second.until("INADMISSIBLE")
    dry = await walks(town, facts={"ordered_this_year": {"bak": 3}, "applicant": {"by_sms": False}})
    assert dry["outcome"] == "INADMISSIBLE"
    assert events(dry) == await second.events()
    assert written(dry) == await messages_of(second)
    assert [(one["code"], one["phase"]) for one in dry["dosis"]] == await second.dosis()
    (refused,) = [one for one in dry["rules"] if one["outcome"] == "NOT_MET"]
    assert refused["key"] == "within-maximum"
    assert dry["steps"][-1]["rules"] == ["within-maximum"]
    assert dry["steps"][-1]["reasons"] != []


# ── nothing of it stays ───────────────────────────────────────────────────────────────────────────────


async def everything(town: Town) -> dict[str, Any]:
    """How many rows each table has, and where each number stands."""
    counts = " UNION ALL ".join(row.query for row in await town.sql(COUNTED))
    rows = {row[0]: row[1] for row in await town.sql(counts)}
    for row in await town.sql("SELECT sequencename, last_value FROM pg_sequences"):
        rows[row.sequencename] = row.last_value
    for row in await town.sql("SELECT journal || year AS name, last FROM journal"):
        rows[row.name] = row.last
    return rows


async def test_a_trial_leaves_every_table_and_every_number_as_it_was(town: Town) -> None:
    await (await town.applies()).until("AWAITING_PAYMENT")
    await town.ask(OPERATOR, "{ viewer { kind } }")

    async def still() -> bool:
        before = await everything(town)
        await asyncio.sleep(0.3)
        return before == await everything(town)

    await until(still)
    before = await everything(town)
    path = await walks(town)
    premium = await walks(town, "social-premium", application=HOUSEHOLD)
    assert (path["outcome"], premium["outcome"]) == ("COMPLETED", "COMPLETED")
    assert await everything(town) == before
    assert await town.sql('SELECT FROM "case" WHERE reference = :it', it=path["reference"]) == []


async def test_ten_try_at_once_while_the_town_works(town: Town) -> None:
    definition = publishing.load(SHIPPED / "compost-bin.yaml")
    case = casefile.of({"facts": {"sources": "DOWN", "admissible": "WAIT"}})
    loket = town.served.loket

    async def buys() -> None:
        await (await town.applies()).until("AWAITING_PAYMENT", 60)

    tried = [simulation.simulate_in_turn(loket, definition, case) for _ in range(10)]
    *paths, _, _ = await asyncio.gather(*tried, buys(), buys())
    assert [one.outcome for one in paths if one is not None] == ["SCREENING"] * 10


async def test_no_row_of_the_town_is_locked_by_a_trial(town: Town, module_database_url: str) -> None:
    """Somebody else holds every counter and every case: the trial does not wait for them."""
    await (await town.applies()).until("AWAITING_PAYMENT")
    async with town.served.loket.database.transaction() as session:
        connection = await session.connection()
        await connection.exec_driver_sql("SELECT 1 FROM journal FOR UPDATE")
        await connection.exec_driver_sql('SELECT 1 FROM "case" FOR UPDATE')
        await connection.exec_driver_sql("SELECT 1 FROM slot FOR UPDATE")
        path = await walks(town)
    assert path["outcome"] == "COMPLETED"


async def test_a_trial_waits_for_nobody_who_hands_in_the_same(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do they for the trial: of a street, a period, an address the town has one lock each."""
    monkeypatch.setattr(simulation, "LOCK_SECONDS", 1.0)
    loket, case = town.served.loket, casefile.CaseFile()
    definition = publishing.load(SHIPPED / "street-play.yaml")
    async with loket.database.apart(statement_timeout_seconds=60, lock_timeout_seconds=60) as session:
        work = Work(session, the_system(), datetime.now(UTC), loket.settings, loket.vault, loket.procedures)
        await strawman.applies(work, definition, case, strawman.cast(case, work.today))
        path = await walks(town, "street-play")
    assert path["outcome"] is not None


# ── what the facts change ─────────────────────────────────────────────────────────────────────────────


async def test_breaking_a_rule_of_the_definition_changes_the_path(town: Town) -> None:
    written_ = shipped("compost-bin")
    broken = written_.replace("when: applicant.address.nis == municipality.nis", "when: applicant.age > 66")
    assert broken != written_
    young = (await tries(town, definition=broken))["path"]
    assert young["outcome"] == "INADMISSIBLE"
    assert [one["key"] for one in young["rules"] if one["outcome"] == "NOT_MET"] == ["resident"]
    old = (await tries(town, definition=broken, facts={"applicant": {"age": 67}}))["path"]
    assert old["outcome"] == "COMPLETED"


async def test_a_doubt_is_told_with_what_causes_it_and_a_handler_goes_on(town: Town) -> None:
    path = await walks(town, facts={"applicant": {"deceased": True}, "admissible": "WAIT"})
    (doubt,) = [one for one in path["rules"] if one["outcome"] == "REFER"]
    assert (doubt["key"], doubt["why"]) == ("person-known", "the rule asks for a person")
    assert (path["outcome"], path["final"]) == ("SCREENING", False)
    assert "REFERRED" in path["waiting"]["tasks"]
    assert path["waiting"]["until"] is not None
    told = await walks(town, facts={"applicant": {"deceased": True}, "admissible": "NO"})
    assert told["outcome"] == "INADMISSIBLE"
    assert {one["skipped"] for one in told["messages"] if one["event"] == "INADMISSIBLE"} == {
        "the applicant is deceased"
    }


async def test_without_an_answer_of_the_sources_no_rule_says_yes(town: Town) -> None:
    path = await walks(town, facts={"sources": "DOWN", "admissible": "WAIT"})
    assert path["waiting"]["tasks"] == ["SOURCES_UNKNOWN"]
    assert path["rules"] == []


async def test_whoever_does_not_pay_hears_every_reminder_until_the_end(town: Town) -> None:
    path = await walks(town, facts={"payment": "UNPAID"})
    assert path["outcome"] == "CANCELLED"
    assert events(path).count("PAYMENT_REMINDED") == 2
    assert [one["kind"] for one in path["deadlines"] if one["state"] == "FIRED"] == [
        "PAYMENT_REMINDER", "PAYMENT_REMINDER", "DEFAULT_NOTICE", "PAYMENT_END",
    ]  # fmt: skip
    waits = await walks(town, facts={"payment": "UNPAID", "deadlines": "STOP"})
    assert waits["outcome"] == "AWAITING_PAYMENT"
    assert waits["waiting"]["then"] == "reminded, then cancelled or handed over"
    last = [one["at"] for one in waits["deadlines"] if one["kind"] == "PAYMENT_END"]
    assert waits["waiting"]["until"] in last


@pytest.mark.parametrize(
    ("facts", "outcome", "amount"),
    [
        ({"decision": "REFUSED"}, "REJECTED", None),
        ({"checks": {"increased_allowance": "NOT_MET"}}, "REJECTED", None),
        ({"claims": {"household": "TAKEN"}}, "REJECTED", None),
        ({"decision": "PARTLY"}, "COMPLETED", "35.00"),
    ],
)
async def test_a_premium_goes_as_its_facts_say(
    town: Town, facts: Json, outcome: str, amount: str | None
) -> None:
    path = await walks(town, "social-premium", application=HOUSEHOLD, facts=facts)
    assert path["stopped"] == ""
    assert path["outcome"] == outcome
    assert (path["amount"] or {}).get("amount") == amount
    said = facts.get("checks", {}).get("increased_allowance", "MET")
    assert [(one["kind"], one["key"], one["said"]) for one in path["assumptions"]] == [
        ("CHECK", "increased_allowance", said)
    ]


async def test_a_check_without_an_answer_leaves_it_to_a_person(town: Town) -> None:
    facts = {"checks": {"increased_allowance": "UNKNOWN"}, "decision": "WAIT"}
    path = await walks(town, "social-premium", application=HOUSEHOLD, facts=facts)
    assert {"CHECK_FAILED", "ASSESS"} <= set(path["waiting"]["tasks"])


async def test_an_adviser_who_says_nothing_is_reminded_and_not_waited_for(town: Town) -> None:
    silent = {"advices": {"debt-mediation": "NO_REACTION"}, "decision": "WAIT"}
    path = await walks(town, "energy-premium", facts=silent)
    assert ("ADVICE", "debt-mediation", "NO_REACTION") in [
        (one["kind"], one["key"], one["said"]) for one in path["assumptions"]
    ]
    assert {"ADVICE_REMINDED", "ADVICE_LAPSED", "ADVICE_COMPLETE"} <= set(events(path))


async def test_at_the_counter_and_on_another_day(town: Town) -> None:
    said = {"channel": "COUNTER", "submittedOn": "2026-03-02", "language": "en"}
    path = await walks(town, application=said)
    assert path["outcome"] == "COMPLETED"
    assert path["steps"][0]["at"].startswith("2026-03-02")
    assert path["steps"][0]["by"] == "Loket (proef)"
    assert {one["language"] for one in path["messages"]} == {"en"}


async def test_messages_come_as_they_go_out(town: Town) -> None:
    path = await walks(town)
    by_mail = next(one for one in path["messages"] if (one["event"], one["channel"]) == ("APPROVED", "EMAIL"))
    assert by_mail["html"].startswith("<!doctype html>") or by_mail["html"].startswith("<!DOCTYPE html>")
    assert "€\N{NO-BREAK SPACE}28,00" in by_mail["text"]
    assert path["reference"] in by_mail["subject"]
    by_sms = next(one for one in path["messages"] if (one["event"], one["channel"]) == ("APPROVED", "SMS"))
    assert by_sms["length"] == {
        "encoding": "GSM-7", "segments": 2, "dear": [{"character": "€"}],
    }  # fmt: skip


# ── what is refused ───────────────────────────────────────────────────────────────────────────────────


async def test_a_definition_with_faults_names_each_with_its_place(town: Town) -> None:
    broken = shipped("compost-bin").replace("term_days: 30", "term_days: never").replace("journal: VF", "")
    payload = await tries(town, definition=broken)
    assert payload["path"] is None
    assert [one["code"] for one in payload["errors"]] == ["VALIDATION"]
    assert len(payload["faults"]) >= 2
    line = 1 + broken[: broken.index("term_days: never")].count("\n")
    assert line in {one["line"] for one in payload["faults"]}


@pytest.mark.parametrize(
    ("facts", "path", "named"),
    [
        ({"wether": 1}, ["facts", "wether"], "applicant"),
        ({"applicant": {"height": 2}}, ["facts", "applicant", "height"], "age"),
        ({"payment": "LATER"}, ["facts", "payment"], "PAID"),
        ({"checks": {"nobody": "MET"}}, ["facts", "checks", "nobody"], "none"),
        ({"ordered_this_year": {"boat": 1}}, ["facts", "ordered_this_year", "boat"], "bak"),
    ],
)
async def test_a_fact_that_is_not_known_is_named(
    town: Town, facts: Json, path: list[str], named: str
) -> None:
    (refusal,) = (await tries(town, procedure="compost-bin", facts=facts))["errors"]
    assert (refusal["code"], refusal["path"]) == ("VALIDATION", path)
    assert named in refusal["message"]


async def test_answers_that_do_not_fit_have_the_faults_of_a_submission(town: Town) -> None:
    wrong = {"answers": {"delivery": {"place": "moon"}, "odd": 1}, "complete": False}
    refusals = (await tries(town, procedure="compost-bin", application=wrong))["errors"]
    draft = await town.does(
        who := town.somebody(), "applicationStart", "application { id }", procedure="compost-bin"
    )
    real = await town.tries(
        who, "applicationSetAnswers", id=draft["application"]["id"], input=wrong["answers"]
    )
    assert [one["path"][2:] for one in refusals] == [one["path"][1:] for one in real["errors"]]
    assert [one["message"] for one in refusals] == [one["message"] for one in real["errors"]]
    empty = {"answers": {"delivery": {"place": "home"}}, "complete": False}
    refusals = (await tries(town, procedure="compost-bin", application=empty))["errors"]
    assert ("REQUIRED", ["application", "answers", "declaration"]) in [
        (one["code"], one["path"]) for one in refusals
    ]
    cart = {"cart": [{"product": "bak", "quantity": 0}]}
    (refusal,) = (await tries(town, procedure="compost-bin", application=cart))["errors"]
    assert refusal["path"][:2] == ["application", "cart"]


async def test_either_a_definition_or_a_procedure_and_one_that_exists(town: Town) -> None:
    both = await tries(town, procedure="compost-bin", definition="key: compost-bin")
    assert [one["code"] for one in both["errors"]] == ["VALIDATION"]
    assert [one["code"] for one in (await tries(town, procedure="moon-base"))["errors"]] == ["NOT_FOUND"]


async def test_handlers_and_operators_alone_may_try(town: Town) -> None:
    for who, code in ((FINANCE, "NOT_ALLOWED"), (town.somebody(), "NOT_ALLOWED"), (None, "SIGN_IN_REQUIRED")):
        assert [one["code"] for one in (await tries(town, who, procedure="compost-bin"))["errors"]] == [code]
    assert (await tries(town, HANDLER, procedure="compost-bin"))["errors"] == []


async def test_whoever_waits_too_long_for_their_turn_is_told(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation, "PATIENCE_SECONDS", 0.01)
    (refusal,) = (await tries(town, procedure="compost-bin"))["errors"]
    assert refusal["code"] == "SYSTEM_UNAVAILABLE"


def test_every_kind_of_deadline_says_what_then_happens() -> None:
    assert set(THEN) == set(TimerKind)


# ── without a town ────────────────────────────────────────────────────────────────────────────────────


def ground(database_url: str) -> Ground:
    return Ground(Database(database_url), SETTINGS, {})


async def test_a_slot_that_nobody_chooses_and_a_door_that_nobody_opens(module_database_url: str) -> None:
    definition = publishing.load(SHIPPED / "compost-bin.yaml")
    case = casefile.of({"facts": {"slot": "NOT_CHOSEN", "delivery": "MISSED"}})
    path = await simulation.simulate(ground(module_database_url), definition, case)
    assert path.outcome == "COMPLETED"
    happened = [str(one.event) for one in path.steps]
    assert [happened.count(one) for one in ("SLOT_REMINDED", "PLANNED", "MISSED", "DELIVERED")] == [
        2,
        2,
        1,
        1,
    ]


def test_a_sample_answers_what_a_condition_asks_of_it() -> None:
    asks = (
        "form:\n  schema:\n    if: {required: [declaration]}\n"
        "    then: {required: [colour], properties: {colour: {type: string, title: Kleur, maxLength: 20}}}\n"
    )
    text = shipped("compost-bin").replace("form:\n  schema:\n", asks, 1)
    closed = "additionalProperties: false"
    definition = publishing.parse(text.replace(closed, "unevaluatedProperties: false", 1), "bins.yaml")
    day = date(2026, 4, 1)
    answers = samples.completed(definition, samples.sample_answers(definition, day), day)
    assert answers["colour"] == "Colour"


STREET: Json = {
    "application": {
        "submitted_on": "2026-04-01",
        "answers": {
            "street": {"name": "Molenweg", "part": "whole", "speed": 30, "bus": False, "side_streets": False},
            "residents": {"asked": 12, "agreed": 10},
            "period": {
                "holiday": "summer", "formula": "consecutive", "first_day": "2026-07-06",
                "last_day": "2026-07-12", "starts": "13:00", "ends": "19:00",
            },
        },
    },
    "facts": {"applicant": {"street": "Molenweg", "number": "2"}, "deadlines": "PASS"},
}  # fmt: skip


async def test_what_was_granted_ends_and_is_asked_again_when_deadlines_pass(module_database_url: str) -> None:
    definition = publishing.load(SHIPPED / "street-play.yaml")
    path = await simulation.simulate(ground(module_database_url), definition, casefile.of(STREET))
    assert path.outcome == "COMPLETED"
    last = [(one.event, one.at.astimezone(BRUSSELS).date().isoformat()) for one in path.steps][-3:]
    assert last == [
        ("VALIDITY_ENDING", "2026-06-28"), ("VALIDITY_ENDED", "2026-07-13"),
        ("RENEWAL_OFFERED", "2026-12-13"),
    ]  # fmt: skip
    assert [one.said for one in path.assumptions] == ["POSITIVE", "POSITIVE"]


# ── from the command line ─────────────────────────────────────────────────────────────────────────────


GOOD = """
title: an ordinary resident
application: {answers: {delivery: {place: home}}, cart: [{product: bak}]}
expect:
  outcome: COMPLETED
  amount: 28.00
  statuses: [RECEIVED, SCREENING, AWAITING_DECISION, APPROVED, AWAITING_PAYMENT, AWAITING_SLOT,
             AWAITING_DELIVERY, COMPLETED]
  messages: [SUBMITTED, APPROVED, PAID, PLANNED, DELIVERED]
  events: [ADMISSIBLE, PAID, DELIVERED]
  rules: {resident: MET}
"""
WRONG = "facts: {applicant: {nis: '13025'}}\nexpect: {outcome: COMPLETED, rules: {resident: MET}}\n"


def test_case_files_say_what_must_come_of_a_procedure(module_database_url: str, tmp_path: Path) -> None:
    file, good, wrong = (tmp_path / name for name in ("bins.yaml", "resident.yaml", "elsewhere.yaml"))
    file.write_text(shipped("compost-bin"), "utf-8")
    good.write_text(GOOD, "utf-8")
    wrong.write_text(WRONG, "utf-8")
    told = subprocess.run(  # our own module, no shell
        [sys.executable, "-m", "loket", "simulate", str(file), "--case", str(good), str(wrong), "--expect"],
        env={"LOKET_DATABASE_URL": module_database_url, "LOKET_HOME": "/nonexistent", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (told.returncode, told.stderr) == (1, "")
    assert told.stdout.splitlines() == [
        f"as expected: {good}: an ordinary resident: COMPLETED",
        f"NOT SO: {wrong}: INADMISSIBLE",
        "    outcome: expected COMPLETED, came to INADMISSIBLE",
        "    rule resident: expected MET, came to NOT_MET",
    ]


def test_a_path_reads_as_a_page(
    module_database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, case = tmp_path / "bins.yaml", tmp_path / "waits.yaml"
    file.write_text(shipped("compost-bin"), "utf-8")
    case.write_text("facts: {payment: WAIT}\n", "utf-8")
    assert (
        trials.simulate(SETTINGS, module_database_url, str(file), [str(case)], brief=False, texts=True) == 0
    )
    told = capsys.readouterr().out
    for line in ("PAYMENT_DUE", "2 × GSM-7", "KlaarVoorBetaling", "→ AWAITING_PAYMENT, € 28,00"):
        assert line in told
    assert "it waits until" in told
    assert "then: reminded, then cancelled or handed over" in told
    # whoever expects nothing tests nothing
    assert (
        trials.simulate(SETTINGS, module_database_url, str(file), [str(case)], brief=True, texts=False) == 1
    )
    assert "it expects nothing" in capsys.readouterr().out


def test_what_is_wrong_with_a_file_is_told_at_its_line(
    module_database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, file, case = (tmp_path / name for name in ("broken.yaml", "bins.yaml", "case.yaml"))
    broken.write_text(shipped("compost-bin").replace("by: rule}", "by: magic}"), "utf-8")
    file.write_text(shipped("compost-bin"), "utf-8")
    assert trials.simulate(SETTINGS, module_database_url, str(broken), [], brief=False, texts=False) == 1
    assert f"{broken}:" in capsys.readouterr().out
    case.write_text("facts: {applicnt: {age: 3}}\n", "utf-8")
    tried = trials.simulate(SETTINGS, module_database_url, str(file), [str(case)], brief=False, texts=False)
    assert tried == 1
    assert "'applicnt' is not known" in capsys.readouterr().out


async def test_a_case_file_of_a_municipality_of_its_own(module_database_url: str) -> None:
    """Nothing but a database is needed: no other system, no web."""
    settings = Settings(database_url=module_database_url, secret_key=SECRET)
    elsewhere = replace(settings, municipality=replace(settings.municipality, nis="13025"))
    definition = publishing.load(SHIPPED / "compost-bin.yaml")
    ground = Ground(Database(module_database_url), elsewhere, {})
    path = await simulation.simulate(
        ground, definition, casefile.of({"facts": {"applicant": {"nis": "13999"}}})
    )
    assert path.outcome == "INADMISSIBLE"
    with pytest.raises(ManyRefused, match="there are: title, application, facts, expect"):
        casefile.of({"fact": {}})

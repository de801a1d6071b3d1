"""Publishing while Loket runs: in front of two API processes over one database, of which one publishes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from functools import cache
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from ruamel.yaml import YAML
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, select

from loket import applications, cases, changes, payments, procedure_files, publishing, screening, web
from loket.api import schema
from loket.app import SHIPPED, Loket
from loket.definition import Definition
from loket.errors import UnknownVersion
from loket.ids import decode_id, encode_id
from loket.lifecycle import Role
from loket.payments import Received
from loket.publications import Publications, Version
from loket.records import ActorKind, Invoice, PaymentMethod, Person
from loket.revising import changes as differences
from loket.settings import VatNumber
from loket.work import Actor, Work, the_system
from served import Served, listening, served, serving
from town import FINANCE, HANDLER, OPERATOR, Json, Town, until

TODAY = date.today()  # noqa: DTZ011  # any day of this year will do
_numbers = count(1)


# ── a procedure of the tests' own ─────────────────────────────────────────────────────────────────────


@cache
def _plain() -> str:
    """The shipped bin's file without what it needs the outside world for: screened by hand, then paid."""
    yaml = YAML(typ="safe", pure=True)
    (shipped,) = SHIPPED.glob("compost-bin.yaml")
    told: Json = yaml.load(shipped.read_text("utf-8"))
    for part in ("planning", "delivery", "decision", "rules", "ipdc_product_id"):
        told.pop(part)
    price = {"from": "2026-01-01", "amount": 40.5}
    sold: Json = {"budget_key": {"account": "7010000", "policy_item": "0309-00"}}
    sold |= {"vat": {"rate": 0, "exemption_reason": "Niet onderworpen aan btw"}}
    for word in ("reminders", "default_notice", "costs_legal_basis"):
        told["payment"].pop(word)
    told["retention"].pop("REJECTED")
    kept = {"SUBMITTED", "INADMISSIBLE", "INFORMATION_REQUESTED", "PAYMENT_DUE", "CANCELLED"}
    messages = {name: one for name, one in told["texts"]["messages"].items() if name in kept}
    for one in messages.values():
        one.pop("joins", None), one.pop("replaces", None), one.pop("joined_subject", None)
    phases = {one["key"]: one for one in told["phases"]}
    told |= {
        "ipdc_product_id": "1446",
        "stages": ["screening", "payment"],
        "screening": {"by": "handler"},
        "information": {"answer_within_days": 14},
        "phases": [
            phases["application"],
            phases["handling"] | {"stages": ["screening"]},
            phases["payment"] | {"stages": ["payment"]},
        ],
        "form": {
            "schema": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "title": "Naam", "minLength": 1},
                    "remark": {"type": "string", "title": "Opmerking", "maxLength": 300},
                    "colour": {"type": "string", "title": "Kleur", "enum": ["groen", "zwart"]},
                    "where": {
                        "type": "object",
                        "title": "Plaats",
                        "properties": {"floor": {"type": "integer", "title": "Verdieping"}},
                    },
                },
            },
            "prefill": [{"field": "/name", "source": "magda.person.name", "fallback": "acmidm.name"}],
        },
        "catalogue": {
            "products": [
                {"key": "bak", "title": "Bak", "prices": [price]} | sold,
                {"key": "vat", "title": "Vat", "prices": [price]} | sold,
            ]
        },
        "documents": [{"key": "plan", "title": "Plan"}],
        "texts": told["texts"] | {"messages": messages},
        "dosis": {"SUBMITTED": {"code": "Ingediend", "phase": "Samenstelling"}},
    }
    return _written(told)


def toy(key: str, version: int = 1, changed: Callable[[Json], None] | None = None) -> str:
    """A version of a small procedure; `changed` makes it another than the plain one."""
    told: Json = YAML(typ="safe", pure=True).load(_plain())
    told |= {"key": key, "version": version, "reference_prefix": _prefix(key)}
    if changed is not None:
        changed(told)
    return _written(told)


def _written(told: Json) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.representer.ignore_aliases = lambda *_: True
    out = StringIO()
    yaml.dump(told, out)
    return out.getvalue()


@cache
def _prefix(_key: str) -> str:
    number = next(_numbers)
    return f"T{chr(65 + number // 26)}{chr(65 + number % 26)}"


def _second(told: Json) -> None:
    """Dearer, a question more that must be answered; a question, a product and a paper that are gone."""
    told["catalogue"]["products"].pop()
    told["catalogue"]["products"][0]["prices"] = [{"from": "2026-01-01", "amount": 45.25}]
    asked = told["form"]["schema"]
    asked["properties"].pop("remark")
    asked["properties"]["colour"]["enum"] = ["groen", "bruin"]
    asked["properties"]["reason"] = {"type": "string", "title": "Waarom"}
    asked["required"] = ["name", "reason"]
    told["documents"] = []
    told["term"]["days"] = 45


# ── two processes ─────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def another(town: Town, **changed: object) -> AsyncIterator[Town]:
    """One more API process over the database of `town`."""
    loket = Loket(replace(town.served.loket.settings, **changed))  # type: ignore[arg-type]  # fields by name
    with listening() as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with (
            serving(web.assemble(loket, schema.routes(loket)), listener),
            httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
        ):
            here = Served(url, loket, town.served.house, client)
            yield Town(here, _tokens=town._tokens, _numbers=town._numbers, _keys=town._keys)


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """Without a worker: nothing that is told to others is awaited here."""
    async with served(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield Town(found)


@pytest.fixture(scope="module")
async def there(town: Town) -> AsyncIterator[Town]:
    """The other process."""
    async with another(town) as found:
        yield found


PUBLISHED = """published comparedWith procedure { key version title } faults { line column reason }
    changes { kind subject text forApplicant }"""


async def publish(town: Town, text: str, who: str = OPERATOR, **arguments: object) -> Json:
    return await town.tries(who, "procedurePublish", PUBLISHED, definition=text, **arguments)


async def published(town: Town, text: str) -> Json:
    told = await publish(town, text)
    assert (told["errors"], told["faults"], told["published"]) == ([], [], True), told
    return told


async def version_of(town: Town, key: str) -> int | None:
    told = await town.ask(None, "query($key: String!) { procedure(key: $key) { version } }", key=key)
    return told["procedure"] and int(told["procedure"]["version"])


async def rows(town: Town, key: str) -> list[int]:
    found = await town.sql("SELECT version FROM procedureversion WHERE key = :key ORDER BY version", key=key)
    return [row.version for row in found]


def forgets(loket: Loket, key: str) -> None:
    """As a process is in the moment before it hears of what another published."""
    shelf = loket.procedures
    shelf._known = {at: one for at, one in shelf._known.items() if at[0] != key}
    shelf._last = 0


# ── publishing ────────────────────────────────────────────────────────────────────────────────────────


async def test_what_one_process_publishes_the_other_offers_at_once(town: Town, there: Town) -> None:
    told = await publish(town, toy("anew"))
    assert (told["published"], told["comparedWith"], told["changes"]) == (True, None, [])
    assert told["procedure"] == {"key": "anew", "version": 1, "title": "Compostbak of compostvat kopen"}
    assert await version_of(there, "anew") == 1
    assert await version_of(town, "anew") == 1
    (row,) = await town.sql(
        "SELECT published_by, given_name, length(sha256) AS digits, source FROM procedureversion"
        " JOIN staff ON staff.id = staff_id WHERE key = 'anew'"
    )
    assert (row.published_by, row.given_name, row.digits) == ("Greet Mertens", "Greet", 64)
    assert row.source == toy("anew")


async def test_the_same_again_has_the_same_answer_and_nothing_twice(town: Town, there: Town) -> None:
    await published(town, toy("again"))
    first = await publish(town, toy("again", 2, _second), idempotencyKey="greet's own")
    for place in (town, there):
        assert await publish(place, toy("again", 2, _second), idempotencyKey="greet's own") == first
        assert await publish(place, "# een woord vooraf\n" + toy("again", 2, _second)) == first
    assert await rows(town, "again") == [1, 2]
    refused = await publish(town, toy("again", 3), idempotencyKey="greet's own")
    assert refused["errors"][0]["code"] == "IDEMPOTENCY_MISMATCH"


async def test_trying_it_dry_changes_nothing_and_tells_the_same(town: Town, there: Town) -> None:
    await published(town, toy("dry"))
    tried = await publish(town, toy("dry", 2, _second), dryRun=True)
    assert (tried["published"], tried["errors"], tried["comparedWith"]) == (False, [], 1)
    assert await rows(town, "dry") == [1]
    assert await version_of(there, "dry") == 1
    done = await publish(town, toy("dry", 2, _second))
    assert done == tried | {"published": True}
    assert (await publish(town, toy("dry", 2, _second), dryRun=True))["published"] is True


async def test_all_that_is_wrong_is_said_at_once_with_its_place(town: Town) -> None:
    text = toy("wrong").replace("version: 1", "version: nul").replace("Samenstelling", "Onbekend")
    told = await publish(town, text)
    lines = text.splitlines()
    assert told["procedure"] is None
    assert [one["code"] for one in told["errors"]] == ["VALIDATION"]
    assert len(told["faults"]) >= 2
    places = [(one["line"], one["column"]) for one in told["faults"]]
    assert places == sorted(places)
    for line, column in places:
        assert lines[line - 1][column - 1 :].strip()
    assert any(lines[line - 1].startswith("version:") for line, _ in places)
    assert any("Onbekend" in one["reason"] for one in told["faults"])
    for text, reason in (("a: [", "not YAML"), ("", "list of words"), ("x" * 500_001, None)):
        told = await publish(town, text)
        assert told["errors"][0]["code"] == ("VALIDATION" if reason else "TOO_LARGE")
        assert not reason or reason in told["faults"][0]["reason"]
    assert await rows(town, "wrong") == []


async def test_a_definition_of_a_hundred_kilobytes_passes(town: Town) -> None:
    text = toy("large", changed=lambda told: told.update(description="Een woord. " * 10_000))
    assert len(text) > 100_000
    await published(town, text)


async def test_a_published_version_is_never_another(town: Town, there: Town) -> None:
    await published(town, toy("stays"))
    text = toy("stays", 1, _second)
    for place in (town, there):
        told = await publish(place, text)
        (refusal,) = told["errors"]
        assert (refusal["__typename"], refusal["code"]) == ("VersionConflict", "VERSION_CONFLICT")
        assert refusal["currentVersion"] == 1
        (fault,) = told["faults"]
        assert text.splitlines()[fault["line"] - 1] == "version: 1"
        assert "raise the version" in fault["reason"]
    await published(town, toy("stays", 3))
    assert (await publish(town, toy("stays", 2)))["errors"][0]["currentVersion"] == 3
    assert await rows(town, "stays") == [1, 3]
    for change in ("UPDATE procedureversion SET source = ''", "DELETE FROM procedureversion",
                   "TRUNCATE procedureversion"):  # fmt: skip
        with pytest.raises(DBAPIError, match="never changed"):
            await town.sql(change)


async def test_references_begin_otherwise_in_every_procedure(town: Town) -> None:
    text = toy("borrowed", changed=lambda told: told.update(reference_prefix="CB"))
    told = await publish(town, text)
    (fault,) = told["faults"]
    assert "compost-bin" in fault["reason"]
    assert text.splitlines()[fault["line"] - 1] == "reference_prefix: CB"


async def test_what_is_sold_with_vat_needs_the_sellers_number(town: Town) -> None:
    def taxed(told: Json) -> None:
        for product in told["catalogue"]["products"]:
            product["vat"] = {"rate": 21}

    told = await publish(town, toy("taxed", changed=taxed))
    assert ["LOKET_MUNICIPALITY_VAT_NUMBER" in one["reason"] for one in told["faults"]] == [True]
    hall = replace(town.served.loket.settings.municipality, vat_number=VatNumber("BE 0207.500.123"))
    async with another(town, municipality=hall) as other:
        await published(other, toy("taxed", changed=taxed))


@pytest.mark.parametrize("who", ["carla", HANDLER, FINANCE, "sofie", None])
async def test_nobody_but_an_operator_publishes(town: Town, who: str | None) -> None:
    for dry_run in (True, False):
        told = await town.tries(who, "procedurePublish", PUBLISHED, definition=toy("mine"), dryRun=dry_run)
        assert told["errors"][0]["code"] == ("NOT_ALLOWED" if who else "SIGN_IN_REQUIRED")
        assert told["faults"] == []
    assert await rows(town, "mine") == []


async def test_of_two_who_publish_at_once_one_wins_and_the_other_is_told(town: Town, there: Town) -> None:
    for number in range(1, 6):
        mine = toy("race", number)
        yours = toy("race", number, lambda told: told["term"].update(days=60))
        answers = await asyncio.gather(publish(town, mine), publish(there, yours))
        refused = [one for one in answers if one["errors"]]
        assert len(refused) == 1
        assert refused[0]["errors"][0]["code"] == "VERSION_CONFLICT"
    assert await rows(town, "race") == [1, 2, 3, 4, 5]


# ── every process knows ───────────────────────────────────────────────────────────────────────────────


async def test_a_process_that_did_not_hear_of_it_yet_reads_it_and_does_it_again(
    town: Town, there: Town
) -> None:
    await published(town, toy("unheard"))
    who = town.somebody()
    shelf = there.served.loket.procedures
    payload = await town.does(who, "applicationStart", "application { id }", procedure="unheard")
    draft = payload["application"]["id"]
    query = """query($id: ID!) { application(id: $id) { procedure { key version } issues { code }
        cart { lines { product } } } viewer { applications { nodes { procedure { key } } } } }"""
    told = await town.ask(who, query, id=draft)
    assert told["application"]["procedure"] == {"key": "unheard", "version": 1}
    acts: list[Callable[[], Awaitable[Any]]] = [
        lambda: there.ask(who, query, id=draft),
        lambda: there.does(who, "applicationSetAnswers", "application { answers }", id=draft, input={}),
        lambda: there.does(who, "applicationStart", "application { procedure { key } }", procedure="unheard"),
        lambda: there.ask(None, '{ procedure(key: "unheard") { version } }'),
    ]
    for act in acts:
        forgets(there.served.loket, "unheard")
        with pytest.raises(UnknownVersion):
            shelf["unheard", 1]
        told_there = await act()
        if told_there.get("application", {}).get("issues"):
            assert told_there == told
        assert shelf["unheard", 1].key == "unheard"


async def test_what_happens_outside_a_request_reads_it_too(town: Town, there: Town) -> None:
    """A worker's deadline, and an event that is followed."""
    await published(town, toy("deadline"))
    (case,) = await _cases(town.served.loket, "deadline")
    forgets(there.served.loket, "deadline")
    fired = await there.does(
        OPERATOR, "timerFire", "case { procedure { version } }", caseId=case, kind="TERM"
    )
    assert fired["case"]["procedure"]["version"] == 1


class HangsUp(Publications):
    """Read by somebody who is gone by the first version that they find."""

    gone = False

    def _published(self, version: Version, content: str, source: str, sha256: str) -> Definition | None:
        task = asyncio.current_task()
        if task is not None and not self.gone:
            self.gone = task.cancel()
        return super()._published(version, content, source, sha256)


async def test_who_is_cut_off_while_reading_keeps_nothing_from_the_next(town: Town) -> None:
    await published(town, toy("cut-off"))
    shelf = HangsUp(town.served.loket.database)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(shelf.refresh())
    await shelf.refresh()
    assert set(shelf) == set(town.served.loket.procedures)


async def test_a_process_hears_of_it_by_itself(town: Town, there: Town) -> None:
    await published(town, toy("heard"))

    async def known() -> bool:
        return ("heard", 1) in there.served.loket.procedures

    await until(known)


async def test_what_is_chosen_for_a_start_holds_until_its_commit(town: Town, there: Town) -> None:
    await published(town, toy("chosen"))
    loket = there.served.loket
    await loket.procedures.refresh()
    async with loket.work(the_system()) as work:
        definition = await applications.choose(work, "chosen")
        publishing_it = asyncio.create_task(published(town, toy("chosen", 2)))
        _, waiting = await asyncio.wait([publishing_it], timeout=0.3)
        assert waiting
        assert definition.version == 1
    await publishing_it
    forgets(loket, "chosen")
    async with loket.work(the_system()) as work:
        with pytest.raises(UnknownVersion):
            await applications.choose(work, "chosen")


async def test_files_are_on_the_shelf_and_stay_when_they_are_gone(
    town: Town, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "from-a-file.yaml"
    file.write_text(toy("from-a-file"), "utf-8")
    async with another(town, procedures=str(tmp_path)) as other:
        assert await version_of(other, "from-a-file") == 1
    (row,) = await town.sql("SELECT * FROM procedureversion WHERE key = 'from-a-file'")
    assert (row.published_by, row.staff_id) == ("from-a-file.yaml", None)
    assert await version_of(town, "from-a-file") == 1
    file.write_text(toy("from-a-file", 1, _second), "utf-8")
    with caplog.at_level(logging.WARNING, "loket.publications"):
        async with another(town, procedures=str(tmp_path)) as other:
            shelf = other.served.loket.procedures
            assert shelf["from-a-file", 1].term.days == 30
            assert shelf.differing == {("from-a-file", 1): str(file)}
    assert any("which stands: raise the version" in one.getMessage() for one in caplog.records)
    file.unlink()
    async with another(town, procedures=str(tmp_path)) as other:
        assert await version_of(other, "from-a-file") == 1


async def test_what_an_older_loket_published_is_read_whatever_is_asked_today(
    town: Town, there: Town, caplog: pytest.LogCaptureFixture
) -> None:
    content = publishing.as_json(publishing.parse(toy("older"), ""))
    sources = [text.replace("Samenstelling", "Onbekend") for text in (toy("older"), content)]
    with pytest.raises(publishing.DefinitionError):
        publishing.parse(sources[0], "")
    await _put(town, "older", *sources)
    await _put(town, "unreadable", "key: unreadable\nversion: 1\n", '{"key": "unreadable", "version": 1}')
    with caplog.at_level(logging.WARNING, "loket.publications"):
        assert await version_of(there, "older") == 1
        await there.served.loket.procedures.proofread()
    said = [one.getMessage() for one in caplog.records]
    assert ["older" in one for one in said if "would not be published today" in one] == [True]
    # one of the two processes may have looked before the log did
    assert {"unreadable" in one for one in said if "cannot be read" in one} == {True}
    assert await version_of(there, "unreadable") is None
    await published(town, toy("older", 2))
    assert (await publish(town, toy("unreadable")))["errors"][0]["code"] == "VERSION_CONFLICT"
    await published(town, toy("unreadable", 2))


async def _put(town: Town, key: str, text: str, content: str) -> None:
    await town.sql(
        "INSERT INTO procedureversion (key, version, source, content, sha256, published_at, published_by)"
        " VALUES (:key, 1, :source, :content, 'another', now(), 'an older Loket')",
        key=key, source=text, content=content,
    )  # fmt: skip


@pytest.mark.parametrize("text", [toy("same"), *(one.read_text("utf-8") for one in SHIPPED.glob("*.yaml"))])
def test_what_is_read_from_the_table_is_what_stood_in_the_file(text: str) -> None:
    definition = publishing.parse(text, "")
    again = publishing.from_json(
        publishing.as_json(definition), source=definition.source, sha256=definition.sha256
    )
    assert again == definition
    assert again.model_dump_json(by_alias=True) == definition.model_dump_json(by_alias=True)


# ── what differs ──────────────────────────────────────────────────────────────────────────────────────


def test_what_differs_is_named_in_the_language_of_who_reads_it() -> None:
    before, after = (publishing.parse(one, "") for one in (toy("words"), toy("words", 2, _second)))
    told = {(one.kind.value, one.subject): one for one in differences(before, after, TODAY, "nl")}
    assert told["PRICE_CHANGED", "bak"].text == "Andere prijs: Bak, van €\u00a040,50 naar €\u00a045,25."
    assert told["PRODUCT_REMOVED", "vat"].text == "Niet meer te krijgen: Vat."
    assert told["FIELD_ADDED", "/reason"].text == "Nieuwe vraag, verplicht in te vullen: Waarom."
    assert told["FIELD_REMOVED", "/remark"].text == "Niet meer gevraagd: Opmerking."
    assert told["FIELD_CHANGED", "/colour"].text == "Anders gevraagd: Kleur."
    assert told["DOCUMENT_REMOVED", "plan"].text == "Geen bewijsstuk meer: Plan."
    assert told["TERM_CHANGED", "term"].text == "U krijgt een beslissing binnen 45 dagen (was 30)."
    assert len(told) == 7
    in_english = [one.text for one in differences(before, after, TODAY, "en")]
    assert "New price: Bak, €40.50 to €45.25." in in_english
    back = {(one.kind.value, one.subject) for one in differences(after, before, TODAY, "nl")}
    assert {("FIELD_REMOVED", "/reason"), ("PRODUCT_ADDED", "vat"), ("DOCUMENT_ADDED", "plan")} <= back
    assert differences(before, before, TODAY, "nl") == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (lambda form: form["properties"]["colour"].update(title="Tint"), {"PART_CHANGED form"}),
        (lambda form: form.update(required=[]), {"FIELD_OPTIONAL /name"}),
        (lambda form: form["properties"].pop("where"), {"FIELD_REMOVED /where"}),
        (
            lambda form: form["properties"]["where"].update(required=["floor"]),
            {"FIELD_REQUIRED /where/floor"},
        ),
        (
            lambda form: form["properties"]["where"]["properties"]["floor"].update(minimum=1),
            {"FIELD_CHANGED /where/floor"},
        ),
        (lambda form: form.update(dependentRequired={"colour": ["remark"]}), {"FIELD_CHANGED /"}),
    ],
)
def test_a_form_is_compared_question_by_question(changed: Callable[[Json], Any], expected: set[str]) -> None:
    before = publishing.parse(toy("form"), "")
    after = publishing.parse(toy("form", 2, lambda told: changed(told["form"]["schema"])), "")
    assert {f"{one.kind} {one.subject}" for one in differences(before, after, TODAY, "nl")} == expected


def test_no_part_of_a_definition_differs_without_a_word() -> None:
    assert set(changes.PARTS) == set(Definition.model_fields) - {"key", "version"}


# ── a hundred cases and a new version ─────────────────────────────────────────────────────────────────


async def _cases(loket: Loket, key: str, number: int = 1) -> list[str]:
    """The ids of so many cases, handed in by the verbs: the doors would take long. Nobody is looked up."""

    async def apply() -> list[UUID]:
        async with loket.work(the_system()) as work:
            return [await _applies(work, key) for _ in range(number)]

    return [encode_id("Case", id) for id in await loket.procedures.informed(apply)]


async def _applies(work: Work, key: str) -> UUID:
    person = Person(given_name="Iemand", family_name="Anders", created_at=work.now)
    work.session.add(person)
    await work.session.flush()
    roles = frozenset({Role.APPLICANT})
    theirs = work.as_actor(Actor(ActorKind.CITIZEN, "Iemand Anders", roles, id=person.id))
    draft = await applications.start(theirs, key)
    await applications.set_answers(theirs, draft, {"name": "Iemand Anders"})
    await applications.set_cart(theirs, draft, [{"product": "bak", "quantity": 1}])
    return (await applications.submit(theirs, draft)).id


async def _end(loket: Loket, ids: Sequence[str]) -> None:
    """A handler admits them, and at the counter they are paid: by the verbs."""
    handler = Actor(ActorKind.STAFF, "Hilde Van Dyck", frozenset({Role.HANDLER, Role.FINANCE}))
    keys = [decode_id(id, "Case") for id in ids]
    async with loket.work(handler) as work:
        for key in keys:
            await screening.declare_admissible(work, await cases.get(work, key))
    async with loket.work(handler) as work:
        for key in keys:
            await cases.get(work, key)
            found = await work.session.scalars(select(Invoice).where(col(Invoice.case_id) == key))
            invoice = found.one()
            paid = Received("counter", str(key), invoice.amount, PaymentMethod.COUNTER, TODAY)
            await payments.register(work, invoice, paid)


async def test_a_new_version_while_a_hundred_cases_run(town: Town, there: Town) -> None:
    """They go on under their own; whoever begins afterwards begins on the new one; nobody sees an error."""
    places = (town, there)
    await published(town, toy("running"))
    ids = [id for n in range(10) for id in await _cases(places[n % 2].served.loket, "running", 10)]
    by_doors, by_verbs = ids[::25], ids[1::25] + ids[2::10]
    who = town.somebody()
    draft, _ = await _begins(there, who)
    heard: list[tuple[bool, int]] = []
    is_published, over = asyncio.Event(), asyncio.Event()

    async def keep_coming(place: Town) -> None:
        while not over.is_set():
            late = is_published.is_set()
            _, version = await _begins(place, place.somebody())
            heard.append((late, version))

    coming = [asyncio.create_task(keep_coming(place)) for place in places]
    await until(lambda: _says(len(heard) > 2))
    await published(town, toy("running", 2, _second))
    is_published.set()
    before = len(heard)
    await until(lambda: _says(len(heard) > before + 4))
    over.set()
    await asyncio.gather(*coming)
    assert {version for late, version in heard if late} == {2}
    assert {version for _, version in heard} == {1, 2}
    told = await town.ask(who, DRAFT, id=draft)
    assert told["application"]["newerVersion"]["procedure"]["version"] == 2

    for number, id in enumerate(by_doors):
        await _ends(places[number % 2], places[(number + 1) % 2], id)
    for n in range(2):
        await _end(places[n].served.loket, by_verbs[n::2])
    stand = await town.sql(
        'SELECT procedure_version, "case".status, count(*) AS cases, min(invoice.amount) AS least,'
        ' max(invoice.amount) AS most FROM "case" LEFT JOIN invoice ON case_id = "case".id'
        " WHERE procedure_key = 'running' GROUP BY 1, 2 ORDER BY 2"
    )
    ended, waiting = stand
    many = len(by_doors) + len(by_verbs)
    assert (ended.procedure_version, ended.status, ended.cases) == (1, "COMPLETED", many)
    assert (str(ended.least), str(ended.most)) == ("40.50", "40.50")
    assert (waiting.procedure_version, waiting.cases) == (1, 100 - many)


async def _begins(place: Town, who: str) -> tuple[str, int]:
    fields = "application { id procedure { version } }"
    started = await place.does(who, "applicationStart", fields, procedure="running")
    return started["application"]["id"], started["application"]["procedure"]["version"]


async def _ends(place: Town, other: Town, id: str) -> None:
    """The same by the doors: admitted in one process, paid in the other."""
    fields = "case { status procedure { version } invoice { id amount { amount } } }"
    case = (await place.does(HANDLER, "caseDeclareAdmissible", fields, id=id))["case"]
    assert (case["status"], case["procedure"]["version"]) == ("AWAITING_PAYMENT", 1)
    paid = {"amount": "40.50", "method": "COUNTER", "reference": id, "valueDate": TODAY.isoformat()}
    await other.does(FINANCE, "paymentRegister", invoiceId=case["invoice"]["id"], input=paid)


async def _says(value: bool) -> bool:
    return value


# ── drafts ────────────────────────────────────────────────────────────────────────────────────────────

DRAFT = """query($id: ID!) { application(id: $id) { version answers procedure { version } documents { kind }
    cart { lines { product quantity } total { amount } } prefill { field source }
    newerVersion { required procedure { version } changes { kind subject text forApplicant } } } }"""


async def _draft(town: Town, who: str, key: str) -> str:
    """Filled in, with something of everything that will be gone."""
    draft: str = (await town.does(who, "applicationStart", "application { id }", procedure=key))[
        "application"
    ]["id"]
    given = {"remark": "Achterom", "colour": "zwart", "where": {"floor": 2}}
    await town.does(who, "applicationSetAnswers", id=draft, input=given)
    lines = [{"product": "vat", "quantity": 1}, {"product": "bak", "quantity": 2}]
    await town.does(who, "applicationSetCart", id=draft, input={"lines": lines})
    return draft


async def _with_a_plan(town: Town, who: str, draft: str) -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(20)
    told = {"filename": "plan.png", "mediaType": "image/png", "size": len(png), "kind": "plan"}
    upload = await town.does(who, "documentUploadStart", "uploadUrl document { id }", input=told)
    path = httpx2.URL(upload["uploadUrl"]).path
    sent = await town.client.put(path, content=png, headers={"Content-Type": "image/png"})
    assert sent.is_success
    await town.does(who, "applicationAttachDocument", id=draft, documentId=upload["document"]["id"])


async def test_a_draft_is_told_what_changed_and_can_be_handed_in_as_it_is(town: Town, there: Town) -> None:
    await published(town, toy("told"))
    who = town.somebody()
    draft = await _draft(town, who, "told")
    assert (await town.ask(who, DRAFT, id=draft))["application"]["newerVersion"] is None
    await published(town, toy("told", 2, _second))
    told = (await there.ask(who, DRAFT, id=draft))["application"]
    newer = told["newerVersion"]
    assert (newer["required"], newer["procedure"]["version"]) == (False, 2)
    assert {one["kind"] for one in newer["changes"]} == {
        "PRICE_CHANGED", "PRODUCT_REMOVED", "FIELD_ADDED", "FIELD_REMOVED", "FIELD_CHANGED",
        "DOCUMENT_REMOVED", "TERM_CHANGED",
    }  # fmt: skip
    assert all(one["forApplicant"] for one in newer["changes"])
    assert told["cart"]["total"]["amount"] == "121.50"
    fields = "application { newerVersion { required } } case { procedure { version } }"
    handed_in = await there.does(who, "applicationSubmit", fields, id=draft)
    assert handed_in["case"]["procedure"]["version"] == 1
    assert handed_in["application"]["newerVersion"] is None


async def test_a_draft_is_taken_over_with_what_fits_and_told_what_does_not(town: Town, there: Town) -> None:
    await published(town, toy("over"))
    who = town.somebody()
    draft = await _draft(town, who, "over")
    await _with_a_plan(town, who, draft)
    before = (await town.ask(who, DRAFT, id=draft))["application"]
    followed = await _followed(town, "over")
    await published(town, toy("over", 2, _second))
    conflict = await there.refused(who, "applicationUpgrade", id=draft, expectedVersion=before["version"] - 1)
    assert conflict["code"] == "VERSION_CONFLICT"
    payload = await there.does(
        who, "applicationUpgrade", "leftOut { path message } changes { kind }", id=draft,
        expectedVersion=before["version"],
    )  # fmt: skip
    assert [(one["path"], one["message"]) for one in payload["leftOut"]] == [
        (["answers", "remark"], "Dit wordt niet meer zo gevraagd: Opmerking."),
        (["answers", "colour"], "Dit wordt niet meer zo gevraagd: Kleur."),
        (["cart", "0"], "Dit is niet meer te krijgen: Vat."),
        (["documents"],
         "Dit is geen afzonderlijk bewijsstuk meer, en is nu een gewone bijlage: Plan (plan.png)."),
    ]  # fmt: skip
    assert len(payload["changes"]) == 7
    after = (await town.ask(who, DRAFT, id=draft))["application"]
    assert (after["procedure"]["version"], after["newerVersion"]) == (2, None)
    assert after["version"] == before["version"] + 1
    assert after["answers"] == {"name": before["answers"]["name"], "where": {"floor": 2}}
    assert after["prefill"] == before["prefill"] != []
    assert after["cart"] == {"lines": [{"product": "bak", "quantity": 2}], "total": {"amount": "90.50"}}
    assert after["documents"] == [{"kind": "ATTACHMENT"}]
    assert followed == await _followed(town, "over") == [(1, "REGISTERED")]
    again = await town.does(who, "applicationUpgrade", "leftOut { path } application { version }", id=draft)
    assert (again["leftOut"], again["application"]["version"]) == ([], after["version"])
    await town.does(who, "applicationSetAnswers", id=draft, input={"reason": "Daarom"})
    handed_in = await town.does(who, "applicationSubmit", "case { procedure { version } }", id=draft)
    assert handed_in["case"]["procedure"]["version"] == 2


async def _followed(town: Town, key: str) -> list[tuple[int, str]]:
    """How many drafts and cases need somebody's registration at MAGDA, and where it stands."""
    found = await town.sql(
        "SELECT count(*) AS uses, state FROM magdause JOIN magdaregistration r ON r.id = registration_id"
        " WHERE purpose = :key GROUP BY r.id, state",
        key=key,
    )
    return [(row.uses, row.state) for row in found]


async def test_a_draft_whose_version_holds_no_more_is_refused_until_it_is_taken_over(town: Town) -> None:
    def for_a_while(told: Json) -> None:
        told["valid_to"] = told["valid_from"]

    await published(town, toy("ended"))
    who = town.somebody()
    draft = await _draft(town, who, "ended")
    await published(town, toy("ended", 2, for_a_while))
    await town.sql("UPDATE application SET procedure_version = 2 WHERE procedure_key = 'ended'")
    newer = (await town.ask(who, DRAFT, id=draft))["application"]["newerVersion"]
    assert (newer["required"], newer["procedure"]["version"]) == (True, 1)
    refusal = await town.refused(who, "applicationSubmit", id=draft)
    assert (refusal["code"], refusal["path"]) == ("OUTDATED", ["id"])
    assert "Neem ze over" in refusal["message"]
    await published(town, toy("ended", 3))
    await town.does(who, "applicationUpgrade", id=draft)
    handed_in = await town.does(who, "applicationSubmit", "case { procedure { version } }", id=draft)
    assert handed_in["case"]["procedure"]["version"] == 3


async def test_what_can_not_be_applied_for_today_can_not_be_taken_over(town: Town) -> None:
    def for_a_while(told: Json) -> None:
        told["valid_to"] = told["valid_from"]

    await published(town, toy("closed"))
    who = town.somebody()
    draft = await _draft(town, who, "closed")
    await published(town, toy("closing", 1, for_a_while))
    await town.sql("UPDATE application SET procedure_key = 'closing' WHERE procedure_key = 'closed'")
    assert (await town.ask(who, DRAFT, id=draft))["application"]["newerVersion"] is None
    for action, code in (("applicationSubmit", "OUTDATED"), ("applicationUpgrade", "NOT_FOUND")):
        assert (await town.refused(who, action, id=draft))["code"] == code
    assert (await town.refused("carla", "applicationUpgrade", id=draft))["code"] == "NOT_FOUND"


# ── from the command line ─────────────────────────────────────────────────────────────────────────────


async def test_a_file_is_published_by_the_command(town: Town, there: Town, tmp_path: Path) -> None:
    settings = town.served.loket.settings
    first, second = tmp_path / "b.yaml", tmp_path / "a.yaml"
    first.write_text(toy("by-command"), "utf-8")
    second.write_text(toy("by-command", 2, _second), "utf-8")
    both = [str(first), str(second)]
    told = await procedure_files.run(settings, both, dry_run=True)
    assert [(line.splitlines()[0], taken) for line, taken in told] == [
        (f"{first}: by-command version 1 can be published", True),
        (f"{second}: by-command version 2 can be published", True),
    ]
    assert await rows(town, "by-command") == []
    told = await procedure_files.run(settings, both, dry_run=False)
    lines = told[1][0].splitlines()
    assert lines[0] == f"{second}: by-command version 2 published, after version 1"
    assert "  Andere prijs: Bak, van €\u00a040,50 naar €\u00a045,25." in lines
    assert await version_of(there, "by-command") == 2
    assert [taken for _, taken in told] == [True, True]
    again = await procedure_files.run(settings, both, dry_run=False)
    assert again[0] == (f"{first}: by-command version 1 was there already", True)
    first.write_text(toy("by-command", 1, _second), "utf-8")
    second.write_text(toy("by-command", 3).replace("Samenstelling", "Onbekend"), "utf-8")
    told = await procedure_files.run(settings, both, dry_run=False)
    assert [taken for _, taken in told] == [False]
    assert told[0][0].startswith(f"{second}:")
    told = await procedure_files.run(settings, [str(first)], dry_run=False)
    assert told[0][0].startswith(f"{first}:")
    assert "raise the version" in told[0][0]
    assert await rows(town, "by-command") == [1, 2]
    await there.served.loket.procedures.refresh()
    differing = procedure_files.differing(
        replace(settings, procedures=_alone(tmp_path, first)), settings.database_url
    )
    assert [one.split(" differs")[0].rpartition("/")[2] for one in differing] == ["b.yaml"]


def _alone(folder: Path, file: Path) -> str:
    """A folder with that file only."""
    alone = folder / "alone"
    alone.mkdir()
    file.rename(alone / file.name)
    return str(alone)

"""Who may see and do what: the whole schema, field by field, asked by everybody whom it does not concern.

What is asked comes from the schema itself, so that a new field is tried on the day it is there.
"""

import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import graphql
import orjson
import pytest
from graphql import GraphQLField, GraphQLInputObjectType, GraphQLObjectType, get_named_type
from uuid_utils.compat import uuid7

from loket.api.context import Caller, Context
from loket.api.schema import schema, sdl
from loket.ids import encode_id, read_id
from loket.lifecycle import Role
from loket.records import ActorKind
from loket.work import Actor
from town import DRIVER, FINANCE, HANDLER, OPERATOR, Dossier, Json, Town, opened

SDL = graphql.build_schema(sdl())
STAFF = (HANDLER, FINANCE, DRIVER, OPERATOR)
SECRETARY, ADVISER = "sandra", "astrid"
FOR_EVERYBODY = {"Slot", "StaffMember"}
"""Slots and the names of staff: whoever is signed in and has the id may read them."""
OWN_AFFAIRS = {"applicationStart", "documentUploadStart", "contactPreferencesSet", "contactPointVerify"}
"""Mutations that name nobody but the caller."""
WITH_A_LINK = {"adviceGiveByToken"}
"""Mutations for whoever has a link, signed in or not."""
ROWS = 'SELECT {key} FROM "{table}"'
SUM = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM \"{table}\" t"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)

# fmt: off
MAY = {
    # mutation                     who, of the staff
    "caseAssign":                  {HANDLER, OPERATOR},
    "caseBulkAssign":              {HANDLER, OPERATOR},
    "caseRelease":                 {HANDLER, OPERATOR},
    "caseDeclareAdmissible":       {HANDLER, OPERATOR},
    "caseDeclareInadmissible":     {HANDLER, OPERATOR},
    "caseRequestInformation":      {HANDLER, OPERATOR},
    "caseSupplyInformation":       {HANDLER, FINANCE, DRIVER, OPERATOR, SECRETARY},  # the case's own table says whom
    "caseSuspend":                 {HANDLER, OPERATOR},
    "caseResume":                  {HANDLER, OPERATOR},
    "caseExtendTerm":              {HANDLER, OPERATOR},
    "caseWithdraw":                {HANDLER, FINANCE, DRIVER, OPERATOR, SECRETARY},  # as above
    "caseCancel":                  {HANDLER, OPERATOR},
    "caseRequestReview":           {HANDLER, FINANCE, DRIVER, OPERATOR, SECRETARY},  # as above
    "caseReopen":                  {HANDLER, OPERATOR},
    "caseAddNote":                 {HANDLER, FINANCE, DRIVER, OPERATOR, SECRETARY},
    "taskComplete":                {HANDLER, FINANCE, DRIVER, OPERATOR, SECRETARY},
    "decisionTake":                {HANDLER, OPERATOR},
    "decisionPrepare":             {HANDLER, OPERATOR},
    "decisionSendToMinutes":       {HANDLER, OPERATOR},
    "decisionRecord":              {SECRETARY},
    "decisionConfirm":             {HANDLER, OPERATOR},
    "decisionWithdraw":            {HANDLER, OPERATOR, SECRETARY},
    "letterBatchMake":             {OPERATOR, SECRETARY},
    "letterBatchProof":            {OPERATOR, SECRETARY},
    "checkRepeat":                 {HANDLER, FINANCE, DRIVER, OPERATOR, SECRETARY},  # the check's own table says whom
    "checkReplaceByDocument":      {HANDLER, OPERATOR},
    "adviceRequest":               {HANDLER, OPERATOR},
    "adviceGive":                  {HANDLER, OPERATOR, ADVISER},  # and advisers
    "adviceGiveByToken":           {HANDLER, FINANCE, DRIVER, OPERATOR, SECRETARY, ADVISER},  # whoever has a link
    "adviceWithdraw":              {HANDLER, OPERATOR},
    "paymentStart":                {HANDLER, FINANCE, DRIVER, OPERATOR, SECRETARY},  # as above
    "paymentRegister":             {FINANCE},
    "bankStatementImport":         {FINANCE},
    "paymentMatch":                {FINANCE},
    "bankEntrySetAside":           {FINANCE},
    "invoiceCredit":               {FINANCE},
    "invoiceWriteOff":             {FINANCE},
    "reconciliationRun":           {FINANCE},
    "comparisonRun":               {OPERATOR},
    "differenceRepair":            {FINANCE, OPERATOR},
    "journalExport":               {FINANCE},
    "journalEntryResend":          {FINANCE},
    "refundOrder":                 {FINANCE},
    "depositReturn":               {FINANCE},
    "payoutOrder":                 {HANDLER, FINANCE, OPERATOR},
    "payoutApprove":               {FINANCE},
    "payoutDecline":               {FINANCE},
    "payoutCancel":                {HANDLER, FINANCE, OPERATOR},
    "payoutCorrectAccount":        {HANDLER, FINANCE, DRIVER, OPERATOR, SECRETARY},  # the case's own table says whom
    "payoutRecord":                {FINANCE},
    "deliveryHoldSlot":            {HANDLER, FINANCE, DRIVER, OPERATOR, SECRETARY},  # as above
    "deliveryBookSlot":            {HANDLER, FINANCE, DRIVER, OPERATOR, SECRETARY},  # as above
    "deliveryReschedule":          {HANDLER, FINANCE, DRIVER, OPERATOR, SECRETARY},  # as above
    "deliveryConfirm":             {HANDLER, DRIVER, OPERATOR},
    "deliveryReportMissed":        {HANDLER, DRIVER, OPERATOR},
    "deliveryCancel":              {HANDLER, OPERATOR},
    "experienceRate":              set(),  # of the applicant alone
    "messageResend":               {HANDLER, OPERATOR},
    "effectRetry":                 {OPERATOR},
    "effectSkip":                  {OPERATOR},
    "systemPause":                 {OPERATOR},
    "systemResume":                {OPERATOR},
    "timerFire":                   {OPERATOR},
    "webhookSubscribe":            {OPERATOR},
    "webhookUnsubscribe":          {OPERATOR},
    "webhookPause":                {OPERATOR},
    "webhookResume":               {OPERATOR},
    "webhookReplay":               {OPERATOR},
    "procedureSimulate":           {HANDLER, OPERATOR},
    "procedurePublish":            {OPERATOR},
    "applicationStartAtCounter":   {HANDLER, OPERATOR},
    "applicationSetAnswers":       {HANDLER, OPERATOR},  # drafts of the counter only
    "applicationSetCart":          {HANDLER, OPERATOR},
    "applicationAttachDocument":   {HANDLER, OPERATOR},
    "applicationRemoveDocument":   {HANDLER, OPERATOR},
    "applicationSubmit":           {HANDLER, OPERATOR},
    "applicationUpgrade":          {HANDLER, OPERATOR},
    "applicationDiscard":          {HANDLER, OPERATOR},
    "documentUploadStart":         {HANDLER, OPERATOR},
}
# fmt: on


# ── a town with somebody's affairs in it ──────────────────────────────────────────────────────────────


@dataclass
class Affairs:
    """Everything of An's, by type, and words that stand nowhere but there."""

    town: Town
    cases: list[Dossier]
    ids: dict[str, list[str]]
    secrets: frozenset[str]

    @property
    def references(self) -> list[str]:
        return [one.reference for one in self.cases]


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


@pytest.fixture(scope="module")
async def affairs(town: Town) -> Affairs:
    """An's: a paid and planned case, one that she took back, one to pay, a draft; her husband has one too."""
    for who in (*STAFF, "carla"):
        await town.ask(who, "{ viewer { kind } }")
    others = [await town.applies("bert", cart={"vat": 1}), await town.applies("dirk", cart={"vat": 1})]
    for one in others:
        await one.calm()
    before = await _keys(town)
    cases = [await _planned(town), await _taken_back(town), await _to_pay(town)]
    await _draft(town)
    for one in cases:
        await one.calm()
    # nothing happens by itself while everybody tries
    await town.sql("UPDATE timer SET due_at = due_at + interval '1 day' WHERE state = 'ARMED'")
    after = await _keys(town)
    keys = {kind: sorted(after[kind] - before[kind], key=str) for kind in after}
    ids = {kind: [encode_id(kind, key) for key in found] for kind, found in keys.items() if found}
    return Affairs(town, cases, ids, await _secrets(town, cases, keys, ids))


async def _planned(town: Town) -> Dossier:
    remark = {"delivery": {"place": "home", "remark": "sleutel-onder-mat"}}
    draft = await town.fills_in("an", cart={"bak": 1}, answers=remark)
    announced = {"filename": "geheim-van-an.png", "mediaType": "image/png", "size": len(PNG)}
    upload = await town.does("an", "documentUploadStart", "uploadUrl document { id }", input=announced)
    assert (await town.served.client.put(upload["uploadUrl"], content=PNG)).is_success
    await town.does("an", "applicationAttachDocument", id=draft, documentId=upload["document"]["id"])
    submitted = await town.does("an", "applicationSubmit", "case { id reference }", id=draft)
    case = Dossier(town, "an", submitted["case"]["id"], submitted["case"]["reference"])
    await town.does(HANDLER, "caseAssign", id=case.id)
    await town.does(HANDLER, "caseAddNote", id=case.id, input={"text": "nota-over-an"})
    await case.pays()
    await case.until("AWAITING_SLOT")
    await case.books()
    await _at_the_counter(case, "kas-an-2")  # more than is due: a person must see to it
    return case


async def _taken_back(town: Town) -> Dossier:
    case = await town.applies("an", cart={"vat": 1})
    await case.pays()
    await case.until("AWAITING_SLOT")
    await town.does("an", "caseWithdraw", id=case.id, input={"reason": "wij-verhuizen-toch"})
    return case


async def _to_pay(town: Town) -> Dossier:
    case = await town.applies("an", cart={"vat": 1})
    await case.goes_to_pay()
    await _at_the_counter(case, "kas-an-1")
    return case


async def _at_the_counter(case: Dossier, reference: str) -> None:
    invoice = await case.read("an", "invoice { id }")
    paid = {"amount": "1.00", "method": "COUNTER", "reference": reference, "valueDate": "2026-11-20"}
    await case.town.does(FINANCE, "paymentRegister", invoiceId=invoice["invoice"]["id"], input=paid)


async def _draft(town: Town) -> None:
    await town.does("an", "applicationStart", procedure="compost-bin")


async def _keys(town: Town) -> dict[str, set[UUID]]:
    """The keys of all rows, by type."""
    found: dict[str, set[UUID]] = {}
    for kind, entity in schema.map.entities.items():
        if entity.table is not None:
            rows = await town.sql(ROWS.format(key=entity.key, table=entity.table.name))
            found[kind] = {row[0] for row in rows}
    return found


async def _secrets(
    town: Town, cases: list[Dossier], keys: dict[str, list[UUID]], ids: dict[str, list[str]]
) -> frozenset[str]:
    told = {"geheim-van-an", "nota-over-an", "wij-verhuizen-toch", "sleutel-onder-mat", "kas-an-"}
    told |= {"Peeters", "an.peeters@", *(one.reference for one in cases)}
    for number, reference in await town.sql(
        "SELECT number, reference FROM invoice WHERE case_id = ANY(:cases)", cases=keys["Case"]
    ):
        told |= {number, reference, reference[3:7] + "/" + reference[7:]}
    for kind in ids.keys() - FOR_EVERYBODY:
        told |= {*ids[kind], *(str(one) for one in keys[kind]), *(one.hex for one in keys[kind])}
    return frozenset(told)


# ── what is asked: made from the schema ───────────────────────────────────────────────────────────────


def selection(kind: Any, depth: int, only: str = "") -> str:  # noqa: ANN401  # any GraphQL output type
    """All fields of a type that need no arguments, nested so deep; pages of two; of nodes `only` one type."""
    named = get_named_type(kind)
    if graphql.is_leaf_type(named):
        return ""
    if named.name == "Node":
        return f"{{ __typename ... on {only} {selection(SDL.type_map[only], depth)} }}"
    if isinstance(named, graphql.GraphQLInterfaceType):
        return "{ __typename " + " ".join(named.fields) + " }"
    assert isinstance(named, GraphQLObjectType)
    fields = []
    for name, field in named.fields.items():
        if any(graphql.is_required_argument(one) for one in field.args.values()):
            continue
        composite = not graphql.is_leaf_type(get_named_type(field.type))
        if composite and depth == 0:
            continue
        paged = "(first: 2)" if "first" in field.args else ""
        # a page and its items are no step further away
        deeper = depth - (not get_named_type(field.type).name.endswith(("Connection", "Edge", "PageInfo")))
        inner = selection(field.type, deeper) if composite else ""
        if not composite or len(inner) > len("{ __typename  }"):
            fields.append(f"{name}{paged} {inner}")
    return "{ __typename " + " ".join(fields) + " }"


def arguments(field: GraphQLField, affairs: Affairs, kind: str = "") -> Iterator[dict[str, Any]]:
    """Values for the arguments of a root field, out of An's affairs; ids of `kind`, or of each in turn."""
    kinds = [kind] if kind else sorted(affairs.ids)
    wanted = {
        name: list(_values(name, argument.type, affairs, kinds))
        for name, argument in field.args.items()
        if name not in {"first", "last", "after", "before", "orderBy", "expectedVersion"}
    }
    for chosen in itertools.product(*wanted.values()):
        yield dict(zip(wanted, chosen, strict=True))


def _values(name: str, kind: Any, affairs: Affairs, kinds: list[str]) -> Iterator[Any]:  # noqa: ANN401  # as above
    named = get_named_type(kind).name
    if named == "ID" and name == "handlerId":
        yield affairs.ids.get("StaffMember", [encode_id("StaffMember", uuid7())])[0]
    elif named == "ID" and name == "slotId":
        yield affairs.ids["Slot"][-1]
    elif named == "ID" and name == "documentId":
        yield from affairs.ids["Document"][:1]
    elif named == "ID":
        for one in kinds:
            yield affairs.ids[one][:8] if name == "ids" else affairs.ids[one][0]
    elif name in {"reference", "number"}:
        yield from [*affairs.references, *(one for one in affairs.secrets if one.startswith("VF-"))]
    elif name == "filter":
        yield None
        yield from _filters(get_named_type(kind), affairs)
    else:
        yield _value(name, kind)


def _filters(kind: Any, affairs: Affairs) -> Iterator[Json]:  # noqa: ANN401  # as above
    assert isinstance(kind, GraphQLInputObjectType)
    known = {"reference": affairs.references[0], "applicantName": "Peeters", "mine": False}
    for name, field in kind.fields.items():
        if get_named_type(field.type).name != "ID":
            yield {name: known.get(name, _value(name, field.type))}


def _value(name: str, kind: Any) -> Any:  # noqa: ANN401  # as above
    """Something that the schema takes, and the action too where possible."""
    bare = graphql.get_nullable_type(kind)
    if graphql.is_list_type(bare):
        return [_value(name, bare.of_type)]
    named = get_named_type(bare)
    if graphql.is_enum_type(named):
        return {"PaymentMethod": "COUNTER", "TimerKind": "PAYMENT_END"}.get(
            named.name, next(iter(named.values))
        )
    if isinstance(named, GraphQLInputObjectType):
        return {one: _value(one, field.type) for one, field in named.fields.items()}
    later = (datetime.now(UTC) + timedelta(days=60)).date().isoformat()
    known = {"returnUrl": None, "procedure": "compost-bin", "system": "dosis", "key": "compost-bin",
             "product": "bak", "option": "beluchtingsstok", "mediaType": "image/png",
             "language": "nl"}  # fmt: skip
    simple = {"Boolean": True, "Int": 1, "Decimal": "1.00", "Date": later, "DateTime": f"{later}T00:00:00Z",
              "JSON": {"delivery": {"place": "home"}}, "EmailAddress": "x@voorbeeld.example",
              "PhoneNumber": "+32470123456", "IBAN": "BE68539007547034",
              "ID": encode_id("Case", uuid7())}  # fmt: skip
    if name == "idempotencyKey":
        return uuid7().hex
    return known.get(name, simple.get(named.name, "123456"))


def document(operation: str, name: str, field: GraphQLField, given: Json, depth: int) -> str:
    named = read_id(given["ids"][0] if "ids" in given else given.get("id", ""))
    only = named.kind if named else ""
    declared = ", ".join(f"${one}: {field.args[one].type}" for one in given)
    passed = ", ".join(f"{one}: ${one}" for one in given)
    head = f"{operation}({declared})" if declared else operation
    return f"{head} {{ {name}{f'({passed})' if passed else ''} {selection(field.type, depth, only)} }}"


QUERIES = SDL.query_type.fields if SDL.query_type else {}
MUTATIONS = SDL.mutation_type.fields if SDL.mutation_type else {}


def leaks(answer: object, affairs: Affairs, asked: object = None) -> set[str]:
    """What of An's stands in an answer, beside what was asked with."""
    said = orjson.dumps(answer).decode()
    given = orjson.dumps(asked).decode()
    return {one for one in affairs.secrets if one in said and one not in given}


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("who", [None, "bert", "carla"])
async def test_nobody_else_reads_anything(affairs: Affairs, who: str | None) -> None:
    for name, field in QUERIES.items():
        depth = 2 if name == "case" else 1
        for given in arguments(field, affairs):
            told = await affairs.town.post(who, document("query", name, field, given, depth), given)
            codes = {one["extensions"]["code"] for one in told.get("errors", ())}
            assert codes <= {"NOT_FOUND"}, (name, given, told)
            assert not leaks(told, affairs, given), (name, given, told)


@pytest.mark.parametrize("who", [None, "bert", "carla"])
async def test_the_id_of_somebody_elses_row_is_as_good_as_none(affairs: Affairs, who: str | None) -> None:
    every = [(kind, one) for kind, found in affairs.ids.items() for one in found]
    private = [one for kind, one in every if kind not in FOR_EVERYBODY]
    for at in range(0, len(private), 100):
        some = private[at : at + 100]
        told = await affairs.town.post(
            who, "query($ids: [ID!]!) { nodes(ids: $ids) { __typename } }", {"ids": some}
        )
        assert told["data"]["nodes"] == [None] * len(some)
    missing = encode_id("Case", uuid7())
    for _, one in every[:: max(1, len(every) // 12)]:
        ask = "query($id: ID!) { deliverySlots(caseId: $id) { id } application(id: $id) { id } }"
        answers = [await affairs.town.post(who, ask, {"id": id}) for id in (one, missing)]
        assert answers[0] == answers[1]


async def test_counting_searching_and_leafing_tell_nothing_of_others(affairs: Affairs) -> None:
    town = affairs.town
    for who, number in (("bert", 1), ("carla", 0)):
        told = await town.ask(
            who,
            "{ cases { totalCount pageInfo { hasNextPage } } invoices { totalCount } messages { totalCount }"
            " viewer { cases { totalCount } applications { totalCount } accessLog { totalCount } } }",
        )
        assert (told["cases"]["totalCount"], told["invoices"]["totalCount"]) == (number, number)
        assert told["viewer"]["cases"]["totalCount"] == told["viewer"]["applications"]["totalCount"] == number
        assert not told["cases"]["pageInfo"]["hasNextPage"]
    page = "query($after: Cursor) { cases(first: 1, after: $after) { nodes { id } pageInfo { endCursor } } }"
    cursor = (await town.ask("an", page))["cases"]["pageInfo"]["endCursor"]
    told = await town.ask("bert", page, after=cursor)  # a cursor is a place, not a permission
    assert not leaks(told, affairs, cursor)


async def test_an_adviser_and_a_service_read_nothing_yet(affairs: Affairs) -> None:
    loket = affairs.town.served.loket
    for actor in (
        Actor(ActorKind.STAFF, "Adviser", frozenset({Role.ADVISER}), uuid7()),
        Actor(ActorKind.SERVICE, "service", frozenset(), uuid7()),
        Actor(ActorKind.STAFF, "Elsewhere", frozenset(), uuid7()),
    ):
        context = Context(loket, Caller(loket, actor, "nl"), loket.database)
        for name, field in QUERIES.items():
            for given in arguments(field, affairs):
                asked = document("query", name, field, given, 1)
                answer = await schema.answer(asked, context=context, variables=given)
                assert not leaks(orjson.loads(answer.body), affairs, given), (actor.name, name, given)


async def test_staff_of_another_municipality_get_no_further_than_the_door(affairs: Affairs) -> None:
    served = affairs.town.served
    state = served.house.states["acmidm"]
    token = await served.token_of("sofie")
    kept = state.get("token", token)
    assert kept is not None
    state.put("token", token, kept | {"scope": "openid profile vo"})  # so no role for this municipality
    headers = {"Authorization": f"Bearer {token}"}
    answer = await served.client.post("/graphql", json={"query": "{ cases { totalCount } }"}, headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (403, "NOT_ALLOWED")


async def test_somebody_elses_case_cannot_be_followed(affairs: Affairs) -> None:
    client = affairs.town.served.client
    told = {}
    for who in (None, "bert", "carla"):
        for reference in (affairs.references[0], "CB-2026-000000-0"):
            body = {"query": f'subscription {{ caseEvents(reference: "{reference}") {{ id type }} }}'}
            headers = {"Accept": "text/event-stream"}
            if who:
                headers["Authorization"] = f"Bearer {await affairs.town.served.token_of(who)}"
            answer = await client.post("/graphql", json=body, headers=headers)
            told[who, reference] = answer.text
        assert told[who, affairs.references[0]] == told[who, "CB-2026-000000-0"]
        assert ("NOT_FOUND" if who else "SIGN_IN_REQUIRED") in told[who, affairs.references[0]]


async def test_what_is_for_staff_alone_is_not_shown_to_the_citizen_whom_it_is_about(affairs: Affairs) -> None:
    town = affairs.town
    staff_only = [kind for kind in ("Note", "Task", "Attempt") if kind in affairs.ids]
    assert staff_only
    for kind in staff_only:
        told = await town.ask("an", "query($id: ID!) { node(id: $id) { id } }", id=affairs.ids[kind][0])
        assert told["node"] is None
    told = await town.ask(
        "an",
        "query($r: String!) { case(reference: $r) { notes { text } tasks { kind } effects { kind }"
        " timeline { nodes { effects { lastError attempts { error } } } } }"
        " tasks { totalCount } deliveries { totalCount } payments { totalCount }"
        " failedEffects { totalCount } }",
        r=affairs.references[0],
    )
    case = told["case"]
    assert (case["notes"], case["tasks"], case["effects"]) == ([], [], [])
    effects = [effect for event in case["timeline"]["nodes"] for effect in event["effects"]]
    assert effects
    assert all(one["lastError"] is None and one["attempts"] == [] for one in effects)
    assert {told[name]["totalCount"] for name in ("tasks", "deliveries", "payments", "failedEffects")} == {0}


async def test_staff_do_not_read_drafts(affairs: Affairs) -> None:
    town = affairs.town
    (draft,) = [
        encode_id("Application", row[0])
        for row in await town.sql("SELECT id FROM application WHERE status = 'DRAFT'")
        if encode_id("Application", row[0]) in affairs.ids["Application"]
    ]
    announced = {"filename": "klad.png", "mediaType": "image/png", "size": len(PNG)}
    upload = await town.does("an", "documentUploadStart", "uploadUrl document { id }", input=announced)
    await town.served.client.put(upload["uploadUrl"], content=PNG)
    await town.does("an", "applicationAttachDocument", id=draft, documentId=upload["document"]["id"])
    ask = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename } }"
    for who in STAFF:
        seen = await town.ask(who, ask, ids=[draft, upload["document"]["id"]])
        assert seen["nodes"] == [None, None]
    assert (await town.ask("an", ask, ids=[draft]))["nodes"] != [None]


# ── doing ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("who", [None, "bert", "carla"])
async def test_nobody_else_does_anything(affairs: Affairs, who: str | None) -> None:
    town = affairs.town
    before = await fingerprint(town)
    for name, field in MUTATIONS.items():
        if who is not None and name in OWN_AFFAIRS:
            continue
        for given in arguments(field, affairs, kind_of_id(name, field)):
            refused = await _refusal(town, who, name, given)
            assert refused == await _refusal(town, who, name, _missing(given, field)), name
            wanted = {"SIGN_IN_REQUIRED"} if who is None else {"NOT_FOUND", "NOT_ALLOWED"}
            wanted = {"EXPIRED"} if name in WITH_A_LINK else wanted
            assert {one["code"] for one in refused} <= wanted, (name, refused)
    assert await fingerprint(town) == before


def kind_of_id(name: str, field: GraphQLField) -> str:
    """What a mutation is about: the type of its first id."""
    first = next((one for one, argument in field.args.items() if _is_id(argument)), "")
    if first in {"", "caseId", "caseIds"}:
        return "Case"
    subjects = ("Application", "Case", "Task", "Refund", "Delivery", "Message", "Effect", "Invoice")
    if first == "invoiceId":
        return "Invoice"
    # of what An has none, an id of another type is as good as one that does not exist
    return next((one for one in subjects if name.startswith(one.lower())), "Case")


def _is_id(argument: graphql.GraphQLArgument) -> bool:
    return get_named_type(argument.type).name == "ID"


async def _refusal(town: Town, who: str | None, name: str, given: Json) -> list[Json]:
    """The errors of a mutation that must be refused; nothing else may come back."""
    asked = document("mutation", name, MUTATIONS[name], given, 2)
    told = await town.post(who, asked, given)
    assert "errors" not in told, (name, given, told)
    payload = told["data"][name]
    assert payload["errors"], (name, given, payload)
    told_why = {"errors", "faults", "__typename"}
    empty = {key: value for key, value in payload.items() if key not in told_why}
    assert not any(empty.values()), (name, payload)
    errors: list[Json] = payload["errors"]
    return errors


def _missing(given: Json, field: GraphQLField) -> Json:
    """The same, with ids of the same types that nothing has."""
    changed = dict(given)
    for name, argument in field.args.items():
        if _is_id(argument) and name in given:
            known = read_id(given[name][0] if name == "ids" else given[name])
            assert known is not None
            one = encode_id(known.kind, uuid7())
            changed[name] = [one] if name == "ids" else one
    return changed


async def fingerprint(town: Town) -> dict[str, str]:
    """Of every table that holds somebody's affairs."""
    resting = {"lane", "systemstate", "staff", "websession", "signinattempt", "slot", "alembic_version"}
    resting |= {"follower", "figure", "leadtime", "phasevisit"}  # counted when the worker comes to it
    resting |= {"process"}  # who runs
    tables = await town.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    return {name: (await town.sql(SUM.format(table=name)))[0][0] for (name,) in tables if name not in resting}


@pytest.mark.parametrize("who", [*STAFF, SECRETARY, ADVISER])
async def test_each_role_has_its_own_mutations(affairs: Affairs, who: str) -> None:
    before = await fingerprint(affairs.town)
    assert set(MUTATIONS) == set(MAY) | CITIZENS
    for name, field in MUTATIONS.items():
        given = next(arguments(field, affairs, "Note"))  # an id of no use to any of them
        if name in {"systemPause", "systemResume"}:
            given["system"] = "nergens"
        if (
            name in {"caseBulkAssign", "comparisonRun", "letterBatchMake", "journalExport"}
            and who in MAY[name]
        ):
            continue  # answers case by case, that there is nothing to do, or with what came of nothing
        codes = {one["code"] for one in await _refusal(affairs.town, who, name, given)}
        assert (codes == {"NOT_ALLOWED"}) is (who not in MAY.get(name, ())), (name, codes)
    assert await fingerprint(affairs.town) == before


CITIZENS = OWN_AFFAIRS - {"documentUploadStart"} | {"coApplicationConfirm", "coApplicationRefuse"}


@pytest.mark.parametrize("who", ["an", *STAFF])
async def test_what_is_not_offered_is_refused(affairs: Affairs, who: str) -> None:
    """An action that the case does not show as possible now must not be possible, whoever asks."""
    town = affairs.town
    before = await fingerprint(town)
    for case in affairs.cases:
        seen = await case.read(
            OPERATOR, "invoice { id } delivery { id } refunds { id } tasks { id } messages { nodes { id } }"
        )
        offered = await case.actions(who)
        for action in get_enum("CaseAction") - offered - _as_good_as(offered, who):
            first, *rest = action.lower().split("_")
            name = first + "".join(one.title() for one in rest)
            if name not in MUTATIONS:  # of a procedure whose mutations are yet to come
                continue
            parts = {
                "delivery": [seen["delivery"]],
                "refund": seen["refunds"],
                "task": seen["tasks"],
                "message": seen["messages"]["nodes"],
            }
            own = {"invoiceId": seen["invoice"], "id": next(iter(parts.get(first, ())), None)}
            given = next(arguments(MUTATIONS[name], affairs, "Case"))
            for argument in given.keys() & {"id", "caseId", "invoiceId"}:
                row = own.get(argument)
                given[argument] = row["id"] if row else case.id
            if name == "decisionTake":
                given["input"]["granted"] = True
            await _refusal(town, who, name, given)
    after = await fingerprint(town)
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"accesslog"}


def _as_good_as(offered: set[str], who: str) -> set[str]:
    """What is possible beside what is offered, because it is the same, or because money is a fact."""
    same = {"DELIVERY_BOOK_SLOT", "DELIVERY_RESCHEDULE"}
    return (same if same & offered else set()) | ({"PAYMENT_REGISTER"} if who == FINANCE else set())


def get_enum(name: str) -> set[str]:
    kind = SDL.type_map[name]
    assert isinstance(kind, graphql.GraphQLEnumType)
    return set(kind.values)

"""Events to subscribers elsewhere: signed, in order, at least once, and to whom may see them alone."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import uuid5

import httpx2
import orjson
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from uuid_utils.compat import uuid7

from loket import departments, settings, subscribers
from loket.api.context import Caller, Context
from loket.api.schema import schema
from loket.identity import SERVICES
from loket.ids import decode_id
from loket.lifecycle import Role
from loket.records import ActorKind, Advice, AdviserKind, Staff
from loket.subscribers import Subscribers, wait_before_retry
from loket.systems.webhooks import (
    Answer,
    Line,
    Webhooks,
    checked,
    may_call,
    new_secret,
    signed,
)
from loket.work import Actor
from served import served
from town import OPERATOR, Dossier, Json, Town, until

PATIENCE = 60.0
"""Seconds; a busy machine must not fail a test."""
BODY = "welzijnsregio"
WEBHOOK = """webhook { id url state pausedBecause told failures lastError cursor types procedures
    calls(first: 100, orderBy: OLDEST) { nodes { messageId eventType attempt httpStatus error } } }"""


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """Nobody is told of anything until a test lets a worker tell."""
    mailboxes = settings.Mailboxes("Beheer=beheer@lindebeke.example")
    folder = tmp_path_factory.mktemp("town")
    async with (
        served(module_database_url, folder, department_mailboxes=mailboxes) as found,
        httpx2.AsyncClient(base_url=found.url, trust_env=False, timeout=60) as client,
    ):
        yield Town(found, client)


@pytest.fixture(autouse=True)
async def afresh(town: Town) -> AsyncIterator[None]:
    """Each test has its own subscribers alone."""
    yield
    await town.recovers("subscriber")
    await town.sql("UPDATE webhooksubscription SET state = 'ENDED', token = NULL, ended_at = now()")


@asynccontextmanager
async def telling(town: Town, number: int = 1) -> AsyncIterator[None]:
    """As many workers tell subscribers as are wanted."""
    running = [asyncio.create_task(Subscribers(town.served.loket).run()) for _ in range(number)]
    try:
        yield
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def subscribes(town: Town, name: str = "", who: str = OPERATOR, **wanted: object) -> Json:
    """A subscription of the sandbox's subscriber, which knows its secret: {id, url, name, secret}."""
    name = name or uuid7().hex[-12:]
    base = town.served.house.config.urls["subscriber"]
    given = {"url": f"{base}/hooks/{name}"} | wanted
    payload = await town.does(who, "webhookSubscribe", f"{WEBHOOK} secret", input=given)
    (
        await town.client.put(f"{base}/sim/secret/{name}", json={"secret": payload["secret"]})
    ).raise_for_status()
    made: Json = payload["webhook"] | {"name": name, "secret": payload["secret"]}
    return made


async def heard(town: Town, one: Json) -> list[Json]:
    """What a subscriber has, each message once, in the order in which it first came."""
    found: list[Json] = await town.look("subscriber", "events", name=one["name"])
    return found


async def posts(town: Town, one: Json) -> list[Json]:
    """Each call as it came in."""
    base = town.served.house.config.urls["subscriber"]
    answer = await town.client.get(f"{base}/sim/received", params={"path": f"/hooks/{one['name']}"})
    found: list[Json] = answer.json()
    return found


async def strikes(town: Town, one: Json, **fault: object) -> None:
    """Have a subscriber misbehave."""
    base = town.served.house.config.urls["subscriber"]
    answer = await town.client.post(f"{base}/sim/faults", json={"path": f"/hooks/{one['name']}"} | fault)
    answer.raise_for_status()


async def has_heard(town: Town, one: Json, number: int) -> list[Json]:
    async def there() -> bool:
        return len(await heard(town, one)) >= number

    await until(there, PATIENCE)
    return await heard(town, one)


async def has_all(town: Town, one: Json, wanted: list[str]) -> None:
    async def there() -> bool:
        return set(wanted) <= set(ids(await heard(town, one)))

    await until(there, PATIENCE)


async def seen(town: Town, one: Json, who: str = OPERATOR) -> Json:
    found = await town.ask(
        who,
        f"query($id: ID!) {{ node(id: $id) {{ ... on Webhook {WEBHOOK[7:]} }} }}",
        id=one["id"],
    )
    node: Json = found["node"]
    return node


async def becomes(town: Town, one: Json, state: str) -> Json:
    async def there() -> bool:
        return bool((await seen(town, one))["state"] == state)

    await until(there, PATIENCE)
    return await seen(town, one)


async def happen(town: Town, case: Dossier, number: int, type: str = "NOTE_ADDED") -> list[str]:
    """So many events on a case at once; their ids, in the order of the feed."""
    rows = await town.sql(
        "INSERT INTO event (id, case_id, person_id, type, stage, status, previous_status, occurred_at,"
        " actor_kind, actor_name, chain)"
        ' SELECT gen_random_uuid(), c.id, c.person_id, :type, c.stage, c.status, c.status, now(), \'SYSTEM\','
        ' \'Loket\', \'\' FROM "case" c, generate_series(1, :number) WHERE c.id = :id RETURNING id, seq',
        id=decode_id(case.id, "Case"), number=number, type=type,
    )  # fmt: skip
    return [str(row.id) for row in sorted(rows, key=lambda row: row.seq)]


async def all_events(town: Town, after: str) -> list[Json]:
    found = await town.ask(
        OPERATOR,
        "query($c: Cursor) { events(after: $c, first: 100) { id cursor type } }",
        c=after,
    )
    events: list[Json] = found["events"]
    return events


def ids(events: list[Json]) -> list[str]:
    return [one["event"]["id"] for one in events]


# ── what comes, and how ───────────────────────────────────────────────────────────────────────────────


async def test_a_message_is_signed_as_the_standards_own_library_wants_it(
    town: Town,
) -> None:
    one = await subscribes(town)
    case = await town.applies()
    async with telling(town):
        await has_heard(town, one, 1)
    assert all(event["checked"] for event in await heard(town, one))
    (post, *_) = await posts(town, one)
    headers = {
        name: post["headers"][name] for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    }
    told = Webhook(one["secret"]).verify(post["body"], headers)
    assert told["id"] == headers["webhook-id"]
    for changed in (
        post["body"].replace(case.reference, "CB-2026-000000-0"),
        post["body"] + " ",
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(one["secret"]).verify(changed, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(post["body"], headers)
    assert post["headers"]["content-type"].startswith("application/cloudevents+json")


async def test_it_tells_what_reading_on_from_the_cursor_tells_and_nobodys_name(
    town: Town,
) -> None:
    one = await subscribes(town)
    case = await town.applies("an")
    told = [one for one in await all_events(town, one["cursor"]) if not one["type"].startswith("EFFECT")]
    async with telling(town):
        got = await has_heard(town, one, len(told))
    assert [event["event"]["data"]["id"] for event in got] == [event["id"] for event in told]
    assert [event["event"]["data"]["cursor"] for event in got] == [event["cursor"] for event in told]
    first = got[0]["event"]
    assert (first["specversion"], first["type"], first["subject"]) == (
        "1.0",
        "loket.SUBMITTED",
        case.reference,
    )
    assert first["data"]["case"] == {
        "id": case.id,
        "reference": case.reference,
        "procedure": "compost-bin",
    }
    assert not {word for word in ("Peeters", "an.peeters") if word in orjson.dumps(got).decode()}


async def test_hundreds_of_events_come_once_each_and_in_order(town: Town) -> None:
    case = await town.applies()
    one = await subscribes(town)
    wanted = await happen(town, case, 300)
    async with telling(town, 2):
        got = await has_heard(town, one, 300)
    assert ids(got) == wanted
    assert sum(event["repeats"] for event in got) == 0


async def test_only_what_was_asked_for_comes(town: Town) -> None:
    case = await town.applies()
    one = await subscribes(town, types=["NOTE_ADDED"])
    other = await subscribes(town, procedures=["bulky-waste"])
    effects = await subscribes(town, types=["EFFECT_DONE"])
    await happen(town, case, 3, "TASK_DONE")
    wanted = await happen(town, case, 2)
    done = await happen(town, case, 1, "EFFECT_DONE")
    async with telling(town):
        assert ids(await has_heard(town, one, 2)) == wanted
        assert ids(await has_heard(town, effects, 1)) == done
        cursor = (await seen(town, other))["cursor"]

        async def moved_on() -> bool:
            return bool((await seen(town, other))["cursor"] != other["cursor"])

        await until(moved_on, PATIENCE)
    assert await heard(town, other) == []
    assert cursor


# ── when it does not go well ──────────────────────────────────────────────────────────────────────────


async def test_after_an_outage_everything_comes_in_order_under_the_same_ids(
    town: Town,
) -> None:
    case = await town.applies()
    one = await subscribes(town)
    wanted = await happen(town, case, 5)
    for fault in (
        {"mode": "error"},
        {"mode": "lose_answer"},
        {"mode": "error", "status": 429},
    ):
        await strikes(town, one, count=1, **fault)
    async with telling(town, 2):
        got = await has_heard(town, one, 5)
    assert ids(got) == wanted
    assert [event["repeats"] for event in got] == [
        1,
        0,
        0,
        0,
        0,
    ]  # whose answer was lost
    calls = (await seen(town, one))["calls"]["nodes"]
    assert [call["messageId"] for call in calls] == [wanted[0]] * 3 + wanted
    assert [call["attempt"] for call in calls] == [1, 2, 3, 4, 1, 1, 1, 1]
    assert [call["httpStatus"] for call in calls] == [
        503,
        None,
        429,
        204,
        204,
        204,
        204,
        204,
    ]
    assert "503" in calls[0]["error"]


async def test_one_that_is_down_holds_up_no_other(town: Town) -> None:
    case = await town.applies()
    down, well = await subscribes(town), await subscribes(town)
    await strikes(town, down, mode="timeout", seconds=3)
    wanted = await happen(town, case, 3)
    async with telling(town):
        assert ids(await has_heard(town, well, 3)) == wanted
    assert await heard(town, down) == []


async def test_a_worker_that_dies_during_a_call_leaves_it_to_another_under_the_same_id(
    town: Town,
) -> None:
    case = await town.applies()
    one = await subscribes(town)
    (wanted,) = await happen(town, case, 1)
    await strikes(town, one, mode="slow", seconds=1.0, count=1)
    first = Subscribers(town.served.loket)
    running = asyncio.create_task(first.run())

    async def calling() -> bool:
        return bool(
            await town.sql("SELECT FROM webhooksubscription WHERE token IS NOT NULL AND state = 'ACTIVE'")
        )

    await until(calling, PATIENCE)
    await asyncio.sleep(0.2)
    for task in [
        task
        for task in asyncio.all_tasks()
        if task.get_name() == f"subscriber {decode_id(one['id'], 'Webhook')}"
    ]:
        task.cancel()  # killed: nothing more is written by it
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await until(lambda: _heard_once(town, one), PATIENCE)
    assert (await seen(town, one))["told"] == 0
    await town.sql(
        "UPDATE webhooksubscription SET due_at = now() WHERE state = 'ACTIVE'"
    )  # its lease ran out
    async with telling(town):

        async def repeated() -> bool:
            return bool((await heard(town, one))[0]["repeats"] == 1)

        await until(repeated, PATIENCE)
    assert ids(await heard(town, one)) == [wanted]


async def _heard_once(town: Town, one: Json) -> bool:
    return len(await heard(town, one)) == 1


async def test_a_worker_that_was_frozen_writes_nothing_over_what_another_did(
    town: Town,
) -> None:
    case = await town.applies()
    one = await subscribes(town)
    wanted = await happen(town, case, 2)
    await strikes(town, one, mode="slow", seconds=0.5, count=1)
    async with telling(town):

        async def calling() -> bool:
            return bool(await town.sql("SELECT FROM webhooksubscription WHERE token IS NOT NULL"))

        await until(calling, PATIENCE)
        await town.sql(
            "UPDATE webhooksubscription SET due_at = now() - interval '1 second' WHERE token IS NOT NULL"
        )
        async with telling(town):
            got = await has_heard(town, one, 2)
            await until(lambda: _knows_all(town, one), PATIENCE)
    assert ids(got) == wanted
    assert (await seen(town, one))["told"] == 2


async def _knows_all(town: Town, one: Json) -> bool:
    return bool((await seen(town, one))["told"] == 2)


async def test_who_takes_nothing_for_two_days_is_paused_and_the_operators_hear_so(
    town: Town,
) -> None:
    case = await town.applies()
    one = await subscribes(town, description="koppeling")
    await happen(town, case, 1)
    await strikes(town, one, mode="error")
    async with telling(town):
        await until(lambda: _failing(town, one), PATIENCE)
        await town.sql(
            "UPDATE webhooksubscription SET failing_since = now() - interval '49 hours', due_at = now()"
            " WHERE state = 'ACTIVE'"
        )
        paused = await becomes(town, one, "PAUSED")
    assert (paused["pausedBecause"], paused["lastError"][:8]) == (
        "UNREACHABLE",
        "HTTP 503",
    )
    (left,) = await town.sql(
        "SELECT payload FROM effect WHERE kind = 'STAFF_EMAIL' AND payload ->> 'webhook_id' = :id",
        id=str(decode_id(one["id"], "Webhook")),
    )
    assert left.payload["to"] == "beheer@lindebeke.example"
    await town.recovers("subscriber")
    await town.does(OPERATOR, "webhookResume", id=one["id"])
    async with telling(town):
        await has_heard(town, one, 1)


async def _failing(town: Town, one: Json) -> bool:
    return bool((await seen(town, one))["failures"] > 0)


async def test_who_answers_that_it_is_gone_is_told_nothing_more(town: Town) -> None:
    case = await town.applies()
    one = await subscribes(town)
    await happen(town, case, 2)
    await strikes(town, one, mode="refuse", status=410)
    async with telling(town):
        assert (await becomes(town, one, "PAUSED"))["pausedBecause"] == "GONE"
    assert len(await posts(town, one)) == 1


def test_the_pauses_grow_and_what_a_subscriber_asks_for_is_kept_to() -> None:
    failed = Answer(503, "HTTP 503", 1)
    hours = [wait_before_retry(timedelta(seconds=after), failed).total_seconds() for after in (0, 60, 86_400)]
    assert 0.8 <= hours[0] <= 1.2
    assert 9.6 <= hours[1] <= 14.4
    assert 720 <= hours[2] <= 1080
    asked = wait_before_retry(timedelta(0), replace(failed, retry_after_seconds=120)).total_seconds()
    assert 120 <= asked <= 132
    assert wait_before_retry(timedelta(0), replace(failed, retry_after_seconds=1e9)) <= timedelta(hours=1.1)


async def test_no_redirect_is_followed_and_little_of_an_answer_is_kept() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 1000000\r\n\r\n"
        )
        writer.write(b"x" * 1_000_000)
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with Webhooks(settings.Webhooks(), production=False).line(f"http://127.0.0.1:{port}/") as line:
            told = await line.post(b"{}", {})
    assert (told.http_status, told.taken) == (302, False)
    assert 100 < len(told.error) <= 500


# ── asking for it, and leaving ────────────────────────────────────────────────────────────────────────


async def test_hearing_it_again_brings_the_same_messages(town: Town) -> None:
    case = await town.applies()
    one = await subscribes(town)
    wanted = await happen(town, case, 4)
    async with telling(town):
        got = await has_heard(town, one, 4)
        await town.does(
            OPERATOR,
            "webhookReplay",
            id=one["id"],
            after=got[1]["event"]["data"]["cursor"],
        )

        async def again() -> bool:
            return [event["repeats"] for event in await heard(town, one)] == [
                0,
                0,
                1,
                1,
            ]

        await until(again, PATIENCE)
        await town.does(OPERATOR, "webhookReplay", id=one["id"], after=one["cursor"])

        async def all_again() -> bool:
            return [event["repeats"] for event in await heard(town, one)] == [
                1,
                1,
                2,
                2,
            ]

        await until(all_again, PATIENCE)
    assert ids(await heard(town, one)) == wanted


async def test_who_left_hears_nothing_more_and_who_paused_hears_it_later(
    town: Town,
) -> None:
    case = await town.applies()
    left, paused, stays = [await subscribes(town) for _ in range(3)]
    payload = await town.does(OPERATOR, "webhookUnsubscribe", "webhook { state }", id=left["id"])
    assert payload["webhook"]["state"] == "ENDED"
    await town.does(OPERATOR, "webhookPause", id=paused["id"])
    wanted = await happen(town, case, 2)
    async with telling(town):
        await has_heard(town, stays, 2)
        assert await heard(town, paused) == []
        await town.does(OPERATOR, "webhookResume", id=paused["id"])
        assert ids(await has_heard(town, paused, 2)) == wanted
    assert await posts(town, left) == []
    kept = await town.sql(
        "SELECT secret_sealed FROM webhooksubscription WHERE url = :url",
        url=left["url"],
    )
    assert [bytes(row.secret_sealed) for row in kept] == [b""]
    assert (await town.refused(OPERATOR, "webhookReplay", id=left["id"]))["code"] == "NOT_FOUND"


async def test_a_subscriber_may_begin_in_the_past(town: Town) -> None:
    case = await town.applies()
    before = (await town.ask(OPERATOR, "{ viewer { cursor } }"))["viewer"]["cursor"]
    wanted = await happen(town, case, 3)
    one = await subscribes(town, after=before)
    async with telling(town):
        assert ids(await has_heard(town, one, 3)) == wanted


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ({"url": "ftp://voorbeeld.example/"}, ["input", "url"]),
        ({"url": "http://voorbeeld.example/"}, ["input", "url"]),
        ({"url": "https://10.0.0.7/"}, ["input", "url"]),
        ({"url": "https://voorbeeld.example:22/"}, ["input", "url"]),
        ({"url": "https://iemand:geheim@voorbeeld.example/"}, ["input", "url"]),
        (
            {"url": "https://voorbeeld.example/", "procedures": ["bestaat-niet"]},
            ["input", "procedures"],
        ),
        (
            {"url": "https://voorbeeld.example/", "description": "x" * 201},
            ["input", "description"],
        ),
    ],
)
async def test_an_address_that_is_not_called_is_refused_at_once(
    town: Town, wanted: Json, path: list[str]
) -> None:
    refused = await town.refused(OPERATOR, "webhookSubscribe", input=wanted)
    assert refused["path"] == path


async def test_a_subscriber_has_only_so_many_subscriptions(town: Town) -> None:
    made = [await subscribes(town) for _ in range(10)]
    address = {"url": "https://voorbeeld.example/"}
    assert "10" in (await town.refused(OPERATOR, "webhookSubscribe", input=address))["message"]
    await town.does(OPERATOR, "webhookUnsubscribe", id=made[0]["id"])
    await town.does(OPERATOR, "webhookSubscribe", input=address)


# ── who may ───────────────────────────────────────────────────────────────────────────────────────────


def context(town: Town, actor: Actor) -> Context:
    loket = town.served.loket
    return Context(loket, Caller(loket, actor, "nl"), loket.database)


def a_body(*bodies: str) -> Actor:
    return Actor(
        ActorKind.SERVICE,
        "Welzijnsregio",
        frozenset({Role.ADVISER}),
        uuid5(SERVICES, BODY),
        bodies=bodies,
    )


async def an_operator(town: Town, *role_names: str) -> Actor:
    """Somebody who signed in once with these roles."""
    staff = Staff(subject=uuid7().hex, given_name="Olga", roles=list(role_names), seen_at=datetime.now(UTC))
    async with town.served.loket.database.transaction() as session:
        session.add(staff)
    bounds = departments.departments_of(role_names)
    return Actor(
        ActorKind.STAFF, "Olga Operator", departments.roles_of(role_names), staff.id, departments=bounds
    )


async def asked(town: Town, actor: Actor, document: str, **given: object) -> Json:
    answer = await schema.answer(document, context=context(town, actor), variables=given)
    told: Json = orjson.loads(answer.body)
    assert "errors" not in told, told
    data: Json = told["data"]
    return data


async def subscribed(town: Town, actor: Actor) -> Json:
    name = uuid7().hex[-12:]
    url = f"{town.served.house.config.urls['subscriber']}/hooks/{name}"
    data = await asked(
        town,
        actor,
        "mutation($i: WebhookSubscribeInput!)"
        " { webhookSubscribe(input: $i) { errors { code } webhook { id cursor } } }",
        i={"url": url},
    )
    made: Json = data["webhookSubscribe"]["webhook"] | {"name": name}
    return made


CHANGES = ("webhookPause", "webhookResume", "webhookReplay", "webhookUnsubscribe")


async def test_nobody_else_sees_or_changes_a_subscription(town: Town) -> None:
    mine = await subscribed(town, await an_operator(town, "LoketBeheerder-Milieudienst"))
    case = await town.applies()
    await happen(town, case, 1)
    async with telling(town):
        await has_heard(town, mine, 1)
    (call,) = await town.sql(
        "SELECT count(*) AS number FROM webhookcall WHERE subscription_id = :id",
        id=decode_id(mine["id"], "Webhook"),
    )
    assert call.number > 0
    for other in (
        await an_operator(town, "LoketBeheerder-Milieudienst"),
        a_body("energiehuis"),
    ):
        seen = await asked(
            town,
            other,
            "query($id: ID!) { webhooks { totalCount } node(id: $id) { id } }",
            id=mine["id"],
        )
        assert (seen["webhooks"]["totalCount"], seen["node"]) == (0, None)
        for action in CHANGES:
            tries = f"mutation($id: ID!) {{ {action}(id: $id) {{ errors {{ code }} webhook {{ id }} }} }}"
            told = await asked(town, other, tries, id=mine["id"])
            assert told[action] == {"errors": [{"code": "NOT_FOUND"}], "webhook": None}
    everybodys = (await town.ask(OPERATOR, "{ webhooks { nodes { id } } }"))["webhooks"]["nodes"]
    assert mine["id"] in [one["id"] for one in everybodys]
    for who in ("an", "hilde"):
        assert (await town.ask(who, "{ webhooks { totalCount } }"))["webhooks"]["totalCount"] == 0


async def test_who_is_operator_of_one_department_hears_of_its_cases_alone(
    town: Town,
) -> None:
    other = await subscribed(town, await an_operator(town, "LoketBeheerder-SocialeDienst"))
    mine = await subscribed(town, await an_operator(town, "LoketBeheerder-Milieudienst"))
    case = await town.applies()
    wanted = await happen(town, case, 2)
    async with telling(town):
        await has_all(town, mine, wanted)
    assert await heard(town, other) == []


async def test_whose_role_was_taken_away_hears_nothing_more(town: Town) -> None:
    actor = await an_operator(town, "LoketBeheerder")
    one = await subscribed(town, actor)
    case = await town.applies()
    async with telling(town):
        await has_all(town, one, await happen(town, case, 1))
        before = len(await heard(town, one))
        await town.sql(
            "UPDATE staff SET roles = '[\"LoketBehandelaar\"]' WHERE id = :id",
            id=actor.id,
        )
        await happen(town, case, 1)
        paused = await becomes(town, one, "PAUSED")
    assert paused["pausedBecause"] == "NOT_ALLOWED"
    assert len(await heard(town, one)) == before


async def test_a_body_elsewhere_hears_of_the_advice_that_it_is_asked_and_of_nothing_else(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = settings.ServiceAccounts(f"{BODY}=energiehuis")
    section = replace(town.served.loket.settings.acmidm, service_accounts=accounts)
    monkeypatch.setattr(
        town.served.loket,
        "settings",
        replace(town.served.loket.settings, acmidm=section),
    )
    one = await subscribed(town, a_body("energiehuis"))
    case = await town.applies()
    advice = []
    for adviser in ("energiehuis", "kind-en-gezin"):
        asked_now = Advice(
            case_id=decode_id(case.id, "Case"), adviser=adviser, kind=AdviserKind.EXTERNAL, question="?",
            requested_at=datetime.now(UTC), due_on=date(2030, 1, 1),
        )  # fmt: skip
        async with town.served.loket.database.transaction() as session:
            session.add(asked_now)
        (event,) = await happen(town, case, 1, "ADVICE_REQUESTED")
        await town.sql(
            "UPDATE event SET data = jsonb_build_object('advice', CAST(:advice AS text)) WHERE id = :id",
            advice=str(asked_now.id), id=event,
        )  # fmt: skip
        advice.append(event)
    async with telling(town):
        got = await has_heard(town, one, 1)
        assert ids(got) == advice[:1]
        none = replace(section, service_accounts=settings.ServiceAccounts(""))
        monkeypatch.setattr(
            town.served.loket,
            "settings",
            replace(town.served.loket.settings, acmidm=none),
        )
        await happen(town, case, 1)
        assert (await becomes(town, one, "PAUSED"))["pausedBecause"] == "NOT_ALLOWED"


# ── after a restore ───────────────────────────────────────────────────────────────────────────────────


async def test_after_a_restore_it_goes_on_with_a_few_repeats_and_nothing_missing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribers, "REPEATED", 2)
    case = await town.applies()
    one = await subscribes(town)
    wanted = await happen(town, case, 5)
    async with telling(town):
        await has_heard(town, one, 5)
    later = await happen(town, case, 2)
    await town.sql("UPDATE feedepoch SET epoch = epoch + 1")
    async with telling(town):
        got = await has_heard(town, one, 7)
        assert (await town.refused(OPERATOR, "webhookReplay", id=one["id"], after=one["cursor"]))[
            "code"
        ] == "CURSOR_EXPIRED"
    assert ids(got) == wanted + later
    assert [event["repeats"] for event in got] == [0, 0, 0, 1, 1, 0, 0]


async def test_who_stayed_behind_until_events_were_dropped_is_told_so_and_not_of_a_part(town: Town) -> None:
    case = await town.applies()
    one = await subscribes(town, types=["TASK_DONE"])
    wanted = await happen(town, case, 2, "TASK_DONE")
    (last,) = await town.sql("SELECT max(xid::text::bigint) AS xid FROM event")
    await town.sql("UPDATE feedepoch SET floor_xid = CAST(:xid AS xid8)", xid=str(last.xid + 1))
    try:
        async with telling(town):
            assert (await becomes(town, one, "PAUSED"))["pausedBecause"] == "CURSOR_EXPIRED"
            assert await heard(town, one) == []
            for action in ("webhookResume", "webhookReplay"):
                given = {"after": one["cursor"]} if action == "webhookReplay" else {}
                assert (await town.refused(OPERATOR, action, id=one["id"], **given))[
                    "code"
                ] == "CURSOR_EXPIRED"
            await town.does(OPERATOR, "webhookReplay", id=one["id"])
            await has_all(town, one, wanted)
    finally:
        await town.sql("UPDATE feedepoch SET floor_xid = '0'")


# ── our own network ───────────────────────────────────────────────────────────────────────────────────

OURS = settings.Webhooks()


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",  # noqa: S104  # nobody binds to it
        ),
        *("224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1"),
        *(
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
        ),
        *(
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        ),
    ],
)
def test_no_address_within_is_called(address: str) -> None:
    assert not may_call(ipaddress.ip_address(address), "voorbeeld.example", OURS, production=True)
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(ValueError, match="address"):
        checked(f"https://{host}/", OURS, production=True)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_an_address_on_the_public_internet_is_called(address: str) -> None:
    assert may_call(ipaddress.ip_address(address), "voorbeeld.example", OURS, production=True)


def test_a_host_of_the_own_network_is_called_where_the_settings_say_so() -> None:
    own = settings.Webhooks(private_hosts=settings.Hosts("esb.stad.intern"))
    assert may_call(ipaddress.ip_address("10.1.2.3"), "ESB.stad.intern", own, production=True)
    assert not may_call(ipaddress.ip_address("10.1.2.3"), "elders.stad.intern", own, production=True)
    assert not may_call(ipaddress.ip_address("169.254.169.254"), "esb.stad.intern", own, production=True)


async def test_a_name_that_leads_within_is_not_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where it led elsewhere before: what was checked is what is connected to."""
    async with Webhooks(OURS, production=True).line("https://localhost/") as line:
        told = await line.post(b"{}", {})
    assert (told.http_status, told.taken) == (None, False)
    assert "not called" in told.error
    asked_for = []

    async def look_up(self: Line, name: str, port: int) -> object:
        asked_for.append(name)
        return ipaddress.ip_address("127.0.0.1")

    monkeypatch.setattr(Line, "_look_up", look_up)
    hosts = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hosts.append((await reader.readuntil(b"\r\n\r\n")).lower())
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://localhost:{port}/pad?x=1"
        async with Webhooks(OURS, production=False).line(url) as line:
            assert (await line.post(b"{}", {})).taken
            assert (await line.post(b"{}", {})).taken
    assert asked_for == ["localhost"]
    assert all(f"host: localhost:{port}".encode() in one for one in hosts)
    assert hosts[0].startswith(b"post /pad?x=1 ")


def test_a_signature_is_over_id_time_and_body() -> None:
    secret = new_secret()
    now = datetime.now(UTC)
    headers = signed(secret, "m1", now, b'{"a":1}')
    assert Webhook(secret).verify(b'{"a":1}', headers) == {"a": 1}
    for changed in (
        {"webhook-id": "m2"},
        {"webhook-timestamp": str(int(now.timestamp()) + 1)},
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(b'{"a":1}', headers | changed)

"""The minutes package: our adapter against the sandbox's PloneMeeting, and against stranger answers."""

import hashlib
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest
from pypdf import PdfReader

from loket import settings
from loket.errors import BadNotice, BadSignature, Declined, Unavailable
from loket.installation import prepare
from loket.sandbox import minutes as simulator
from loket.sandbox.callbacks import loket_signature
from loket.sandbox.contract import Contract
from loket.sandbox.house import House, sandbox
from loket.sandbox.minutes_agenda import BODIES
from loket.systems.minutes import Minutes
from loket.systems.minutes_item import OUTCOMES, Item, NewAnnex, Outcome, item_of, judge
from raw_server import HANG, HANG_UP, Answer, RawServer, raw_server

BRUSSELS = ZoneInfo("Europe/Brussels")
SIGN_IN = {"user": "loket", "password": "notulen", "hook_secret": "minutes secret"}
REFERENCE = "SP-2026-0007"


@dataclass
class World:
    house: House
    door: RawServer
    minutes: Minutes
    desk: httpx2.AsyncClient

    @property
    def url(self) -> str:
        return self.house.config.urls["minutes"]

    async def order(self, path: str, /, **document: object) -> Any:  # noqa: ANN401  # JSON
        answer = await self.desk.post(f"{self.url}/sim/{path}", json=document)
        assert answer.is_success, answer.text
        return answer.json()

    async def told(self, count: int = 1) -> list[dict[str, Any]]:
        while len(self.door.asked) < count:
            self.door.another.clear()
            await self.door.another.wait()
        return [one.json for one in self.door.asked]

    async def proposed(self, reference: str = REFERENCE, **changed: Any) -> Item:  # noqa: ANN401  # any argument
        wanted: dict[str, Any] = {
            "body": "BCSD",
            "external_identifier": reference,
            "title": f"Sociale premie – dossier {reference}",
            "motivation_html": "<p>Gelet op het reglement.</p>",
            "decision_html": "<p>De premie van 185,00 euro wordt toegekend.</p>",
            "category": "premies",
        }
        return await self.minutes.create_item(**(wanted | changed))

    async def decided(self, item: Item, result: str, **more: object) -> Any:  # noqa: ANN401  # JSON
        return await self.order(
            f"meetings/{item.meeting_uid}/decide", items=[{"uid": item.uid, "result": result, **more}]
        )

    async def close_all(self, body: str) -> None:
        for meeting in await self.minutes.open_meetings(body):
            await self.order(f"meetings/{meeting.uid}/freeze")


@asynccontextmanager
async def the_world(**changed: object) -> AsyncIterator[World]:
    async with raw_server(Answer(204)) as door:
        section = SIGN_IN | {"hook_url": f"{door.url}/hooks/minutes/decision"} | changed
        document = {"port": 0, "loket_url": door.url, "minutes": section}
        async with (
            sandbox(document, (simulator.SYSTEM,)) as house,
            httpx2.AsyncClient(trust_env=False) as desk,
            adapter(house.config.urls["minutes"]) as minutes,
        ):
            yield World(house, door, minutes, desk)


@asynccontextmanager
async def adapter(url: str, *, timeout_seconds: float = 5, **changed: str) -> AsyncIterator[Minutes]:
    own = settings.Minutes(url=url, **(SIGN_IN | changed))
    minutes = Minutes(own, timeout_seconds=timeout_seconds)
    yield minutes
    await minutes.aclose()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with the_world() as found:
        yield found


# ── signing in ────────────────────────────────────────────────────────────────────────────────────────


async def test_the_package_says_who_we_are(world: World) -> None:
    found = await world.minutes.check()
    assert found.user == "loket"
    assert found.versions["plonemeeting.restapi"].startswith("2.")


async def test_a_wrong_password_is_noticed_although_the_package_answers_200(world: World) -> None:
    async with adapter(world.url, password="wrong") as stranger:
        with pytest.raises(Declined, match="not known"):
            await stranger.check()
        with pytest.raises(Declined) as refused:
            await stranger.find(REFERENCE, "BCSD")
    assert refused.value.http_status == 401


async def test_the_user_and_the_configurations_can_be_asked(world: World) -> None:
    auth = httpx2.BasicAuth("loket", "notulen")
    user = await world.desk.get(
        f"{world.url}/@users/loket", params={"extra_include": ["configs", "groups"]}, auth=auth
    )
    assert {one["id"] for one in user.json()["extra_include_configs"]} == {one.config_id for one in BODIES}
    assert "sociale-dienst" in {one["id"] for one in user.json()["extra_include_groups"]}
    config = await world.desk.get(
        f"{world.url}/@config", params={"config_id": "meeting-config-bcsd"}, auth=auth
    )
    assert {"token": "privacy", "title": "privacy"} in config.json()["usedItemAttributes"]
    every = await world.desk.get(f"{world.url}/@config", params={"config_id": "*"}, auth=auth)
    assert every.json()["items_total"] == len(BODIES)
    nobody = await world.desk.get(f"{world.url}/@users/nobody", auth=auth)
    assert nobody.json()["error"]["type"] == "NotFound"


# ── meetings ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("body", [one.key for one in BODIES])
async def test_every_body_has_coming_meetings_that_take_items(world: World, body: str) -> None:
    meetings = await world.minutes.open_meetings(body)
    assert meetings == sorted(meetings, key=lambda one: one.at)
    now = datetime.now(UTC)
    for one in meetings:
        assert one.accepts_until is not None
        assert now < one.accepts_until < one.at
        assert one.state == "created"


async def test_the_college_meets_on_mondays_at_two_in_brussels(world: World) -> None:
    for one in await world.minutes.open_meetings("COLLEGE"):
        local = one.at.astimezone(BRUSSELS)
        assert (local.weekday(), local.hour, local.minute) == (0, 14, 0)


async def test_a_meeting_whose_agenda_was_closed_is_no_longer_offered(world: World) -> None:
    first, second, *_ = await world.minutes.open_meetings("COLLEGE")
    await world.order(f"meetings/{first.uid}/freeze")
    assert (await world.minutes.open_meetings("COLLEGE"))[0] == second


async def test_a_meeting_of_the_past_that_nobody_closed_is_not_offered() -> None:
    days = [("a", "2020-01-06T14:00:00"), ("b", "2999-01-07T14:00:00"), ("c", "2998-01-07T14:00:00")]
    said = [{"UID": uid, "date": day, "review_state": "created"} for uid, day in days]
    async with (
        raw_server(Answer(document={"items": said, "items_total": 3})) as raw,
        adapter(raw.url) as minutes,
    ):
        found = await minutes.open_meetings("COLLEGE")
    assert [(one.uid, one.accepts_until) for one in found] == [("c", None), ("b", None)]


async def test_an_extra_meeting_is_offered_like_any_other(world: World) -> None:
    wanted = (datetime.now(UTC) + timedelta(hours=30)).replace(second=0, microsecond=0)
    made = await world.order("meetings", body="BCSD", date=wanted.isoformat())
    assert [(made["UID"], wanted)] == [
        (one.uid, one.at) for one in await world.minutes.open_meetings("BCSD") if one.at == wanted
    ]


async def test_a_body_without_configuration_is_not_asked(world: World) -> None:
    async with adapter(world.url, config_rmw="") as minutes:
        with pytest.raises(Declined, match="RMW"):
            await minutes.open_meetings("RMW")
    with pytest.raises(Declined, match="POLITIERAAD"):
        await world.minutes.open_meetings("POLITIERAAD")
    async with adapter(world.url, config_rmw="meeting-config-rwm") as minutes:
        with pytest.raises(Declined, match='BadRequest: The given "config_id" named "meeting-config-rwm"'):
            await minutes.open_meetings("RMW")


# ── an item on the agenda ─────────────────────────────────────────────────────────────────────────────


async def test_an_item_comes_on_the_agenda_of_the_meeting_that_was_preferred(world: World) -> None:
    _, second, *_ = await world.minutes.open_meetings("BCSD")
    annex = NewAnnex("Dossierstuk", "dossier.pdf", b"%PDF-1.4 \xff\x00 inhoud", "application/pdf")
    item = await world.proposed(preferred_meeting=second.uid, annexes=[annex])
    assert (item.state, item.outcome, item.warnings) == ("presented", Outcome.OPEN, ())
    assert (item.meeting_uid, item.meeting_at, item.number) == (second.uid, second.at, "1")
    assert (item.external_identifier, item.closed) == (REFERENCE, True)
    assert item.motivation_html == "<p>Gelet op het reglement.</p>"
    assert item.decision_html == "<p>De premie van 185,00 euro wordt toegekend.</p>"
    [kept] = item.annexes
    assert (kept.title, kept.filename, kept.media_type, kept.signed) == (
        "Dossierstuk",
        "dossier.pdf",
        "application/pdf",
        False,
    )
    assert await world.minutes.download(kept.url) == annex.content
    [entry] = world.house.states["minutes"].all("annex")
    assert entry["confidential"] is True
    assert await world.minutes.find(REFERENCE, "BCSD") == item
    assert await world.minutes.find(REFERENCE, "COLLEGE") is None
    assert await world.minutes.find("SP-2026-0008", "BCSD") is None
    assert await world.minutes.item("0" * 32) is None


async def test_without_a_preference_the_first_open_meeting_takes_the_item(world: World) -> None:
    first, *_ = await world.minutes.open_meetings("COLLEGE")
    one = await world.proposed(body="COLLEGE")
    other = await world.proposed("SP-2026-0008", body="COLLEGE")
    assert [(item.meeting_uid, item.number) for item in (one, other)] == [(first.uid, "1"), (first.uid, "2")]


async def test_an_item_that_no_meeting_takes_is_made_all_the_same_and_says_so(world: World) -> None:
    await world.close_all("BCSD")
    item = await world.proposed()
    assert (item.state, item.meeting_uid) == ("validated", None)
    assert item.warnings == (
        "While treating wfTransitions, could not trigger the 'present' transition!"
        " Make sure a meeting accepting items exists in configuration 'meeting-config-bcsd'!",
        "the item is validated, not presented",
    )


async def test_a_repeat_sends_the_item_on_once_there_is_a_meeting(world: World) -> None:
    await world.close_all("BCSD")
    early = await world.proposed()
    again = await world.proposed()
    assert again.warnings == ("the item is validated, not presented",)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    meeting = await world.order("meetings", body="BCSD", date=tomorrow)
    later = await world.proposed()
    assert (later.uid, later.state, later.meeting_uid) == (early.uid, "presented", meeting["UID"])
    assert later.warnings == ()
    assert len(world.house.states["minutes"].all("item")) == 1


@pytest.mark.parametrize("mode", ["lose_answer", "malformed", "error"])
async def test_an_answer_that_was_lost_makes_no_second_item(world: World, mode: str) -> None:
    await world.order("faults", mode=mode, count=1, path="/@item")
    with pytest.raises(Unavailable):
        await world.proposed()
    item = await world.proposed()
    assert (item.state, item.warnings) == ("presented", ())
    assert [one["UID"] for one in world.house.states["minutes"].all("item")] == [item.uid]


async def test_a_slow_package_is_given_up_and_asked_again(world: World) -> None:
    await world.proposed()
    await world.order("faults", mode="timeout", count=1, seconds=30)
    async with adapter(world.url, timeout_seconds=0.2) as hasty:
        with pytest.raises(Unavailable, match="time-out"):
            await hasty.find(REFERENCE, "BCSD")
        found = await hasty.find(REFERENCE, "BCSD")
    assert found is not None


async def test_two_items_under_one_identifier_are_reported_and_the_oldest_counts(world: World) -> None:
    await world.order("faults", mode="duplicate", count=1, path="/@item")
    await world.proposed()
    found = await world.minutes.find(REFERENCE, "BCSD")
    assert found is not None
    assert found.uid == world.house.states["minutes"].all("item")[0]["UID"]
    assert found.warnings == (f"2 items carry the identifier {REFERENCE}",)


async def test_a_catalogue_that_ignores_the_identifier_does_not_pass_off_another_item(world: World) -> None:
    other = {"UID": "b" * 32, "externalIdentifier": "SP-2026-0001", "created": "2026-01-01T00:00:00"}
    async with (
        raw_server(Answer(document={"items": [other], "items_total": 1})) as raw,
        adapter(raw.url) as minutes,
    ):
        assert await minutes.find(REFERENCE, "BCSD") is None


async def test_an_item_that_cannot_be_closed_is_not_made() -> None:
    async with the_world(inactive_fields=["privacy"]) as world:
        with pytest.raises(Declined, match="privacy"):
            await world.proposed()
        assert world.house.states["minutes"].all("item") == []
        item = await world.proposed(closed=False)
        [warning] = item.warnings
        assert warning.endswith("were ignored: privacy.")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"title": ""}, "BadRequest: title: title is required, please correct."),
        ({"proposing_group": "brandweer"}, 'Error with value "brandweer" defined for field "proposingGroup"'),
        ({"category": "feesten"}, "category: Value feesten is not allowed"),
        ({"title": "", "category": "feesten"}, "please correct.; category: Value"),
    ],
)
async def test_what_the_package_refuses_is_told_in_its_own_words(
    world: World, changed: dict[str, str], told: str
) -> None:
    with pytest.raises(Declined) as refused:
        await world.proposed(**changed)
    assert refused.value.http_status == 400
    assert told in refused.value.reason
    assert world.house.states["minutes"].all("item") == []


async def test_an_annex_of_an_unknown_kind_stops_the_whole_item(world: World) -> None:
    async with adapter(world.url, annex_category="geheim") as minutes:
        with pytest.raises(Declined, match='content_category "geheim"'):
            await minutes.create_item(
                body="BCSD",
                external_identifier=REFERENCE,
                title="Premie",
                motivation_html="",
                decision_html="",
                annexes=[NewAnnex("Stuk", "stuk.pdf", b"x", "application/pdf")],
            )
    assert world.house.states["minutes"].all("item") == []


async def test_a_document_can_be_added_later(world: World) -> None:
    item = await world.proposed()
    await world.minutes.add_annex(item.uid, NewAnnex("Aanvulling", "extra.pdf", b"meer", "application/pdf"))
    after = await world.minutes.item(item.uid)
    assert after is not None
    assert [annex.title for annex in after.annexes] == ["Aanvulling"]
    with pytest.raises(Declined, match="No element found"):
        await world.minutes.add_annex("0" * 32, NewAnnex("x", "x.pdf", b"x", "application/pdf"))


# ── the sandbox is as strict as the real one ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changed", "status", "told"),
    [
        ({"config_id": None}, 400, 'The "config_id" parameter must be given!'),
        ({"config_id": "meeting-config-x"}, 400, 'named "meeting-config-x" was not found!'),
        ({"proposingGroup": ""}, 400, "'field': 'proposingGroup'"),
        ({"notes": "<p>x</p>"}, 400, 'The optional field "notes" is not activated'),
        ({"ignore_validation_for": ["title"]}, 400, "following required fields"),
        (
            {"ignore_validation_for": ["category"], "category": "premies"},
            400,
            "for which a value is provided",
        ),
        ({"__children__": [{"title": "a", "file": {"data": "AAAA"}}]}, 400, '"filename" or "content-type"'),
        (
            {"__children__": [{"file": {"data": "%%%", "encoding": "base64", "filename": "a.pdf"}}]},
            400,
            "Could not decode",
        ),
    ],
)
async def test_a_faulty_item_is_refused_by_the_sandbox(
    world: World, changed: dict[str, object], status: int, told: str
) -> None:
    good = {"config_id": "meeting-config-bcsd", "title": "Premie", "proposingGroup": "sociale-dienst"}
    answer = await posted(world, good | changed)
    assert (answer.status_code, answer.json()["type"]) == (status, "BadRequest")
    assert told in answer.json()["message"]
    assert world.house.states["minutes"].all("item") == []


async def test_what_was_ignored_stands_in_the_warnings(world: World) -> None:
    answer = await posted(
        world,
        {
            "config_id": "meeting-config-bcsd",
            "title": "Premie",
            "proposingGroup": "sociale-dienst",
            "externalIdentifier": 7,
            "notes": "<p>x</p>",
            "colour": "red",
            "ignore_not_used_data": True,
            "ignore_validation_for": ["groupsInCharge"],
            "wf_transitions": ["validate"],
            "__children__": [{"file": {"data": "AAAA", "filename": "a.pdf"}}],
        },
    )
    assert answer.status_code == 201
    made = answer.json()
    assert (made["review_state"], made["externalIdentifier"]) == ("itemcreated", "7")
    told = "\n".join(made["@warnings"])
    for part in ("notes", "groupsInCharge", "colour", "'validate' transition", '"base64" was assumed'):
        assert part in told


async def test_a_search_needs_a_configuration_and_a_state_can_be_asked(world: World) -> None:
    item = await world.proposed()
    auth = httpx2.BasicAuth("loket", "notulen")
    without = await world.desk.get(f"{world.url}/@search", params={"type": "item"}, auth=auth)
    assert without.status_code == 400
    query = {"config_id": "meeting-config-bcsd", "review_state": "presented"}
    found = await world.desk.get(f"{world.url}/@search", params=query, auth=auth)
    assert [one["UID"] for one in found.json()["items"]] == [item.uid]
    none = await world.desk.get(
        f"{world.url}/@search", params=query | {"state": "", "review_state": "refused"}, auth=auth
    )
    assert none.json()["items_total"] == 0
    wrong = await world.desk.get(f"{world.url}/@item", params={"UID": item.meeting_uid or ""}, auth=auth)
    assert wrong.status_code == 400
    named = await world.desk.get(f"{world.url}/@get", params={"externalIdentifier": REFERENCE}, auth=auth)
    assert named.json()["UID"] == item.uid
    termed = await world.desk.get(
        f"{world.url}/@get", params={"UID": item.uid, "metadata_fields": "review_state"}, auth=auth
    )
    assert termed.json()["review_state"] == {"token": "presented", "title": "Presented"}


async def test_only_a_draft_is_deleted(world: World) -> None:
    item = await world.proposed()
    auth = httpx2.BasicAuth("loket", "notulen")
    assert (await world.desk.delete(item.url, auth=auth)).status_code == 401
    await world.minutes.withdraw(item.uid)
    assert (await world.desk.delete(item.url, auth=auth)).status_code == 204
    assert await world.minutes.find(REFERENCE, "BCSD") is None


async def posted(world: World, document: dict[str, Any]) -> httpx2.Response:
    kept = {name: value for name, value in document.items() if value is not None}
    return await world.desk.post(f"{world.url}/@item", json=kept, auth=httpx2.BasicAuth("loket", "notulen"))


# ── the body decides ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        ("accepted", Outcome.ACCEPTED),
        ("refused", Outcome.REFUSED),
        ("removed", Outcome.REMOVED),
        ("marked_not_applicable", Outcome.REMOVED),
        ("pre_accepted", Outcome.OPEN),
        ("returned_to_proposing_group", Outcome.OPEN),
    ],
)
async def test_what_the_body_decides_is_read_back(world: World, result: str, outcome: Outcome) -> None:
    item = await world.proposed()
    await world.decided(item, result)
    after = await world.minutes.item(item.uid)
    assert after is not None
    assert (after.state, after.outcome, after.successors, after.warnings) == (result, outcome, (), ())
    assert (after.meeting_uid, after.meeting_at) == (item.meeting_uid, item.meeting_at)


async def test_another_text_than_was_proposed_is_read_back(world: World) -> None:
    item = await world.proposed()
    with pytest.raises(AssertionError, match="another decision"):
        await world.decided(item, "accepted_but_modified")
    await world.decided(item, "accepted_but_modified", decision="<p>De premie van 70,00 euro.</p>")
    after = await world.minutes.item(item.uid)
    assert after is not None
    assert (after.outcome, after.decision_html) == (Outcome.MODIFIED, "<p>De premie van 70,00 euro.</p>")
    assert after.motivation_html == item.motivation_html


@pytest.mark.parametrize(
    ("result", "waits_as"), [("delayed", "itemcreated"), ("postponed_next_meeting", "validated")]
)
async def test_a_postponed_item_comes_back_as_its_successor(world: World, result: str, waits_as: str) -> None:
    item = await world.proposed()
    await world.decided(item, result)
    after = await world.minutes.item(item.uid)
    assert after is not None
    [successor] = after.successors
    assert (after.outcome, successor.state) == (Outcome.POSTPONED, waits_as)
    await world.order(f"items/{successor.uid}/present")
    back = await world.minutes.item(successor.uid)
    assert back is not None
    assert (back.state, back.external_identifier, back.decision_html) == ("presented", "", item.decision_html)
    assert back.meeting_at is not None
    assert item.meeting_at is not None
    assert back.meeting_at > item.meeting_at
    await world.decided(back, "delayed")
    twice = await world.minutes.item(item.uid)
    assert twice is not None
    assert [one.state for one in twice.successors] == ["delayed", "itemcreated"]
    found = await world.minutes.find(REFERENCE, "BCSD")
    assert found is not None
    assert found.uid == item.uid


async def test_a_meeting_decides_everything_on_its_agenda_today(world: World) -> None:
    one, other = await world.proposed(), await world.proposed("SP-2026-0008")
    told = await world.order(f"meetings/{one.meeting_uid}/decide", heldNow=True)
    assert {item["UID"] for item in told["items"]} == {one.uid, other.uid}
    after = await world.minutes.item(other.uid)
    assert after is not None
    assert after.outcome is Outcome.ACCEPTED
    assert after.meeting_at is not None
    assert abs(after.meeting_at - datetime.now(UTC)) < timedelta(hours=2)  # clocks are put back
    assert one.meeting_uid not in {meeting.uid for meeting in await world.minutes.open_meetings("BCSD")}


async def test_what_a_meeting_does_not_decide_stays_before_it(world: World) -> None:
    one, other = await world.proposed(), await world.proposed("SP-2026-0008")
    await world.decided(one, "accepted")
    left = await world.minutes.item(other.uid)
    assert left is not None
    assert (left.state, left.outcome) == ("itempublished", Outcome.OPEN)
    await world.decided(left, "refused")
    with pytest.raises(AssertionError, match="the item is refused"):
        await world.decided(left, "accepted")
    with pytest.raises(AssertionError, match="not on this agenda"):
        await world.order(f"meetings/{one.meeting_uid}/decide", items=[{"uid": "0" * 32}])


async def test_two_sign_and_the_signed_decision_is_there(world: World) -> None:
    item = await world.proposed()
    assert [(one.number, one.signed_on) for one in item.signatories] == [(1, None), (2, None)]
    await world.decided(item, "accepted")
    with pytest.raises(AssertionError, match="signedOn"):
        await world.order(f"items/{item.uid}/sign", signedOn="morgen")
    await world.order(f"items/{item.uid}/sign", signedOn="2026-12-11")
    after = await world.minutes.item(item.uid)
    assert after is not None
    assert [(one.name, one.function, one.signed_on) for one in after.signatories] == [
        ("Nadia El Amrani", "voorzitter", date(2026, 12, 11)),
        ("Joris Van den Broeck", "algemeen directeur", date(2026, 12, 11)),
    ]
    assert after.signed is not None
    page = PdfReader(io.BytesIO(await world.minutes.download(after.signed.url))).pages[0].extract_text()
    assert "De premie van 185,00 euro wordt toegekend." in page
    assert "Nadia El Amrani" in page
    assert re.search(r"zitting van [0-9]{2}/[0-9]{2}/[0-9]{4} om [0-9]{2}\.[0-9]{2} uur", page)


async def test_what_an_item_is_sent_back_for_is_told_to_nobody(world: World) -> None:
    item = await world.proposed()
    returned = {"uid": item.uid, "result": "returned_to_proposing_group"}
    told = await world.order(f"meetings/{item.meeting_uid}/decide", tell=True, items=[returned])
    assert told["items"][0]["result"] is None
    await world.order(f"meetings/{item.meeting_uid}/decide", tell=True, items=[{"uid": item.uid}])
    assert [one["data"]["result"] for one in await world.told()] == ["ACCEPTED"]


async def test_an_agenda_numbers_its_items_anew_for_nobody(world: World) -> None:
    first, second = await world.proposed(), await world.proposed("SP-2026-0008")
    await world.minutes.withdraw(first.uid)
    third = await world.proposed("SP-2026-0009")
    back = await world.proposed()
    assert [item.number for item in (second, third, back)] == ["2", "3", "4"]
    held = await world.order(f"meetings/{second.meeting_uid}/decide")
    assert [item["UID"] for item in held["items"]] == [second.uid, third.uid, first.uid]


async def test_nothing_is_signed_that_was_not_decided(world: World) -> None:
    item = await world.proposed()
    with pytest.raises(AssertionError, match="is not signed"):
        await world.order(f"items/{item.uid}/sign")
    with pytest.raises(AssertionError, match="nothing is decided"):
        await world.order(f"items/{item.uid}/tell")


# ── taking back ───────────────────────────────────────────────────────────────────────────────────────


async def test_an_item_is_taken_from_its_agenda(world: World) -> None:
    item = await world.proposed()
    back = await world.minutes.withdraw(item.uid)
    assert (back.state, back.meeting_uid) == ("itemcreated", None)
    assert (await world.minutes.withdraw(item.uid)).state == "itemcreated"


async def test_an_item_on_a_closed_agenda_is_for_the_secretariat(world: World) -> None:
    item = await world.proposed()
    await world.order(f"meetings/{item.meeting_uid}/freeze")
    with pytest.raises(Declined, match="itemfrozen"):
        await world.minutes.withdraw(item.uid)
    await world.decided(item, "accepted")
    with pytest.raises(Declined, match="decided: accepted"):
        await world.minutes.withdraw(item.uid)
    with pytest.raises(Declined, match="no item"):
        await world.minutes.withdraw("0" * 32)


async def test_our_password_goes_nowhere_but_to_the_package(world: World) -> None:
    with pytest.raises(Declined, match="not an address"):
        await world.minutes.download(f"{world.door.url}/besluit.pdf")
    with pytest.raises(Declined, match="not an address"):
        await world.minutes.download(f"{world.url}.example/besluit.pdf")
    assert world.door.asked == []


# ── what the package says that no sandbox says ────────────────────────────────────────────────────────

SAID: dict[str, Any] = {"UID": "a" * 32, "@id": "http://127.0.0.1/a", "title": "Premie", "review_state": "x"}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(400, {"type": "BadRequest", "message": "No"}), "HTTP 400: BadRequest: No"),
        (Answer(403, {"error": {"type": "Forbidden", "message": "Not you"}}), "HTTP 403: Forbidden: Not you"),
        (
            Answer(400, {"type": "BadRequest", "message": "[{'field': 'title', 'message': u'Caf\\xe9'}]"}),
            "HTTP 400: BadRequest: title: Café",
        ),
        (
            Answer(400, {"type": "BadRequest", "message": "[<Invalid title>]"}),
            "HTTP 400: BadRequest: [<Invalid title>]",
        ),
        (Answer(400, {"type": "BadRequest", "message": "[" * 15_000}), "HTTP 400: BadRequest: [[["),
        (Answer(400, {"message": {"title": "odd"}}), "HTTP 400: "),
        (Answer(401, {"type": "Unauthorized", "message": "Sign in"}), "HTTP 401: Unauthorized: Sign in"),
        (Answer(405, body=b"<html>no</html>"), "HTTP 405: <html>no</html>"),
    ],
)
async def test_every_shape_of_a_refusal_is_understood(answer: Answer, told: str) -> None:
    async with raw_server(answer) as raw, adapter(raw.url) as minutes:
        with pytest.raises(Declined) as refused:
            await minutes.item("a" * 32)
    assert refused.value.reason.startswith(told)


@pytest.mark.parametrize(
    "answer",
    [
        HANG,
        HANG_UP,
        Answer(200, body=b'{"UID": "aa'),
        Answer(200, []),
        Answer(200, {"title": "no UID"}),
        Answer(200, SAID | {"review_state": None}),
        Answer(503, {"error": {"type": "ServiceUnavailable", "message": "Restarting"}}),
        Answer(500, {"type": "Exception", "message": "oops"}),
    ],
)
async def test_silence_and_what_cannot_be_read_are_asked_again_later(answer: Answer) -> None:
    async with raw_server(answer) as raw, adapter(raw.url, timeout_seconds=0.2) as minutes:
        with pytest.raises(Unavailable):
            await minutes.item("a" * 32)


async def test_a_pause_that_the_package_asks_is_passed_on() -> None:
    answer = Answer(429, {"type": "TooMany", "message": "Later"}, headers={"Retry-After": "17"})
    async with raw_server(answer) as raw, adapter(raw.url) as minutes:
        with pytest.raises(Unavailable) as later:
            await minutes.check()
    assert later.value.retry_after_seconds == 17


async def test_an_item_is_read_from_what_is_right_in_it() -> None:
    said = SAID | {
        "review_state": {"token": "accepted", "title": "Aanvaard"},
        "extra_include_meeting": {"UID": "m", "date": "2026-07-06T14:00:00"},
        "extra_include_deliberation": {"deliberation_decision": "<p>Ja</p>"},
        "motivation": {"content-type": "text/html", "data": "<p>Want</p>"},
        "extra_include_annexes": [
            {"UID": "1", "title": "zonder bestand", "signed": True},
            {
                "UID": "2",
                "signed": True,
                "modified": "2026-07-08T23:30:00+00:00",
                "file": {"download": "http://x"},
            },
            "onzin",
        ],
        "extra_include_attendees": [
            {"title": "An", "signatory": 2, "signatory_position_type": {"title": "algemeen directeur"}},
            {
                "title": "Bo",
                "signatory": "1",
                "signatory_position_type": "burgemeester",
                "signed_on": "2026-07-07",
            },
            {"title": "Cé", "signatory": None},
            {"title": "Di", "signatory": "²"},
            None,
        ],
        "extra_include_linked_items": [{"UID": "s", "review_state": "validated"}, {"review_state": "x"}],
    }
    item = item_of(said)
    assert (item.state, item.outcome) == ("accepted", Outcome.ACCEPTED)
    assert item.meeting_at == datetime(2026, 7, 6, 12, tzinfo=UTC)
    assert (item.motivation_html, item.decision_html) == ("<p>Want</p>", "<p>Ja</p>")
    assert [annex.uid for annex in item.annexes] == ["2"]
    assert [(one.name, one.function, one.signed_on) for one in item.signatories] == [
        ("Bo", "burgemeester", date(2026, 7, 7)),
        ("An", "algemeen directeur", date(2026, 7, 9)),
    ]
    assert [one.uid for one in item.successors] == ["s"]
    assert (item.closed, item.number) == (None, "")


def test_every_state_is_judged_and_an_unknown_one_leaves_the_item_open_with_a_note() -> None:
    assert {judge(state).outcome for state in OUTCOMES} == set(Outcome)
    assert all(judge(state).note is None for state in OUTCOMES)
    strange = judge("sent_to_the_moon")
    assert strange.outcome is Outcome.OPEN
    assert "sent_to_the_moon" in str(strange.note)
    assert item_of(SAID | {"review_state": "sent_to_the_moon"}).warnings == (strange.note,)


# ── the package tells ─────────────────────────────────────────────────────────────────────────────────


async def test_a_connector_tells_what_was_decided_and_then_that_it_was_signed(world: World) -> None:
    item = await world.proposed()
    await world.order(f"meetings/{item.meeting_uid}/decide", tell=True)
    await world.order(f"items/{item.uid}/sign", tell=True)
    told = await world.told(2)
    faults = [Contract("minutes.openapi.yaml").faults("Notice", one) for one in told]
    assert faults == [[], []]
    assert [one.target for one in world.door.asked] == ["/hooks/minutes/decision"] * 2
    heard = {
        len(notice.said.signatories): notice
        for one in world.door.asked
        if (notice := world.minutes.read_notice(one.headers, one.body)).said is not None
    }
    first, signed = heard[0].said, heard[2].said
    assert first is not None
    assert signed is not None
    assert (first.external_identifier, first.item_uid, first.body) == (REFERENCE, item.uid, "BCSD")
    assert item.meeting_at is not None
    assert first.meeting_on == item.meeting_at.astimezone(BRUSSELS).date()
    assert (first.result, first.decision_html) == (Outcome.ACCEPTED, item.decision_html)
    assert first.document_url is None
    assert signed.document_url is not None
    document = await world.minutes.download(signed.document_url)
    assert hashlib.sha256(document).hexdigest() == signed.sha256
    assert signed.signatories[1].function == "algemeen directeur"


async def test_a_successor_is_told_under_the_identifier_of_its_first_item(world: World) -> None:
    item = await world.proposed()
    await world.decided(item, "delayed")
    await world.order(f"items/{item.uid}/tell")
    after = await world.minutes.item(item.uid)
    assert after is not None
    uid = after.successors[0].uid
    await world.order(f"items/{uid}/present")
    back = await world.minutes.item(uid)
    assert back is not None
    await world.decided(back, "refused")
    await world.order(f"items/{uid}/tell")
    told = {one["data"]["result"]: one["data"] for one in await world.told(2)}
    assert {name: data["itemUid"] for name, data in told.items()} == {"POSTPONED": item.uid, "REFUSED": uid}
    assert {data["externalIdentifier"] for data in told.values()} == {REFERENCE}


async def test_a_notice_that_is_not_provably_the_packages_is_not_read(world: World) -> None:
    item = await world.proposed()
    await world.order(f"meetings/{item.meeting_uid}/decide", tell=True)
    await world.told()
    [asked] = world.door.asked
    with pytest.raises(BadSignature):
        world.minutes.read_notice(asked.headers, asked.body.replace(b"ACCEPTED", b"REFUSED"))
    async with adapter(world.url, hook_secret="another") as minutes:
        with pytest.raises(BadSignature):
            minutes.read_notice(asked.headers, asked.body)


@pytest.mark.parametrize(
    "changed",
    [
        {"result": "OPEN"},
        {"result": "MAYBE"},
        {"externalIdentifier": ""},
        {"meetingOn": "gisteren"},
        {"sha256": "abc"},
        {"signatories": [{"name": "An"}]},
    ],
)
async def test_a_notice_that_strays_from_the_contract_is_refused(changed: dict[str, object]) -> None:
    data = {
        "externalIdentifier": REFERENCE,
        "itemUid": "a" * 32,
        "body": "BCSD",
        "meetingOn": "2026-12-10",
        "result": "ACCEPTED",
    }
    notice = {"id": "1", "type": "decision.recorded", "occurredAt": "2026-12-10T19:00:00+01:00"}
    contract = Contract("minutes.openapi.yaml")
    assert contract.faults("Notice", notice | {"data": data}) == []
    assert contract.faults("Notice", notice | {"data": data | changed}) != []
    sign = loket_signature(SIGN_IN["hook_secret"])
    good, bad = (json.dumps(notice | {"data": one}).encode() for one in (data, data | changed))
    async with adapter("http://127.0.0.1") as minutes:
        assert minutes.read_notice(sign("", good), good).said is not None
        with pytest.raises(BadNotice):
            minutes.read_notice(sign("", bad), bad)


# ── an installation ───────────────────────────────────────────────────────────────────────────────────


def test_a_sandbox_of_an_older_loket_gets_what_is_new_and_keeps_what_it_had(tmp_path: Path) -> None:
    prepare(tmp_path, {}, sandbox=True)
    file = tmp_path / "sandbox.env"
    older = [line for line in file.read_text("utf-8").splitlines() if "MINUTES" not in line]
    file.write_text("\n".join([*older, "LOKET_SMS_SENDER=Mine"]) + "\n", "utf-8")
    first, again = (prepare(tmp_path, {}, sandbox=True).settings for _ in range(2))
    assert first == again
    assert first.minutes.url.endswith(str(int(first.sms.url.rpartition(":")[2]) + 2))
    kept = [line for line in file.read_text("utf-8").splitlines() if "MINUTES" not in line]
    assert sorted(kept) == sorted([*older, "LOKET_SMS_SENDER=Mine"])
    told = json.loads((tmp_path / "sandbox.json").read_text("utf-8"))["minutes"]
    assert told["hook_url"] == f"{first.public_url}/hooks/minutes/decision"
    assert (told["user"], told["password"], told["hook_secret"]) == (
        first.minutes.user,
        first.minutes.password,
        first.minutes.hook_secret,
    )
    assert len(first.minutes.password) > 20


# ── at the desk ───────────────────────────────────────────────────────────────────────────────────────


async def test_one_can_sit_on_the_body_at_the_desk(world: World) -> None:
    item = await world.proposed(title="Premie <b>voor An</b>")
    page = f"{world.house.config.urls['desk']}/systeem/minutes"
    shown = (await world.desk.get(page)).text
    assert "Bijzonder comité voor de sociale dienst" in shown
    assert "Premie &lt;b&gt;voor An&lt;/b&gt;" in shown
    form = {"uid": item.uid, "result": "accepted_but_modified", "decision": "<p>Anders.</p>", "tell": "1"}
    answer = await world.desk.post(f"{world.url}/sim/meetings/{item.meeting_uid}/decide", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, page)
    assert (await world.told())[0]["data"]["result"] == "MODIFIED"
    await world.desk.post(f"{world.url}/sim/items/{item.uid}/sign", data={"tell": ""})
    after = await world.minutes.item(item.uid)
    assert after is not None
    assert after.signed is not None
    assert "accepted_but_modified" in (await world.desk.get(page)).text


async def test_the_desk_shows_what_is_to_come_before_what_was_held(world: World) -> None:
    page = f"{world.house.config.urls['desk']}/systeem/minutes"
    for number in range(3):
        item = await world.proposed(f"SP-2026-00000{number}-X")
        await world.order(f"meetings/{item.meeting_uid}/decide", heldNow=True)
    shown = (await world.desk.get(page)).text.partition("Bijzonder comité voor de sociale dienst</h3>")[2]
    shown = shown.partition("<h3>")[0]
    places = [shown.index(one) for one in ("0 punten", "gehouden", "Vroegere zittingen (1)")]
    assert places == sorted(places)

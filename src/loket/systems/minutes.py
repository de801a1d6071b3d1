"""The municipality's minutes package (notuleringspakket): items on a meeting's agenda, decisions read back.

Speaks PloneMeeting's REST API (plonemeeting.restapi 2.x, open source). It sends nothing by itself, so it is
asked; a package or connector that can tell does so at our own hook, contracts/minutes.openapi.yaml.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Annotated, Literal

import httpx2
import orjson
from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass as shape

from loket.errors import Declined, Unavailable
from loket.settings import Minutes as Settings
from loket.systems import contract
from loket.systems.calls import ask
from loket.systems.contract import WIRE, Notice
from loket.systems.minutes_item import (
    SYSTEM,
    Item,
    Json,
    Meeting,
    NewAnnex,
    Outcome,
    document,
    item_of,
    meeting_of,
    objects,
    refusal,
    text,
    warnings_of,
)
from loket.trust import authorities

TIMEOUT_SECONDS = 30.0
"""Plone is slow at making an item with annexes."""
MOST_MEETINGS = 100
STEPS = ("itemcreated", "proposed", "validated", "presented")
"""An item's way to the agenda; what is not in here lies further."""
REACHES = {"propose": "proposed", "validate": "validated", "present": "presented"}
BACK = ("remove", "backToValidated", "backToProposed", "backToItemCreated")
"""Transitions that lead away from the agenda, the shortest way first."""
WITHDRAWN = ("itemcreated", "removed")

Query = list[tuple[str, str | int | float | bool | None]]


@dataclass(frozen=True)
class Infos:
    """Who we are to the package, and the versions of its parts."""

    user: str
    versions: Mapping[str, str]


# --- what the package tells at our hook --------------------------------------------------------------------

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Decided = Literal[Outcome.ACCEPTED, Outcome.MODIFIED, Outcome.REFUSED, Outcome.POSTPONED, Outcome.REMOVED]


@shape(frozen=True, config=WIRE)
class ToldSignatory:
    name: Annotated[str, Field(min_length=1, max_length=140)]
    function: Annotated[str, Field(min_length=1, max_length=140)]
    signed_on: date


@shape(frozen=True, config=WIRE)
class DecisionRecorded:
    """A body decided. `body` as in the settings: COLLEGE, ….

    `document_url` is inside the package: fetch it with `Minutes.download` and hold it against `sha256`.
    """

    external_identifier: Annotated[str, Field(min_length=1, max_length=100)]
    item_uid: Annotated[str, Field(min_length=1, max_length=100)]
    body: Annotated[str, Field(pattern=r"^[A-Z_]{1,40}$")]
    meeting_on: date
    result: Decided
    decision_html: str = ""
    signatories: tuple[ToldSignatory, ...] = ()
    document_url: Annotated[str, Field(max_length=2000)] | None = None
    sha256: Sha256 | None = None


_TOLD: dict[str, TypeAdapter[DecisionRecorded]] = {"decision.recorded": TypeAdapter(DecisionRecorded)}


class Minutes:
    """A repeat is recognised by `lookup`: an item is searched by its external identifier before it is made.

    The package does not hold that identifier to be unique. One call for one identifier at a time, so; and a
    request that outlives our time-out by more than the pause before the repeat can still make a second item:
    `find` takes the oldest and warns.

    Assumed, for want of a source: signatories are the item's attendees that have a `signatory` number (this
    is certain), with the day of signing in `signed_on` (this is not: without it, the day on which the signed
    annex last changed counts). A meeting's deadline stands in `validation_deadline` or `freeze_deadline`.
    """

    def __init__(self, settings: Settings, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._settings = settings
        self._url = settings.url.rstrip("/")
        self._client = httpx2.AsyncClient(
            base_url=self._url,
            auth=httpx2.BasicAuth(settings.user, settings.password),
            headers={"Accept": "application/json"},
            timeout=timeout_seconds,
            trust_env=False,
            verify=authorities(),
        )

    async def check(self) -> Infos:
        """Whether the package answers, and knows us.

        Raises:
            Unavailable: no (readable) answer, or not now.
            Declined: it takes us for nobody; it does not say so anywhere else than here.
        """
        infos = await self._get("/@infos", [])
        user = infos.get("connected_user")
        if not user:
            raise Declined(SYSTEM, "user and password are not known to the minutes package")
        packages = infos.get("packages")
        versions = {str(name): str(version) for name, version in packages.items()} if packages else {}
        return Infos(str(user), versions)

    async def open_meetings(self, body: str) -> list[Meeting]:
        """The coming meetings of `body` that still take items, the first one first.

        Raises:
            Unavailable: no (readable) answer, or not now.
            Declined: no such body here, or the package refuses the question.
        """
        found = await self._search(
            body,
            "meeting",
            [("meetings_accepting_items", "true"), ("fullobjects", "1"), ("b_size", str(MOST_MEETINGS))],
        )
        now = datetime.now(UTC)
        return sorted(
            (meeting for meeting in map(meeting_of, found) if meeting.at > now),
            key=lambda meeting: (meeting.at, meeting.uid),
        )

    async def create_item(
        self,
        *,
        body: str,
        external_identifier: str,
        title: str,
        motivation_html: str,
        decision_html: str,
        preferred_meeting: str | None = None,
        closed: bool = True,
        category: str = "",
        proposing_group: str = "",
        annexes: Sequence[NewAnnex] = (),
        wf_transitions: Sequence[str] | None = None,
    ) -> Item:
        """Make the item and send it on its way, or find the one that was made and send that on.

        An empty `proposing_group` and no `wf_transitions` are the settings' own. A `closed` item is refused
        where the package keeps no record of that, since it would be made public; of an open one the package
        may leave out what it does not use. Read `state` and `warnings`: the package answers 201 also for an
        item that did not get on an agenda.

        Raises:
            Unavailable: no (readable) answer, or not now; repeating is safe.
            Declined: the package refuses the item.
        """
        if wf_transitions is None:
            wf_transitions = [name for one in self._settings.transitions.split(",") if (name := one.strip())]
        earlier = await self.find(external_identifier, body)
        if earlier is not None:
            return _judged(await self._go_on(earlier, wf_transitions), wf_transitions)
        wanted: Json = {
            "config_id": self._config_id(body),
            "title": title,
            "proposingGroup": proposing_group or self._settings.proposing_group,
            "externalIdentifier": external_identifier,
            "motivation": motivation_html,
            "decision": decision_html,
            "privacy": "secret" if closed else "public",
            "ignore_not_used_data": not closed,
            "wf_transitions": list(wf_transitions),
        }
        if category:
            wanted["category"] = category
        if preferred_meeting:
            wanted["preferredMeeting"] = preferred_meeting
        if annexes:
            wanted["__children__"] = [self._child(annex) for annex in annexes]
        made = document(await self._send("/@item", wanted))
        # What it answers may be the item as it stood before the transitions: read it again.
        item = await self.item(text(made, "UID", needed=True))
        if item is None:
            raise Unavailable(SYSTEM, "the item that was made is not there")
        return _judged(replace(item, warnings=(*warnings_of(made), *item.warnings)), wf_transitions)

    async def item(self, uid: str) -> Item | None:
        """The item as it stands; None when the package does not have it.

        Raises:
            Unavailable: no (readable) answer, or not now.
            Declined: it is not for us to see.
        """
        # fmt: off
        query: Query = [
            ("UID", uid), ("fullobjects", "1"),
            ("extra_include", "meeting"),
            ("extra_include", "deliberation_motivation"), ("extra_include", "deliberation_decision"),
            ("extra_include", "annexes"), ("extra_include_annexes_fullobjects", "1"),
            ("extra_include", "attendees"),
            ("extra_include", "linked_items"), ("extra_include_linked_items_mode", "every_successors"),
        ]
        # fmt: on
        try:
            return item_of(await self._get("/@item", query))
        except Declined as no:
            if no.http_status == 404:
                return None
            raise

    async def find(self, external_identifier: str, body: str) -> Item | None:
        """The item that was made for `external_identifier`, its oldest; None when there is none.

        Raises:
            Unavailable: no (readable) answer, or not now.
            Declined: no such body here, or the package refuses the question.
        """
        found = [
            one
            for one in await self._search(
                body,
                "item",
                [("externalIdentifier", external_identifier), ("metadata_fields", "externalIdentifier")],
            )
            # A catalogue without such an index answers with everything it has.
            if one.get("externalIdentifier", external_identifier) == external_identifier
        ]
        if not found:
            return None
        oldest = min(found, key=lambda one: (str(one.get("created", "")), str(one.get("UID", ""))))
        item = await self.item(text(oldest, "UID", needed=True))
        if item is None or len(found) == 1:
            return item
        return replace(
            item, warnings=(*item.warnings, f"{len(found)} items carry the identifier {external_identifier}")
        )

    async def add_annex(self, uid: str, annex: NewAnnex) -> None:
        """Put one more closed document with an item. A repeat is not recognised: it is there twice, then.

        Raises:
            Unavailable: no answer, or not now.
            Declined: no such item, or it takes no more documents.
        """
        child = {name: value for name, value in self._child(annex).items() if name != "@type"}
        await self._send(f"/@annex/{uid}", child)

    async def withdraw(self, uid: str) -> Item:
        """Take an item from its agenda: removed, or back to a draft of the proposing group.

        The API of PloneMeeting has no word for this. Assumed: plone.restapi's own `@workflow` is open to our
        user, with PloneMeeting's usual transitions back. The draft is not deleted, so that it can be found.

        Raises:
            Unavailable: no (readable) answer, or not now.
            Declined: no such item, it was decided, or it is the secretariat that must do this by now.
        """
        item = await self.item(uid)
        if item is None:
            raise Declined(SYSTEM, f"no item {uid}", http_status=404)
        while item.state not in WITHDRAWN:
            if item.outcome is not Outcome.OPEN:
                raise Declined(SYSTEM, f"the item was decided: {item.state}", http_status=409)
            offered = await self._transitions(item)
            step = next((name for name in BACK if name in offered), None)
            if step is None:
                raise Declined(SYSTEM, f"we may not take an item back that is {item.state}", http_status=409)
            item = await self._step(item, step)
        return item

    async def download(self, url: str) -> bytes:
        """A document of the package.

        Raises:
            Unavailable: no answer, or not now.
            Declined: it is not there, not for us, or not at the package.
        """
        request = self._client.build_request("GET", self._own(url))
        response = await ask(SYSTEM, self._client, request)
        if not response.is_success:
            raise refusal(response)
        return response.content

    def read_notice(self, headers: Mapping[str, str], body: bytes) -> Notice[DecisionRecorded]:
        """What the minutes package tells us, from the raw `body`.

        Raises:
            BadSignature: not provably from the package, or older than five minutes.
            BadNotice: not what the contract says.
        """
        return contract.read_notice(headers, body, self._settings.hook_secret, _TOLD)

    async def aclose(self) -> None:
        await self._client.aclose()

    # What they have in common ----------------------------------------------------------------------------

    def _own(self, url: str) -> str:
        """An address that the package gave, once it leads nowhere else: our password goes along."""
        if not url.startswith(f"{self._url}/"):
            raise Declined(SYSTEM, f"{url} is not an address of the minutes package")
        return url

    def _config_id(self, body: str) -> str:
        configs = {
            "COLLEGE": self._settings.config_college,
            "COUNCIL": self._settings.config_council,
            "VAST_BUREAU": self._settings.config_vast_bureau,
            "RMW": self._settings.config_rmw,
            "BCSD": self._settings.config_bcsd,
        }
        if not configs.get(body):
            raise Declined(SYSTEM, f"no configuration of the minutes package is set for {body}")
        return configs[body]

    def _child(self, annex: NewAnnex) -> Json:
        return {
            "@type": "annex",
            "title": annex.title,
            "content_category": self._settings.annex_category,
            "confidential": True,
            "file": {
                "data": base64.b64encode(annex.content).decode("ascii"),
                "encoding": "base64",
                "filename": annex.filename,
                "content-type": annex.media_type,
            },
        }

    async def _go_on(self, item: Item, wanted: Sequence[str]) -> Item:
        """Take those of the wanted transitions that are still ahead, as far as the package lets us."""
        for name in wanted:
            if name not in REACHES or item.state not in STEPS:
                break
            if STEPS.index(item.state) >= STEPS.index(REACHES[name]):
                continue
            if name not in await self._transitions(item):
                break
            item = await self._step(item, name)
        return item

    async def _transitions(self, item: Item) -> list[str]:
        """The names of the transitions that our user can take now."""
        workflow = await self._get(f"{self._own(item.url)}/@workflow", [])
        return [text(one, "@id").rpartition("/")[2] for one in objects(workflow, "transitions")]

    async def _step(self, item: Item, transition: str) -> Item:
        await self._send(f"{self._own(item.url)}/@workflow/{transition}", {})
        after = await self.item(item.uid)
        if after is None or after.state == item.state:
            raise Unavailable(SYSTEM, f"{transition} did not take the item out of {item.state}")
        return replace(after, warnings=(*item.warnings, *after.warnings))

    async def _search(self, body: str, kind: str, query: Query) -> list[Json]:
        found = await self._get("/@search", [("config_id", self._config_id(body)), ("type", kind), *query])
        return objects(found, "items", needed=True)

    async def _get(self, path: str, query: Query) -> Json:
        response = await ask(SYSTEM, self._client, self._client.build_request("GET", path, params=query))
        if not response.is_success:
            raise refusal(response)
        return document(response)

    async def _send(self, path: str, told: Json) -> httpx2.Response:
        request = self._client.build_request(
            "POST", path, content=orjson.dumps(told), headers={"Content-Type": "application/json"}
        )
        response = await ask(SYSTEM, self._client, request)
        if not response.is_success:
            raise refusal(response)
        return response


def _judged(item: Item, wanted: Sequence[str]) -> Item:
    """With a warning when the item did not get as far as was asked."""
    goal = next((REACHES[name] for name in reversed(wanted) if name in REACHES), STEPS[0])
    if item.state not in STEPS or STEPS.index(item.state) >= STEPS.index(goal):
        return item
    return replace(item, warnings=(*item.warnings, f"the item is {item.state}, not {goal}"))

"""The road of a premium, step by step: each says what it made happen, and so what must be heard of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from pydantic import TypeAdapter

from loket.walk import offices, premium_queries
from loket.walk.citizen import PDF, Citizen, WalkFailed, iban
from loket.walk.client import Client, Refused
from loket.walk.expectations import promised
from loket.walk.known import Numbers, find_notes, known_of
from loket.walk.promises import Moment, Promises
from loket.walk.scene import LONG_SECONDS, Ending, Scene

Json = dict[str, Any]


@dataclass(frozen=True)
class Premium:
    """What the script knows of a procedure: what to fill in, and for whom what is due.

    It stands in `procedures/walks`. Who is entitled follows from the sandbox's own arithmetic.
    """

    answers: Json
    asked: tuple[str, ...]
    """The benefits that these answers ask for."""
    entitled: Numbers
    """Who gets all of them."""
    none: Numbers
    """Who gets none."""
    main_check: tuple[str, str]
    """The check that each applicant undergoes, and MAGDA's service for it."""
    advisers: tuple[str, ...]
    """Whom the handler asks."""
    partly: Numbers | None = None
    """Who gets only the first of them; None: nobody."""
    by_itself: tuple[str, ...] = ()
    """Whom the procedure asks by itself."""
    visum: bool = False


def known_premium(procedure: str) -> Premium | None:
    """What is known of a procedure, by its key; None where these scripts were not written for it."""
    path = find_notes(procedure)
    if path is None or known_of(procedure).scripts != "premium":
        return None
    return _PREMIUM.validate_json(path.read_bytes())


def premium_of(scene: Scene) -> Premium:
    found = known_premium(scene.place.procedure["key"])
    assert found is not None
    return found


_PREMIUM = TypeAdapter(Premium)


@dataclass
class Road:
    """One case and what came of it so far."""

    scene: Scene
    citizen: Citizen
    premium: Premium
    promises: Promises
    happened: list[Moment] = field(default_factory=list)
    epilogue: list[str] = field(default_factory=list)
    """What happened after an end: DOSIS goes on showing the end."""
    payouts: list[tuple[str, Decimal]] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)
    agenda: list[str] = field(default_factory=list)
    ebox: bool = True
    """Whether the citizen has one; else the decision comes by registered post."""

    @classmethod
    async def begin(
        cls, scene: Scene, fits: Callable[[int], bool] | None = None, *, ebox: bool = True
    ) -> "Road":
        """Somebody who has not applied before; without `fits` one who is entitled to all that is asked."""
        about = premium_of(scene)
        citizen = await scene.citizen(fits=fits or about.entitled)
        await offices.open_ebox(scene.place.outside, citizen.insz, active=ebox)
        return cls(scene, citizen, about, Promises.of(scene.place.procedure["key"]), ebox=ebox)

    @classmethod
    async def at_the_counter(cls, scene: Scene, name: str) -> "Road":
        """Somebody who has nothing but an address: the handler enters the application."""
        visitor = Citizen.at_the_counter(scene.place, name, scene.story, scene.social_service.client)
        scene.citizens.append(visitor)
        scene.leaving.push_async_callback(visitor.leave)
        promises = Promises.of(scene.place.procedure["key"])
        return cls(scene, visitor, premium_of(scene), promises, ebox=False)

    @property
    def case_id(self) -> str:
        return str(self.citizen.case["id"])

    @property
    def amount(self) -> Decimal:
        """What all that was asked comes to."""
        return self.worth(self.premium.asked)

    def worth(self, benefits: Sequence[str]) -> Decimal:
        year = datetime.now(UTC).year
        return self.promises.amount(benefits, date(year, 1, 1))

    def ending(self, status: str, **different: object) -> Ending:
        """The case, and what must have been heard of it."""
        shown = [one for one in self.happened if one not in self.epilogue]
        whole: dict[str, object] = {
            "statuses": self.promises.statuses(shown),
            "payouts": self.payouts,
            "letters": self.letters,
            "agenda": self.agenda,
        }
        return self.citizen, promised(self.promises, status, self.happened, **{**whole, **different})

    async def happens(self, *events: str, seconds: float | None = None) -> None:
        """These come next, each by itself."""
        for event in events:
            await self.citizen.happens(event, seconds=seconds)
            self.happened.append(event)

    async def happens_after_the_end(self, event: str) -> None:
        await self.happens(event)
        self.epilogue.append(event)

    async def happen_together(self, *events: str) -> None:
        """These come next, at one moment."""
        for event in events:
            await self.citizen.happens(event)
        self.happened.append(events)

    async def look(self) -> Json:
        """Checks, advice, decision and payouts, as the handler sees them."""
        return await self.scene.social_service.premium(self.citizen.reference)

    # ------------------------------------------------------------------ applying, screening

    async def apply(self, number: int = 0) -> None:
        """Fills in and hands in; the rules propose, a handler finds the task."""
        account = iban(number or int(self.citizen.insz[:9]))
        answers = self.premium.answers | {"payout": {"iban": account}}
        await self.citizen.apply(answers=answers, paper=True)
        await self.happens("SUBMITTED", "REFERRED")

    async def admit(self, task: str = "REFERRED") -> None:
        """The handler has the last word on admissibility; the checks begin by themselves."""
        handler = self.scene.social_service
        found = await self.citizen.until(
            lambda: handler.find_task(task, self.citizen.reference), "the handler's task"
        )
        proposal = found["data"].get("proposal", "to be looked at")
        self.scene.story.tell("handler", f"finds the case among the tasks: {proposal}")
        await handler.take_on(self.case_id)
        await self.declare_admissible()

    async def declare_admissible(self) -> None:
        await self.scene.social_service.declare_admissible(self.case_id)
        await self.happens(
            "ADMISSIBLE", "ASSESSMENT_STARTED", *["ADVICE_REQUESTED"] * len(self.premium.by_itself)
        )

    async def checked(self, *, seconds: float | None = None) -> dict[str, str]:
        """What the authentic sources said, by check; no handler was needed for that."""

        async def answered() -> dict[str, str] | None:
            checks = (await self.look())["checks"]
            own = {one["kind"]: str(one["status"]) for one in checks if one["kind"] != "sources"}
            return own if own and "RUNNING" not in own.values() else None

        found: dict[str, str] = await self.citizen.until(
            answered, "the checks to be answered", seconds=seconds
        )
        told = ", ".join(f"{key}: {status}" for key, status in found.items())
        self.scene.story.tell("MAGDA", f"answered without anybody's doing: {told}")
        return found

    async def replaced(self, check: str) -> None:
        """The handler asks for the paper that shows what the source could not, and reads it."""
        handler = self.scene.social_service
        await handler.ask(self.case_id, "Bezorgt u ons een attest? Wij vonden deze gegevens niet.")
        await self.happens("INFORMATION_REQUESTED")
        kind = self.promises.papers[check]
        paper = await self.citizen.hand_in("attest.pdf", PDF, kind)
        await self.citizen.supply("In bijlage het attest.")
        await self.happens("INFORMATION_SUPPLIED")
        found = next(one for one in (await self.look())["checks"] if one["kind"] == check)
        await handler.replace_check(found, paper, "Attest van 1 januari gelezen.")

    async def to_assessment(self) -> dict[str, str]:
        """From the empty form to what the sources said."""
        await self.apply()
        await self.admit()
        return await self.checked()

    async def to_decision(self, proposal: Json | None = None) -> None:
        """From the empty form to the agenda of the body."""
        await self.to_assessment()
        await self.advised()
        await self.propose(proposal)

    async def to_payout(self) -> None:
        """From the empty form to the decision in the citizen's hands, all granted."""
        await self.to_decision()
        await self.decide("accepted")
        await self.happens("APPROVED", "PAYOUT_DUE")
        await self.delivered()

    # ------------------------------------------------------------------ advice

    async def advised(self, *, silent: str = "", asking: bool = True) -> None:
        """Asks the advisers, unless told not to, and all who were asked answer; `silent` says nothing."""
        if asking:
            await self.consult()
        asked = (await self.look())["advices"]
        # the silent one last: a deadline that is made to come is then theirs
        for one in sorted(asked, key=lambda one: one["adviser"] == silent):
            if one["status"] not in ("REQUESTED", "REMINDED"):
                continue
            if one["adviser"] == silent:
                await self._lapse()
            elif one["kind"] == "EXTERNAL":
                await by_link(self.scene, self.citizen, offices.WELFARE_PARTNER)
                await self.happens("ADVICE_GIVEN")
            else:
                await self.scene.adviser.advise(
                    one, "POSITIVE", "Wij kennen dit gezin: het advies is gunstig."
                )
                await self.happens("ADVICE_GIVEN")
        if asked:
            await self.happens("ADVICE_COMPLETE")

    async def consult(self) -> None:
        for adviser in self.premium.advisers:
            asked = await self.scene.social_service.consult(self.case_id, adviser)
            await self.happens("ADVICE_REQUESTED")
            if asked["kind"] == "MACHINE" and asked["status"] != "REQUESTED":
                await self.happens("ADVICE_GIVEN")

    async def _lapse(self) -> None:
        await self.scene.operator.fire(self.case_id, "ADVICE_REMINDER", "five days before the deadline")
        await self.happens("ADVICE_REMINDED")
        await self.scene.operator.fire(self.case_id, "ADVICE_END", "the deadline for advice passes")
        await self.happens("ADVICE_LAPSED")

    # ------------------------------------------------------------------ decision

    async def propose(self, proposal: Json | None = None) -> None:
        """The handler prepares one decision, and puts it on the agenda of the body."""
        handler = self.scene.social_service
        await handler.prepare([self.case_id], proposal)
        await self.happens("DECISION_PREPARED", "DECISION_PENDING")
        await offices.make_room(self.scene.place.outside, self.promises.body)
        self.citizen.item = await handler.send_to_minutes([self.case_id])
        await self.happens("DECISION_ON_AGENDA", seconds=LONG_SECONDS)

    async def item(self) -> Json:
        """The item as the body has it before it."""

        async def before() -> Json | None:
            found = await offices.items(self.scene.place.outside, self.citizen.item)
            return found[-1] if found and found[-1]["meeting"] else None

        found: Json = await self.citizen.until(before, "the item on an agenda")
        return found

    async def decide(self, result: str, *, agenda: Sequence[str] = (), **text: str) -> None:
        """The body sits, its chair and the director sign; the day after, Loket is told."""
        outside = self.scene.place.outside
        item = await self.item()
        await offices.sit(outside, item, result, tell=False, **text)
        self.scene.story.tell("college", f"decides on “{item['title']}”: {result}")
        await offices.sign(outside, item)
        self.scene.story.tell("secretary", "has it signed by two people; the minutes system tells Loket")
        self.agenda += [*agenda, result]

    async def is_signed(self) -> bool:
        """Whether Loket has heard of both signatories."""
        return len((await self.look())["decision"]["signatories"]) == 2

    async def delivered(self) -> None:
        """The decision arrives with legal value: in the eBox, or by registered post."""
        if not self.ebox:
            await post_letters(self.scene, self.citizen)
        await self.happens("LETTER_SENT", seconds=LONG_SECONDS)
        self.letters.append("EBOX" if self.ebox else "REGISTERED")

    # ------------------------------------------------------------------ payout

    async def order(self) -> Json:
        """What was granted is ordered: by a handler where finance gives a visum first, else by finance."""
        first, _ = self.scene.finance
        return await (self.scene.social_service if self.premium.visum else first).order(self.case_id)

    async def approve(self, payout: Json) -> Json:
        """Others agree, one of them with the visum where it is asked; accounting has the order."""
        first, second = self.scene.finance
        if self.premium.visum:
            await first.approve(payout)
        try:
            await first.approve(payout)
        except Refused as refused:
            self.scene.story.tell(
                "finance", f"filip had his say already, and may not approve: {refused.code}"
            )
        else:
            raise WalkFailed("one person alone had it paid")
        await second.approve(payout)
        await self.happens("PAYOUT_SENT", seconds=LONG_SECONDS)
        outside = self.scene.place.outside

        async def ordered() -> Json | None:
            found = await offices.payouts(outside, self.citizen.reference)
            return next((one for one in reversed(found) if one["status"] == "ACCEPTED"), None)

        found: Json = await self.citizen.until(ordered, "accounting to have the order")
        return found

    async def pay(self, amount: Decimal, *, by: str = "json") -> Json:
        """Ordered, approved, executed: the money is there, and the case is completed."""
        order = await self.approve(await self.order())
        await offices.execute(self.scene.place.outside, order, by)
        self.scene.story.tell("bank", f"pays {amount} EUR to {order['order']['creditor']['iban']}")
        self.payouts.append(("EXECUTED", amount))
        await self.happen_together("PAID_OUT", "COMPLETED")
        return order


async def by_link(scene: Scene, citizen: Citizen, mailbox: str) -> None:
    """The external adviser follows the link of the e-mail: it serves once, and shows nothing else."""
    outside = scene.place.outside
    token = await citizen.until(
        lambda: offices.advice_link(outside, citizen.reference, mailbox),
        "the letter to the external adviser",
        seconds=LONG_SECONDS,
    )
    nobody = Client(scene.place.url, http=scene.place.http)
    wish = {"name": "Mia Verlinden", "opinion": "POSITIVE", "text": "Geen bezwaar."}

    async def answer() -> Json:
        return await nobody.do(
            "adviceGiveByToken",
            premium_queries.ADVICE_GIVE_BY_TOKEN,
            token=token,
            input=wish,
            idempotencyKey=uuid4().hex,
        )

    asked = (await nobody.ask(premium_queries.ASKED_ELSEWHERE, token=token))["adviceByToken"]
    if asked is None or asked["reference"] != citizen.reference:
        raise WalkFailed(f"the link of the adviser opens {asked}")
    await answer()
    scene.story.tell("adviser", "elsewhere follows the link of the e-mail, and answers: positive")
    try:
        await answer()
    except Refused as refused:
        scene.story.tell("adviser", f"the link serves once: {refused.code}")
    else:
        raise WalkFailed("the link of an adviser served twice")


async def post_letters(scene: Scene, citizen: Citizen, count: int = 1) -> None:
    """The secretariat prints the letters of the day, posts them, and hands in the proof.

    Until `count` letters about this case were posted by now; others may have posted some of them.
    """
    outside = scene.place.outside

    async def posted() -> bool:
        batch, content = await scene.secretary.make_batch()
        if batch is not None:
            taken = await offices.post(outside, content)
            scene.story.tell("post", f"takes {len(taken['letters'])} letter(s), gives the proof of posting")
            await scene.secretary.prove_batch(batch, taken["proof"])
        delivered = await offices.letters(outside, "", citizen.reference)
        return len(delivered) >= count

    await citizen.until(posted, f"{count} letter(s) to be posted")

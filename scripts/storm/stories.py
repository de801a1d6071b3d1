"""What happens to one case: look whose turn it is, do it, and look again, whatever comes of it.

Nobody in a story remembers what they did for sure: an answer may be lost, a process may die in the middle.
So each turn is taken from what Loket says of the case, and taken again when nothing came of it.
"""

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from loket.walk import queries
from loket.walk.citizen import iban
from loket.walk.form import Memory, merged, missing_answers
from loket.walk.outside import Outside
from storm.clients import Client, GaveUp, Post, Refused, key

Json = dict[str, Any]
Turn = tuple[str, Callable[[Json], Awaitable[bool]]]
"""A name that stays the same while it is the same turn, and what is done: False when it was too early."""

FINAL = ("INADMISSIBLE", "REJECTED", "COMPLETED", "WITHDRAWN", "CANCELLED")
LOOK_AGAIN_SECONDS = 8.0
"""How long somebody waits for news before looking without."""
AGAIN_SECONDS = 45.0
"""How long somebody waits for what must come of a turn before taking it again."""
EARLY_SECONDS = 1.0
MOST_REFUSALS = 12
"""So often may a turn be refused before it is taken for a fault."""


@dataclass
class Crew:
    """Whom all stories share: the civil servants, the sandbox, and who tells of news."""

    post: Post
    outside: Outside
    staff: Mapping[str, Client]
    procedures: Mapping[str, Json]
    premium_answers: Json
    waiting: dict[str, asyncio.Event] = field(default_factory=dict)
    """By reference: set when something happened to that case."""
    refusals: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    broke: list[str] = field(default_factory=list)
    crush: "Crush | None" = None

    def heard(self, event: Json) -> None:
        news = self.waiting.get(event["reference"])
        if news is not None:
            news.set()


class Crush(Protocol):
    """Where many wait who will all want one slot."""

    booked: int

    async def join(self, story: "Story") -> str | None:
        """The slot; None for who need not join them."""


@dataclass(eq=False)
class Story(ABC):
    crew: Crew
    number: int
    """Of the citizen."""
    way: str
    """How it goes."""
    dice: random.Random
    client: Client = field(init=False)
    case: Json = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)
    """When a turn was taken last."""
    refused: Counter[str] = field(default_factory=Counter)
    at: str = "nothing yet"
    news: asyncio.Event = field(default_factory=asyncio.Event)
    opened: Callable[[str], None] = lambda _: None
    """Told the reference once there is a case."""

    procedure = ""

    @property
    def who(self) -> str:
        return f"burger-{self.number}"

    @property
    def reference(self) -> str:
        return str(self.case["reference"])

    async def tell(self) -> None:
        """From the empty form to the end of the case; what goes wrong is written down."""
        crew, began = self.crew, time.monotonic()
        ledger = crew.post.ledger
        try:
            await self.apply()
            status = await self.go_on()
        except Exception as fault:  # noqa: BLE001  # of the story too: who begins a case must end it
            name = self.case.get("reference")
            ledger.write(
                "broke",
                case=name,
                who=self.who,
                way=self.way,
                turn=self.at,
                why=str(fault)[:500],
            )
            crew.broke.append(f"{name or self.who} ({self.way}) at {self.at}: {fault}")
        else:
            took = round(time.monotonic() - began, 1)
            wished = self.wished()
            ledger.write(
                "ended",
                case=self.reference,
                status=status,
                wished=wished,
                way=self.way,
                seconds=took,
            )
            crew.ended[f"{self.procedure} {status}"] += 1
        finally:
            crew.waiting.pop(str(self.case.get("reference")), None)

    @abstractmethod
    def wished(self) -> list[str]:
        """The ends that this way may have."""

    @abstractmethod
    def turn(self, state: Json) -> Turn | None:
        """What is to be done now, by whoever is to do it; None: the case moves by itself."""

    @abstractmethod
    async def look(self) -> Json:
        """The case as its clients see it now."""

    # ------------------------------------------------------------------ applying

    async def apply(self) -> None:
        self.at = "sign in"
        self.client = await self.crew.post.sign_in(self.who)
        if self.dice.random() < 0.4:
            self.at = "preferences"
            wishes = {
                "email": f"{self.who}@voorbeeld.example", "byEmail": True, "language": "nl",
                "phone": f"+324710{self.number:05}", "bySms": self.dice.random() < 0.5,
            }  # fmt: skip
            await self.client.do("contactPreferencesSet", queries.PREFER, input=wishes)
        draft = await self.draft()
        await self.submit(draft)

    async def draft(self) -> str:
        """A draft with all that the form asks; its id."""
        self.at = "start"
        started = await self.client.do("applicationStart", queries.START, procedure=self.procedure)
        draft = started["application"]
        self.at = "answers"
        schema = self.crew.procedures[self.procedure]["form"]["schema"]
        given = merged(draft["answers"], self.answers())
        filled = merged(given, missing_answers(schema, given, self._memory()))
        patch = {name: value for name, value in filled.items() if value != draft["answers"].get(name)}
        await self.client.do("applicationSetAnswers", queries.ANSWER, id=draft["id"], input=patch)
        return str(draft["id"])

    def answers(self) -> Json:
        return {}

    async def submit(self, draft: str) -> None:
        """With one key, however often it takes; now and then by an impatient finger, many times at once."""
        self.at = "submit"
        wish = {"id": draft, "idempotencyKey": key()}
        if self.way == "fifty":
            payload = await self._fifty(draft, wish)
        else:
            payload = await self.client.do("applicationSubmit", queries.SUBMIT, **wish)
        self.came(payload["case"])

    def came(self, case: Json) -> None:
        self.case = case
        self.crew.waiting[self.reference] = self.news
        self.opened(self.reference)
        self.crew.post.ledger.write(
            "case",
            id=case["id"],
            reference=self.reference,
            procedure=self.procedure,
            who=self.who,
            way=self.way,
        )

    async def _fifty(self, draft: str, wish: Json) -> Json:
        """Half of them with one key, half each with their own: one case must come of it."""
        wishes = [wish] * 25 + [{"id": draft, "idempotencyKey": key()} for _ in range(25)]
        found = await asyncio.gather(
            *(self.client.do("applicationSubmit", queries.SUBMIT, **one) for one in wishes),
            return_exceptions=True,
        )
        answered = [one for one in found if isinstance(one, dict)]
        told = Counter(
            ",".join(one.codes) if isinstance(one, Refused) else type(one).__name__
            for one in found
            if isinstance(one, BaseException)
        )
        references = sorted({str(one["case"]["reference"]) for one in answered})
        self.crew.post.ledger.write(
            "raced",
            race="submissions",
            asked=len(wishes),
            won=len(references),
            told=dict(told),
            case=references,
        )
        if not answered:
            raise GaveUp(f"fifty submissions, and no case: {dict(told)}")
        return answered[0]

    def _memory(self) -> Memory:
        by_name = {
            "name": f"Burger {self.number}", "street": "Kerkstraat", "number": "1",
            "postal_code": "2999", "city": "Lindebeke",
        }  # fmt: skip
        by_format = {
            "email": lambda: f"{self.who}@voorbeeld.example",
            "phone": lambda: f"+324710{self.number:05}",
            "iban": lambda: iban(self.number),
        }
        return Memory(by_name, by_format)

    # ------------------------------------------------------------------ going on

    async def go_on(self) -> str:
        """Until the case has ended; how."""
        while True:
            self.news.clear()
            state = await self.look()
            if state["status"] in FINAL:
                return str(state["status"])
            name, act = self.turn(state) or ("", None)
            self.at = f"{state['status']} {name}"
            taken = self.done.get(name)
            if act is None or (taken is not None and time.monotonic() - taken < AGAIN_SECONDS):
                await self._wait(LOOK_AGAIN_SECONDS)
            elif await self._take(name, act, state):
                self.done[name] = time.monotonic()
            else:
                await self._wait(EARLY_SECONDS * (1 + self.dice.random()))

    async def _take(self, name: str, act: Callable[[Json], Awaitable[bool]], state: Json) -> bool:
        """A refusal mostly says that something moved meanwhile: look again."""
        try:
            return await act(state)
        except Refused as refused:
            self.refused[name] += 1
            self.crew.refusals[f"{name.split(' ')[0]}: {', '.join(refused.codes)}"] += 1
            if self.refused[name] > MOST_REFUSALS:
                raise
            await self._wait(LOOK_AGAIN_SECONDS)
            return False

    async def _wait(self, seconds: float) -> None:
        if time.monotonic() > self.crew.post.until:
            raise GaveUp("nobody is to move, and nothing moves")
        try:
            async with asyncio.timeout(seconds):
                await self.news.wait()
        except TimeoutError:
            return

    async def fire(self, state: Json, kind: str) -> bool:
        """Let a deadline come now."""
        await self.crew.staff["greet"].do("timerFire", queries.FIRE, caseId=state["id"], kind=kind)
        return True

    async def withdraw(self, state: Json) -> bool:
        await self.client.do("caseWithdraw", queries.WITHDRAW, id=state["id"], reason="Niet meer nodig.")
        return True

"""Who takes part in a walk, and what they need."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from loket.walk.citizen import Cart, Citizen, Place, expected_amount
from loket.walk.expectations import Expected
from loket.walk.known import Known, known_of
from loket.walk.promises import Promises
from loket.walk.staff import Servant
from loket.walk.story import Story

Json = dict[str, Any]

ON_DEMAND = "medewerker"
"""How the sandbox's keys begin of workers with any role of any department."""
LONG_SECONDS = 120.0
"""How long a step may take after an outage: a system that was down is asked less and less often."""


@dataclass
class Scene:
    """Who takes part, and what they need."""

    place: Place
    story: Story
    number: Callable[[], int]
    """A citizen of the sandbox who has not ordered before."""
    staff: dict[str, Servant]
    leaving: AsyncExitStack
    """Takes leave of every citizen at the end."""
    careful: bool = True
    """Sign in by browser and prove the contact points; a crowd does not."""
    citizens: list[Citizen] = field(default_factory=list)

    async def citizen(
        self, persona: str | None = None, *, fits: Callable[[int], bool] = lambda _: True
    ) -> Citizen:
        """Somebody who wants to hear by e-mail and text message; without `persona` one whose number fits."""
        number = self.number() if persona is None else 0
        while persona is None and not fits(number):
            number = self.number()
        key = persona or f"burger-{number}"
        come_in = Citizen.by_browser if self.careful else Citizen.by_token
        citizen = await come_in(self.place, key, self.story, persona or "citizen")
        citizen.strict = self.careful
        self.citizens.append(citizen)
        self.leaving.push_async_callback(citizen.leave)
        email, phone = NAMED.get(key) or (f"{key}@voorbeeld.example", f"+324710{number:05}")
        await citizen.prefer(email, phone, prove=self.careful)
        return citizen

    async def worker(self, role: str, department: str = "") -> Servant:
        """Somebody with a role of ACM/IDM, of a department; the same one for all walks."""
        key = f"{ON_DEMAND}:{role}:{department}" if department else f"{ON_DEMAND}:{role}"
        if key not in self.staff:
            self.staff[key] = await Servant.at_work(self.place, key, self.story)
        return self.staff[key]

    @property
    def promises(self) -> Promises:
        """What the definition of the procedure says."""
        procedure = self.place.procedure
        return Promises.of(procedure["key"], procedure.get("version"), self.place.folders)

    @property
    def known(self) -> Known:
        return known_of(self.place.procedure["key"], self.place.folders)

    @property
    def handler(self) -> Servant:
        return self.staff["hilde"]

    @property
    def operator(self) -> Servant:
        return self.staff["greet"]

    @property
    def social_service(self) -> Servant:
        return self.staff["sofie"]

    @property
    def adviser(self) -> Servant:
        return self.staff["astrid"]

    @property
    def secretary(self) -> Servant:
        return self.staff["sandra"]

    @property
    def finance(self) -> tuple[Servant, Servant]:
        """One who orders and one who approves."""
        return self.staff["filip"], self.staff["farah"]

    @property
    def basket(self) -> Cart:
        """One of the first product with its first option, and one of the second."""
        first, *others = self.place.procedure["catalogue"]
        options = [{"option": one["key"], "quantity": 1} for one in first["options"][:1]]
        lines = [{"product": first["key"], "quantity": 1, "options": options}]
        return lines + [{"product": one["key"], "quantity": 1} for one in others[:1]]

    @property
    def price(self) -> Decimal:
        return expected_amount(self.place.procedure, self.basket)


NAMED = {
    "an": ("an.peeters@voorbeeld.example", "+32470000001"),
    "bert": ("bert.maes@voorbeeld.example", "+32470000002"),
    "dirk": ("dirk.wouters@voorbeeld.example", "+32470000004"),
}
"""Where the named citizens want to hear from us."""
Ending = tuple[Citizen, Expected]
Script = Callable[[Scene], Awaitable[list[Ending]]]

"""The business actions: each opens one piece of work, calls one verb, and answers with what it changed."""

import strawberry

from loket.api.mutations.advice import Advising
from loket.api.mutations.applications import Applications
from loket.api.mutations.assessment import Assessment
from loket.api.mutations.bank import Bank
from loket.api.mutations.books import Books
from loket.api.mutations.casework import Casework
from loket.api.mutations.co_applicants import CoApplicants
from loket.api.mutations.counter import Counter
from loket.api.mutations.decisions import Decisions
from loket.api.mutations.deliveries import Deliveries
from loket.api.mutations.experiences import Experiences
from loket.api.mutations.letters import Letters
from loket.api.mutations.money import Money
from loket.api.mutations.payouts import Payouts
from loket.api.mutations.procedures import Procedures
from loket.api.mutations.simulations import Simulations
from loket.api.mutations.upkeep import Upkeep
from loket.api.mutations.webhooks import Webhooks


@strawberry.type(description="What can be done: one field per business action, each all or nothing.")
class Mutation(
    Applications,
    Counter,
    Casework,
    CoApplicants,
    Advising,
    Assessment,
    Decisions,
    Letters,
    Money,
    Books,
    Payouts,
    Bank,
    Deliveries,
    Experiences,
    Procedures,
    Simulations,
    Upkeep,
    Webhooks,
):
    pass

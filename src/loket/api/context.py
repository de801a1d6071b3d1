"""Who asks, over what: what every resolver and every row policy may look at."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import orjson
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from loket import accounts, applications
from loket.api.standing import Standing
from loket.app import Loket
from loket.database import Database
from loket.definition import Definition
from loket.errors import ErrorCode, Refused
from loket.forms import FieldFault
from loket.interests import Interest
from loket.lifecycle import Role
from loket.records import ActorKind, IdempotentRequest, Json
from loket.replica import Replica
from loket.terms import BRUSSELS
from loket.work import Actor, Work

T = TypeVar("T")

FILE_LIFE = timedelta(minutes=15)

SEES_CASES = frozenset({Role.HANDLER, Role.FINANCE, Role.FIELD_WORKER, Role.SECRETARIAT, Role.OPERATOR})
_NOBODY = UUID(int=0)


@dataclass(frozen=True)
class Scope:
    """All that a policy may look at; viewers with equal scopes share their compiled plans."""

    kind: ActorKind | None
    roles: frozenset[Role]
    limited: frozenset[Role] = frozenset()
    """Those that hold for some departments only."""

    @property
    def bounded(self) -> bool:
        """Of staff with a task: that they see the cases of some departments only."""
        return self.roles & SEES_CASES <= self.limited

    @property
    def is_citizen(self) -> bool:
        return self.kind is ActorKind.CITIZEN

    @property
    def is_staff(self) -> bool:
        """A member of staff with a task: somebody of another municipality signs in, but has none."""
        return self.kind is ActorKind.STAFF and bool(self.roles & SEES_CASES)

    @property
    def is_adviser(self) -> bool:
        """A member of staff whose only task is to give advice: other cases do not exist for them."""
        return self.kind is ActorKind.STAFF and Role.ADVISER in self.roles and not self.is_staff

    @property
    def is_body(self) -> bool:
        """A service account of a body elsewhere: what that body is asked exists for it, and nothing else."""
        return self.kind is ActorKind.SERVICE and Role.ADVISER in self.roles

    @property
    def also_advises(self) -> bool:
        """Staff of some departments who are asked for advice on cases of others."""
        return self.is_staff and self.bounded and Role.ADVISER in self.roles

    def has(self, *roles: Role) -> bool:
        return self.kind is ActorKind.STAFF and bool(self.roles & set(roles))

    def has_for_all(self, *roles: Role) -> bool:
        """Whether one of these holds for all departments: for what is of the house."""
        return self.kind is ActorKind.STAFF and bool((self.roles - self.limited) & set(roles))


class Caller:
    """Who asks; `person_id` and `staff_id` stand in the templates of the map."""

    def __init__(self, loket: Loket, actor: Actor | None, language: str) -> None:
        self.loket = loket
        self.actor = actor
        self.language = language
        roles = actor.roles if actor else frozenset()
        limited = frozenset(actor.departments) if actor else frozenset()
        self.scope = Scope(actor.kind if actor else None, roles, limited)
        mine = actor.id if actor and actor.id else _NOBODY
        self.person_id = mine if self.scope.is_citizen else _NOBODY
        self.staff_id = mine if self.scope.kind is ActorKind.STAFF else _NOBODY
        self.actor_id = mine

    @property
    def advises(self) -> bool:
        return self.scope.has(Role.ADVISER)

    @property
    def advises_for(self) -> list[str]:
        """Of an adviser: for which services of the house, by their keys; empty for all."""
        return list(self.actor.departments.get(Role.ADVISER, ())) if self.actor else []

    @property
    def bodies(self) -> list[str]:
        """Of a service account: the advisers for whom it speaks."""
        return list(self.actor.bodies) if self.actor else []

    @property
    def departments(self) -> list[str]:
        """Whose cases staff see who do not see all, by the departments' keys."""
        if self.actor is None:
            return []
        kept = self.actor.departments
        return sorted({one for role in self.actor.roles & SEES_CASES for one in kept.get(role, ())})

    @property
    def keeps_books_of(self) -> list[str]:
        """Whose books the viewer keeps who does not keep all, by the departments' keys."""
        return list(self.actor.departments.get(Role.FINANCE, ())) if self.actor else []

    @property
    def operates(self) -> list[str]:
        """Of which departments an operator is who is not of all, by their keys."""
        return list(self.actor.departments.get(Role.OPERATOR, ())) if self.actor else []

    @property
    def at_the_counter(self) -> list[str]:
        """Whose drafts of the counter a handler may go on with: procedure/version.

        So too with the version after the last one known: another process may have published it just now, and
        what is read of the draft makes it known here.
        """
        if self.actor is None:
            return []
        shelf = self.loket.procedures
        last = dict(sorted(shelf))
        mine = [at for at, one in shelf.items() if Role.HANDLER in self.actor.roles_at(one.department.nl)]
        mine += [(key, version + 1) for key, version in last.items() if (key, version) in mine]
        return [f"{key}/{version}" for key, version in mine]

    def roles_at(self, department: str) -> frozenset[Role]:
        """In which roles the viewer acts on cases of this department."""
        return self.actor.roles_at(department) if self.actor else frozenset()

    @property
    def with_documents(self) -> list[str]:
        """The advisers who see the documents of an application: procedure/version/adviser."""
        return [
            f"{key}/{version}/{adviser.key}"
            for (key, version), definition in self.loket.procedures.items()
            for adviser in definition.advisers
            if adviser.documents
        ]

    @property
    def kind(self) -> str:
        return self.actor.kind if self.actor else "ANONYMOUS"

    @property
    def today(self) -> date:
        return datetime.now(BRUSSELS).date()

    @property
    def interest(self) -> Interest:
        """Whose events are this viewer's."""
        if not self.scope.is_staff:
            return Interest(person_id=self.person_id)
        return Interest(departments=self.bounds)

    @property
    def bounds(self) -> frozenset[str] | None:
        """Of staff with a task: whose cases they see; None for those of all departments."""
        return frozenset(self.departments) if self.scope.is_staff and self.scope.bounded else None

    def may_follow(self, person_id: UUID, department: str) -> bool:
        """Whether a case is the viewer's to see: the own one, or one of a department's."""
        if self.scope.is_citizen:
            return person_id == self.person_id
        return self.scope.is_staff and bool(self.roles_at(department) & SEES_CASES)

    def file_link(self, document_id: UUID) -> str:
        """A short-lived address for a file that this viewer may see."""
        token = self.loket.vault.link("document", document_id, datetime.now(UTC) + FILE_LIFE)
        return f"{self.loket.settings.public_url}/files/{token}"

    def answers_of(self, definition: Definition, kept: Json) -> Json:
        """The answers of an application as they were given."""
        return accounts.opened_in(definition, self.loket.vault, kept)

    def answers_shown(self, definition: Definition, kept: Json, *, draft: bool) -> Json:
        """The answers as this viewer may read them: a national number whole in one's own draft alone."""
        given = self.answers_of(definition, kept)
        own = draft and self.scope.is_citizen
        return given if own else accounts.masked_in(definition, given)

    def faults_of(self, definition: Definition, answers: Json, cart: list[Json]) -> list[FieldFault]:
        """What still stands in the way of handing an application in."""
        return applications.faults_in(definition, answers, cart, self.today, self.language)

    @property
    def signed_in(self) -> bool:
        return self.actor is not None


class Memory:
    """Answers by idempotency key, per actor, kept in the transaction of the effect."""

    async def recall(self, work: Work, *, actor: str, key: str, request_hash: bytes) -> bytes | None:
        """Claim `key`, or give the answer that it already had; waits for whoever is using it now.

        Raises:
            Refused: IDEMPOTENCY_MISMATCH, the key was used for another request.
        """
        row = insert(IdempotentRequest).values(
            actor=actor, key=key, request_hash=request_hash, created_at=work.now
        )
        claimed = await work.session.execute(
            row.on_conflict_do_nothing().returning(col(IdempotentRequest.key))
        )
        if claimed.first() is not None:
            return None
        known = await work.session.get_one(IdempotentRequest, (actor, key))
        if known.request_hash != request_hash:
            raise Refused(ErrorCode.IDEMPOTENCY_MISMATCH, path=["idempotencyKey"])
        return orjson.dumps(known.answer)

    async def remember(self, work: Work, *, actor: str, key: str, answer: bytes) -> None:
        """Keep `answer` under the claimed key."""
        known = await work.session.get_one(IdempotentRequest, (actor, key))
        known.answer = orjson.loads(answer)


@dataclass
class Context:
    """Of one request, or of one connection for its whole life."""

    loket: Loket
    viewer: Caller
    reader: Any
    expires_at: datetime | None = None
    last_event_id: str | None = None
    standing: Standing | None = None
    """By what who asks from outside signed in: looked at again before an event is told."""
    memory: Memory = field(default_factory=Memory)

    @property
    def queries(self) -> Database | Replica:
        return self.loket.queries

    async def informed(self, act: Callable[[], Awaitable[T]]) -> T:
        """What `act` answers, once this process knows every procedure that it needs."""
        return await self.loket.procedures.informed(act)

    @property
    def actor_key(self) -> str:
        return self.viewer.actor.key if self.viewer.actor else "ANONYMOUS"

    @asynccontextmanager
    async def transaction(self, policy: Callable[[Scope], bool] | None = None) -> AsyncIterator[Work]:
        """The one piece of work of a mutation, with all that follows from it.

        `policy`: who may come in by this door; of staff the roles that hold in each case must open it too.
        """
        actor, scope = self.viewer.actor, self.viewer.scope
        if actor is None:
            raise Refused(ErrorCode.SIGN_IN_REQUIRED)
        async with self.loket.work(replace(actor, language=self.viewer.language)) as work:
            if policy is not None:
                work.permits = lambda roles: policy(replace(scope, roles=roles))
            yield work


# --- policies: who may ask for a field at all -------------------------------------------------


def citizen(scope: Scope) -> bool:
    return scope.is_citizen


def staff(scope: Scope) -> bool:
    return scope.is_staff


def signed_in(scope: Scope) -> bool:
    return scope.is_citizen or scope.is_staff


def back_office(scope: Scope) -> bool:
    """Staff, those included who see only the cases on which their advice is asked; and bodies elsewhere."""
    return scope.is_staff or scope.is_adviser or scope.is_body


def in_house(scope: Scope) -> bool:
    """Who works for the municipality, advisers included."""
    return scope.is_staff or scope.is_adviser


def reader(scope: Scope) -> bool:
    """Who may see a case at all: the applicant and the back office."""
    return scope.is_citizen or back_office(scope)


def adviser(scope: Scope) -> bool:
    """Who gives advice; a handler writes down what came by phone or by post."""
    return scope.has(Role.ADVISER, Role.HANDLER) or scope.is_body


def applying(scope: Scope) -> bool:
    """Citizens for themselves, handlers for somebody at the counter; the verb looks whose draft it is."""
    return scope.is_citizen or scope.has(Role.HANDLER)


def counter(scope: Scope) -> bool:
    """Who helps people at the counter."""
    return scope.has(Role.HANDLER)


def handler(scope: Scope) -> bool:
    return scope.has(Role.HANDLER, Role.OPERATOR)


def finance(scope: Scope) -> bool:
    return scope.has(Role.FINANCE, Role.HANDLER, Role.OPERATOR)


def bookkeeper(scope: Scope) -> bool:
    """Who handles a case writes down no money, and orders none back: that is another's."""
    return scope.has(Role.FINANCE)


def treasurer(scope: Scope) -> bool:
    """Who keeps the books of all departments."""
    return scope.has_for_all(Role.FINANCE)


def settling(scope: Scope) -> bool:
    """Who settles where two records disagree: finance of money, operators of what other systems have."""
    return scope.has(Role.FINANCE, Role.OPERATOR)


def comparing(scope: Scope) -> bool:
    """Who reads of comparisons of all departments together."""
    return scope.has_for_all(Role.FINANCE, Role.OPERATOR)


def payer(scope: Scope) -> bool:
    """Who may order a payout; another of finance approves it."""
    return scope.has(Role.HANDLER, Role.FINANCE)


def secretariat(scope: Scope) -> bool:
    """Of the general director: makes the decisions of the bodies ready, and records them."""
    return scope.has(Role.SECRETARIAT)


def mailing(scope: Scope) -> bool:
    """Who sends the day's letters, which are of all departments."""
    return scope.has_for_all(Role.SECRETARIAT, Role.OPERATOR)


def deciding(scope: Scope) -> bool:
    """Who prepares decisions, and who records them."""
    return scope.has(Role.HANDLER, Role.SECRETARIAT, Role.OPERATOR)


def operator(scope: Scope) -> bool:
    return scope.has(Role.OPERATOR)


def engineer(scope: Scope) -> bool:
    """Who stops and starts what all departments use."""
    return scope.has_for_all(Role.OPERATOR)


def integrator(scope: Scope) -> bool:
    """Who may have other systems told of events: operators, and bodies elsewhere."""
    return scope.has(Role.OPERATOR) or scope.is_body


def field_team(scope: Scope) -> bool:
    return scope.has(Role.FIELD_WORKER, Role.HANDLER, Role.OPERATOR)

"""Who asks, over what: what every resolver and every row policy may look at."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from loket import accounts, applications
from loket.app import Loket
from loket.definition import Definition
from loket.errors import ErrorCode, Refused
from loket.feed import Interest
from loket.forms import FieldFault
from loket.lifecycle import EventType, Role
from loket.records import ActorKind, IdempotentRequest, Json
from loket.terms import BRUSSELS
from loket.work import Actor, Work

FILE_LIFE = timedelta(minutes=15)

SEES_EVERY_CASE = frozenset({Role.HANDLER, Role.FINANCE, Role.FIELD_WORKER, Role.SECRETARIAT, Role.OPERATOR})
_NOBODY = UUID(int=0)


@dataclass(frozen=True)
class Scope:
    """All that a policy may look at; viewers with equal scopes share their compiled plans."""

    kind: ActorKind | None
    roles: frozenset[Role]

    @property
    def is_citizen(self) -> bool:
        return self.kind is ActorKind.CITIZEN

    @property
    def is_staff(self) -> bool:
        """A member of staff with a task: somebody of another municipality signs in, but has none."""
        return self.kind is ActorKind.STAFF and bool(self.roles & SEES_EVERY_CASE)

    @property
    def is_adviser(self) -> bool:
        """A member of staff whose only task is to give advice: other cases do not exist for them."""
        return self.kind is ActorKind.STAFF and Role.ADVISER in self.roles and not self.is_staff

    def has(self, *roles: Role) -> bool:
        return self.kind is ActorKind.STAFF and bool(self.roles & set(roles))


class Caller:
    """Who asks; `person_id` and `staff_id` stand in the templates of the map."""

    def __init__(self, loket: Loket, actor: Actor | None, language: str) -> None:
        self.loket = loket
        self.actor = actor
        self.language = language
        self.scope = Scope(actor.kind if actor else None, actor.roles if actor else frozenset())
        mine = actor.id if actor and actor.id else _NOBODY
        self.person_id = mine if self.scope.is_citizen else _NOBODY
        self.staff_id = mine if self.scope.kind is ActorKind.STAFF else _NOBODY

    @property
    def advises(self) -> bool:
        return self.scope.has(Role.ADVISER)

    @property
    def departments(self) -> tuple[str, ...]:
        """Of an adviser: for which services; empty for all."""
        return self.actor.departments if self.actor else ()

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
        return Interest() if self.scope.is_staff else Interest(person_id=self.person_id)

    def file_link(self, document_id: UUID) -> str:
        """A short-lived address for a file that this viewer may see."""
        token = self.loket.vault.link("document", document_id, datetime.now(UTC) + FILE_LIFE)
        return f"{self.loket.settings.public_url}/files/{token}"

    def answers_of(self, definition: Definition, kept: Json) -> Json:
        """The answers of an application as they were given."""
        return accounts.opened_in(definition, self.loket.vault, kept)

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
    memory: Memory = field(default_factory=Memory)

    @property
    def actor_key(self) -> str:
        return self.viewer.actor.key if self.viewer.actor else "ANONYMOUS"

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Work]:
        """The one piece of work of a mutation, with all that follows from it."""
        if self.viewer.actor is None:
            raise Refused(ErrorCode.SIGN_IN_REQUIRED)
        async with self.loket.work(replace(self.viewer.actor, language=self.viewer.language)) as work:
            yield work


# --- policies: who may ask for a field at all -------------------------------------------------


def citizen(scope: Scope) -> bool:
    return scope.is_citizen


def staff(scope: Scope) -> bool:
    return scope.is_staff


def signed_in(scope: Scope) -> bool:
    return scope.is_citizen or scope.is_staff


def back_office(scope: Scope) -> bool:
    """Staff, those included who see only the cases on which their advice is asked."""
    return scope.is_staff or scope.is_adviser


def reader(scope: Scope) -> bool:
    """Who may see a case at all: the applicant and the back office."""
    return scope.is_citizen or back_office(scope)


def adviser(scope: Scope) -> bool:
    """Who gives advice; a handler writes down what came by phone or by post."""
    return scope.has(Role.ADVISER, Role.HANDLER)


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


def payer(scope: Scope) -> bool:
    """Who may order a payout; another of finance approves it."""
    return scope.has(Role.HANDLER, Role.FINANCE)


def secretariat(scope: Scope) -> bool:
    """Of the general director: makes the decisions of the bodies ready, and records them."""
    return scope.has(Role.SECRETARIAT)


def mailing(scope: Scope) -> bool:
    """Who sends the day's letters."""
    return scope.has(Role.SECRETARIAT, Role.OPERATOR)


def deciding(scope: Scope) -> bool:
    """Who prepares decisions, and who records them."""
    return scope.has(Role.HANDLER, Role.SECRETARIAT, Role.OPERATOR)


def operator(scope: Scope) -> bool:
    return scope.has(Role.OPERATOR)


def field_team(scope: Scope) -> bool:
    return scope.has(Role.FIELD_WORKER, Role.HANDLER, Role.OPERATOR)


# --- policies: which rows somebody may see ----------------------------------------------------

_ASKED_OF_ME = (
    "{t}.kind = 'INTERNAL' AND {t}.status <> 'WITHDRAWN' AND ({t}.department = ''"
    " OR cardinality({{viewer.departments}}::text[]) = 0"
    " OR {t}.department = ANY({{viewer.departments}}::text[]))"
)
"""What `advice.may_see` says of an adviser, in SQL."""
ASKED_OF_ME = "{viewer.advises}::boolean AND " + _ASKED_OF_ME.format(t="{t}")
ABOUT_ADVICE = frozenset(one for one in EventType if one.startswith("ADVICE_"))


def _advising_on(case: str, also: str = "") -> str:
    """That this is an open case on which the viewer is asked something."""
    return (
        'EXISTS (SELECT FROM advice a JOIN "case" c ON c.id = a.case_id'
        f" WHERE c.id = {case} AND c.closed_at IS NULL AND {_ASKED_OF_ME.format(t='a')}{also})"
    )


def of_document(scope: Scope) -> str:
    """The citizen's own files; for staff those of a case, for handlers those of a draft of the counter."""
    if scope.is_citizen:
        return "{t}.person_id = {viewer.person_id}"
    if scope.is_adviser:
        shown = (
            " AND c.procedure_key || '/' || c.procedure_version || '/' || a.adviser"
            " = ANY({viewer.with_documents}::text[])"
        )
        return f"{{t}}.application_id IS NOT NULL AND {_advising_on('{t}.case_id', shown)}"
    if counter(scope):
        return (
            "({t}.case_id IS NOT NULL OR {t}.application_id IN"
            " (SELECT a.id FROM application a WHERE a.channel = 'COUNTER'))"
        )
    return "{t}.case_id IS NOT NULL" if scope.is_staff else "FALSE"


def of_application(scope: Scope) -> str:
    """The citizen's own; for handlers those of the counter: what is filled in at home stays private."""
    if scope.is_citizen:
        return "{t}.person_id = {viewer.person_id}"
    return "{t}.channel = 'COUNTER'" if counter(scope) else "FALSE"


def of_person(column: str = "person_id") -> Any:  # noqa: ANN401  # a row policy
    """The citizen's own rows; all of them for staff with a task."""

    def policy(scope: Scope) -> str:
        if scope.is_citizen:
            return f"{{t}}.{column} = {{viewer.person_id}}"
        return "TRUE" if scope.is_staff else "FALSE"

    return policy


def of_case(scope: Scope) -> str:
    """Rows that hang on a case: who sees the case sees these."""
    if scope.is_citizen:
        return '{t}.case_id IN (SELECT id FROM "case" WHERE person_id = {viewer.person_id})'
    return "TRUE" if scope.is_staff else "FALSE"


def of_cases(scope: Scope) -> str:
    """Cases; for an adviser those on which they are asked something, until they end."""
    return _advising_on("{t}.id") if scope.is_adviser else str(of_person()(scope))


def of_events(scope: Scope) -> str:
    """What happened; an adviser hears of the advice on the cases that they see."""
    if scope.is_adviser:
        types = ", ".join(f"'{one}'" for one in sorted(ABOUT_ADVICE))
        return f"{{t}}.type IN ({types}) AND {_advising_on('{t}.case_id')}"
    return str(of_person()(scope))


def of_advice(scope: Scope) -> str:
    """Advice hangs on a case; an adviser sees what their own service is asked."""
    return _ASKED_OF_ME.format(t="{t}") if scope.is_adviser else of_case(scope)


def staff_only(scope: Scope) -> str:
    return "TRUE" if scope.is_staff else "FALSE"

"""One piece of work on our own tables: what a door opens, a verb uses, and a commit keeps or forgets whole.

What must happen elsewhere or later is left behind in the same transaction: effects for other
systems, timers for deadlines. Nothing here talks to anybody.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col
from uuid_utils.compat import uuid7

from loket import months, tracing
from loket.database import EFFECTS, after_commit, clock
from loket.definition import Definition
from loket.departments import Departments, roles_at
from loket.lifecycle import Role, TimerKind
from loket.records import (
    ActorKind,
    Application,
    Case,
    Effect,
    EffectKind,
    EffectState,
    Event,
    Lane,
    Timer,
    TimerState,
)
from loket.settings import Settings
from loket.terms import BRUSSELS
from loket.vault import Vault

SYSTEM_OF: dict[EffectKind, str] = {
    EffectKind.DOSIS_STATUS: "dosis",
    EffectKind.MESSAGE_MBP: "mbp",
    EffectKind.MESSAGE_EMAIL: "email",
    EffectKind.MESSAGE_SMS: "sms",
    EffectKind.CONTACT_CODE: "email",
    EffectKind.MAGDA_CHECK: "magda",
    EffectKind.MAGDA_UNREGISTER: "magda",
    EffectKind.ACCOUNTING_ENTRY: "accounting",
    EffectKind.PLANNING_BOOK: "planning",
    EffectKind.PLANNING_CANCEL: "planning",
    EffectKind.PAYMENT_POLL: "payments",
    EffectKind.PAYMENT_REFUND: "payments",
    EffectKind.INVOICE_PDF: "paper",
    EffectKind.CREDIT_NOTE_PDF: "paper",
    EffectKind.WARRANT_PDF: "paper",
    EffectKind.RECONCILE: "payments",
    EffectKind.COMPARE_PLANNING: "planning",
    EffectKind.COMPARE_STATUSES: "dosis",
    EffectKind.CHECK_ASK: "magda",
    EffectKind.ADVICE_EMAIL: "email",
    EffectKind.STAFF_EMAIL: "email",
    EffectKind.MINUTES_CREATE: "minutes",
    EffectKind.MINUTES_READ: "minutes",
    EffectKind.MINUTES_WITHDRAW: "minutes",
    EffectKind.LETTER_PDF: "paper",
    EffectKind.LETTER_EBOX: "ebox",
    EffectKind.EBOX_READ: "ebox",
    EffectKind.PAYOUT_SEND: "accounting",
    EffectKind.PAYOUT_READ: "accounting",
    EffectKind.PAYOUT_RECALL: "accounting",
}
IN_ORDER = frozenset({"dosis", "accounting", "planning", "mbp", "email", "sms"})
"""Systems that must hear of one case in order; for the others every effect is a lane of its own."""
NOT_HELD_BACK = frozenset({"mbp", "email", "sms"})
"""Where a parked effect holds back no other of its lane: a message is whole without the ones before it."""


@dataclass(frozen=True)
class Actor:
    """Who does something, and in which quality."""

    kind: ActorKind
    name: str
    roles: frozenset[Role]
    id: UUID | None = None
    """The person's or staff member's own id."""
    language: str = "nl"
    acr: str | None = None
    departments: Departments = field(default_factory=dict, hash=False)
    """Of which departments each role is; of an adviser: whom is asked."""
    bodies: tuple[str, ...] = ()
    """Of a service account: the advisers, by their keys in procedures, for whom it speaks."""

    @property
    def key(self) -> str:
        """Under which idempotency keys are kept: keys of different actors never meet."""
        return f"{self.kind}:{self.id or self.name}"

    @property
    def is_staff(self) -> bool:
        return self.kind is ActorKind.STAFF

    def roles_at(self, department: str) -> frozenset[Role]:
        """The roles that hold for cases of `department`; advice is asked by a department of another."""
        asked = self.roles & {Role.ADVISER}
        return roles_at(self.roles - asked, self.departments, department) | asked


def the_system(name: str = "Loket") -> Actor:
    """A rule or a timer of ours, or another system that tells us a fact."""
    return Actor(ActorKind.SYSTEM, name, frozenset({Role.SYSTEM}))


@dataclass
class Work:
    session: AsyncSession
    actor: Actor
    now: datetime
    settings: Settings
    vault: Vault
    procedures: Mapping[tuple[str, int], Definition]
    entered: list[Case] = field(default_factory=list)
    """Cases that came into a stage, or to their end: what that brings is done before the commit."""
    permits: Callable[[frozenset[Role]], bool] = field(default=lambda _: True)
    """Whether the door by which staff came in is open to these roles: looked at again in each case."""
    happened: list[tuple[Case, Event]] = field(default_factory=list)
    """Events of this work, in order: told to the citizen and to DOSIS before the commit."""

    @property
    def today(self) -> date:
        """The day in Belgium: terms and invoices go by the calendar on the wall."""
        return self.now.astimezone(BRUSSELS).date()

    def definition(self, subject: Case | Application) -> Definition:
        """The procedure as it was when this began."""
        return self.procedures[subject.procedure_key, subject.procedure_version]

    def as_actor(self, actor: Actor) -> "Work":
        """The same work in another quality: a rule that follows on what a citizen did."""
        return replace(self, actor=actor)

    async def leave(
        self,
        kind: EffectKind,
        payload: dict[str, Any],
        *,
        case: Case | None = None,
        event_seq: int | None = None,
        id: UUID | None = None,
        delay: timedelta = timedelta(0),
        skipped: str = "",
        resend_of: UUID | None = None,
    ) -> Effect:
        """Leave an effect for a worker; `skipped` says why it is only recorded, not carried out.

        `id` comes of `months.not_before` the case's: its lane is looked through from there on.
        """
        system = SYSTEM_OF[kind]
        effect_id = id or (months.not_before(case.id) if case is not None else uuid7())
        lane = f"{case.id}:{system}" if system in IN_ORDER and case is not None else str(effect_id)
        effect = Effect(
            id=effect_id,
            lane=lane,
            system=system,
            kind=kind,
            case_id=case.id if case else None,
            event_seq=event_seq,
            payload=payload,
            state=EffectState.SKIPPED if skipped else EffectState.PENDING,
            last_error=skipped,
            created_at=self.now,
            retry_at=await clock(self.session) + delay if delay else None,
            resend_of=resend_of,
            trace=tracing.parent(),
        )
        self.session.add(effect)
        await self.session.flush()
        if not skipped:
            await self.wake_lane(lane, system, delay)
        return effect

    async def wake_lane(self, lane: str, system: str, delay: timedelta = timedelta(0)) -> None:
        """Let a worker look at `lane`, by the database's clock as it does.

        A lane in a worker's hands is left alone: it looks again itself.
        """
        row = insert(Lane).values(key=lane, system=system, due_at=func.now() + delay, failures=0)
        sooner = func.least(func.coalesce(Lane.due_at, row.excluded.due_at), row.excluded.due_at)
        await self.session.execute(
            row.on_conflict_do_update(
                index_elements=["key"], set_={"due_at": sooner}, where=col(Lane.token).is_(None)
            )
        )
        after_commit(self.session, EFFECTS)

    async def arm(
        self,
        kind: TimerKind,
        due_at: datetime,
        *,
        case: Case | None = None,
        subject: UUID | None = None,
        number: int = 1,
    ) -> None:
        """Set a deadline; one of the same kind and subject takes the place of the former."""
        subject = subject or (case.id if case else None)
        if subject is None:
            raise ValueError("a timer is about something")
        await self.disarm(kind, subject=subject)
        self.session.add(
            Timer(
                case_id=case.id if case else None, subject_id=subject, kind=kind, due_at=due_at, number=number
            )
        )

    async def disarm(self, *kinds: TimerKind, subject: UUID | None = None, case: Case | None = None) -> None:
        """Cancel the armed timers of these kinds (all kinds when none is named)."""
        cancel = (
            update(Timer)
            .where(col(Timer.state) == TimerState.ARMED)
            .values(state=TimerState.CANCELLED, ended_at=self.now)
        )
        if kinds:
            cancel = cancel.where(col(Timer.kind).in_(kinds))
        if subject is not None:
            cancel = cancel.where(col(Timer.subject_id) == subject)
        if case is not None:
            cancel = cancel.where(col(Timer.case_id) == case.id)
        await self.session.flush()
        await self.session.execute(cancel)

    async def lock_household(self, household_index: bytes) -> None:
        """Orders of one household wait for each other, until the end of this work."""
        number = int.from_bytes(household_index[:8], "big", signed=True)
        await self.session.execute(select(func.pg_advisory_xact_lock(number)))

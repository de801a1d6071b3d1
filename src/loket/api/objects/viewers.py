"""You: what is yours, and how you hear from us."""

from loket import lifecycle, records
from loket.api.context import Caller
from loket.api.naming import described, output
from loket.api.objects.applications import Application
from loket.api.objects.cases import CASE_ORDER, Case, CaseFilter
from loket.api.objects.co_applications import CoApplication
from loket.api.objects.events import HERE_AND_NOW
from loket.api.objects.messages import Message
from loket.api.objects.people import Access, Person, StaffMember
from loket.api.procedures import Row
from loket.api.reads import Connection, computed, entity, expression, listed, many, newest, one, orders
from loket.api.scalars import Cursor, EmailAddress, PhoneNumber
from loket.records import ActorKind


@output
class ContactPreferences:
    """Over what the citizen wants to hear from us, beside Mijn Burgerprofiel."""

    email: EmailAddress | None = described("Where e-mail goes.")
    email_verified: bool = described("Whether the address is proved.")
    by_email: bool = described("Whether e-mail is wanted.")
    phone: PhoneNumber | None = described("Where text messages go.")
    phone_verified: bool = described("Whether the number is proved.")
    by_sms: bool = described("Whether text messages are wanted.")
    by_letter: bool = described("Whether letters are wanted in the place of e-mails and text messages.")
    language: str = described("The language of messages.")


def preferences_of(person: records.Person) -> ContactPreferences:
    return ContactPreferences(
        email=EmailAddress(person.email) if person.email else None,
        email_verified=person.email_verified_at is not None,
        by_email=person.by_email,
        phone=PhoneNumber(person.phone) if person.phone else None,
        phone_verified=person.phone_verified_at is not None,
        by_sms=person.by_sms,
        by_letter=person.by_letter,
        language=person.language,
    )


@entity(None, policy=lambda scope: "TRUE" if scope.kind is not None else "FALSE")
class Viewer:
    """You."""

    kind: ActorKind = expression("What kind of actor you are.", "{viewer.kind}::text")
    cursor: Cursor = expression("Subscribe `after` this: nothing is lost in between.", HERE_AND_NOW)
    person: Person | None = one("You, as a citizen.", where="{t}.id = {viewer.person_id}", order="{t}.id")
    staff_member: StaffMember | None = one(
        "You, as a member of staff.", where="{t}.id = {viewer.staff_id}", order="{t}.id"
    )
    applications: Connection[Application] = many(
        "Your applications, drafts included.",
        where="{t}.person_id = {viewer.person_id}",
        orders=orders(
            "ApplicationOrder",
            "In which order applications come.",
            NEWEST=(newest("started_at"), "Last begun first."),
        ),
    )
    cases: Connection[Case] = many(
        "Your cases as a citizen; as a handler those that you handle.",
        where="({t}.person_id = {viewer.person_id} OR {t}.handler_id = {viewer.staff_id})",
        filter=CaseFilter,
        orders=CASE_ORDER,
    )
    co_applications: list[CoApplication] = listed(
        "What you are asked to confirm, together with somebody who applied; the last hundred.",
        where="{t}.person_id = {viewer.person_id}",
        order="{t}.id DESC",
    )
    messages: Connection[Message] = many("What was said to you.", where="{t}.person_id = {viewer.person_id}")
    access_log: Connection[Access] = many(
        "Who saw your data.",
        where="{t}.person_id = {viewer.person_id}",
        orders=orders("AccessOrder", "In which order looks come.", NEWEST=(newest("at"), "Last first.")),
    )

    @computed()
    def roles(row: Row, viewer: Caller) -> list[lifecycle.Role]:  # noqa: N805  # no self
        """In which roles you may act."""
        return sorted(viewer.scope.roles)

    @computed(
        contact="""(SELECT jsonb_build_object(
            'email', p.email, 'email_verified', p.email_verified_at IS NOT NULL, 'by_email', p.by_email,
            'phone', p.phone, 'phone_verified', p.phone_verified_at IS NOT NULL, 'by_sms', p.by_sms,
            'by_letter', p.by_letter,
            'language', p.language) FROM person p WHERE p.id = {viewer.person_id})"""
    )
    def contact_preferences(row: Row, viewer: Caller) -> ContactPreferences | None:  # noqa: N805  # no self
        """How you hear from us."""
        return ContactPreferences(**row["contact"]) if row["contact"] else None

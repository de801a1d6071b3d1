"""Citizens, staff, and who did or saw something."""

from datetime import date, datetime

from loket import records
from loket.api.context import Caller, reader, signed_in
from loket.api.naming import described, output
from loket.api.procedures import Row
from loket.api.reads import Node, column, computed, entity, expression, part
from loket.api.scalars import EmailAddress, PhoneNumber
from loket.api.visibility import of_person
from loket.numbers import masked_national_number
from loket.records import ActorKind


@entity(records.Person, policy=of_person("id"))
class Person(Node):
    """A citizen."""

    given_name: str = column("Given name.")
    family_name: str = column("Family name.")
    name: str = expression("Both names.", "btrim({t}.given_name || ' ' || {t}.family_name)")
    birth_date: date | None = column("Date of birth.", "birth_on", allowed=signed_in)
    email: EmailAddress | None = column("Where e-mail goes.", allowed=signed_in)
    phone: PhoneNumber | None = column("Where text messages go.", allowed=signed_in)
    language: str = column("The language of messages: nl, en, fr or de.")

    @computed("insz_sealed", allowed=signed_in)
    def national_number(row: Row, viewer: Caller) -> str | None:  # noqa: N805  # no self
        """The national number, masked."""
        if row["insz_sealed"] is None:
            return None
        return masked_national_number(viewer.loket.vault.open(bytes.fromhex(row["insz_sealed"])))


@entity(records.Staff, policy=lambda scope: "TRUE" if reader(scope) else "FALSE")
class StaffMember(Node):
    """Somebody who works for the municipality."""

    name: str = expression("Given and family name.", "btrim({t}.given_name || ' ' || {t}.family_name)")


@output
class Actor:
    """Who did something."""

    kind: ActorKind = described("What kind.")
    name: str = described("The name; for another system its own.")


@entity(records.AccessLog, policy=of_person())
class Access(Node):
    """Somebody or something looked at a person's data."""

    at: datetime = column("When.")
    actor: Actor = part("Who.", {"kind": "{t}.actor_kind", "name": "{t}.actor_name"})
    service: str = column("Which service of MAGDA; `loket` for a look in Loket itself.")
    purpose: str = column("What for.")
    reference: str = column("Under which the source keeps it.")
    outcome: str = column("What came of it.")

"""What staff do for somebody who comes to the counter."""

from datetime import date
from typing import Annotated

import strawberry

from loket import consultation, counter
from loket.api.context import counter as at_the_counter
from loket.api.mutations.applications import ApplicationPayload
from loket.api.naming import described, described_argument, input_type
from loket.api.objects.applications import Application
from loket.api.roots import kept_whole, mutation
from loket.api.scalars import EmailAddress, PhoneNumber
from loket.counter import Visitor


@input_type
class AddressInput:
    """An address in Belgium."""

    street: str = described("Street.")
    number: str = described("House number.")
    box: str | None = described("Box number.", default=None)
    postal_code: str = described("Postal code.")
    city: str = described("Municipality.")


@input_type
class VisitorInput:
    """Who stands at the counter."""

    national_number: str | None = described(
        "As on the identity card. With it authentic sources are asked, and the citizen sees the case online;"
        " without it the case has a person of its own, and is not shown in Mijn Burgerprofiel.",
        default=None,
    )
    given_name: str = described("Given name.")
    family_name: str = described("Family name.")
    birth_date: date | None = described("Date of birth.", default=None)
    address: AddressInput | None = described("Where letters go, where no source knows it.", default=None)
    email: EmailAddress | None = described("Where e-mail goes, if anywhere.", default=None)
    phone: PhoneNumber | None = described("Where text messages go, if anywhere.", default=None)
    language: str | None = described("Of messages: nl, en, fr or de; nl without it.", default=None)
    by_letter: bool | None = described(
        "Whether letters are wanted in the place of e-mails and text messages; null: as it was.", default=None
    )


@strawberry.type
class Counter:
    """What staff do for somebody who comes to the counter."""

    @mutation(policy=at_the_counter)
    async def application_start_at_counter(
        self,
        info: strawberry.Info,
        procedure: Annotated[str, described_argument("Its key.")],
        input: Annotated[VisitorInput, described_argument("Who applies.")],
    ) -> ApplicationPayload:
        """Begin an application for somebody at the counter, then fill it in and submit it like any other.

        What is said here fills gaps only: a citizen who is known keeps their own e-mail address and phone.
        """
        context = info.context
        visitor = _visitor(input)
        application = await kept_whole(context, lambda work: counter.start(work, procedure, visitor))
        if visitor.national_number is not None:
            heard = await consultation.consult(
                context.loket,
                context.viewer.actor,
                application.person_id,
                application.procedure_key,
                briefly=True,
            )
            await kept_whole(
                context, lambda work: counter.remember_sources(work, application.id, heard.answers)
            )
        return ApplicationPayload(application=Application.of(application.id))


def _visitor(input: VisitorInput) -> Visitor:
    address = input.address
    return Visitor(
        given_name=input.given_name,
        family_name=input.family_name,
        national_number=input.national_number,
        birth_on=input.birth_date,
        address={
            "street": address.street,
            "number": address.number,
            "box": address.box,
            "postal_code": address.postal_code,
            "city": address.city,
        }
        if address
        else None,
        email=input.email,
        phone=input.phone,
        by_letter=input.by_letter,
        language=input.language,
    )

"""Who else must agree, and what may be asked once."""

from typing import Annotated, Literal

from pydantic import Field

from loket.definition.shape import Days, Shape, Text

Pointer = Annotated[str, Field(pattern=r"^(/[^/~]+)+$")]
"""Where something stands in the answers, as a JSON pointer: `/partner/number`."""


class CoApplicant(Shape):
    """Somebody else who must confirm the application before it is handled (medeaanvrager).

    The case waits in the screening until they confirmed or refused, or the time is over; then the rules for
    screening speak, and read `co_applicant`: CONFIRMED, REFUSED or LAPSED; absent where nobody was asked.
    """

    when: Annotated[str | None, Field(max_length=600)] = None
    """CEL: whether somebody must confirm; without it, always."""
    number_field: Pointer
    """Where in the answers their national number stands: a field of the format 'national-number'."""
    email_field: Pointer | None = None
    """Where in the answers their e-mail address stands; who gave us one before is written to there."""
    answer_within_days: Annotated[int, Field(gt=0, le=365)] = 14
    """After so many days without an answer it lapses."""
    reminder_days: tuple[Days, ...] = ()
    """So many days after the question."""


class Duplicate(Shape):
    """What is looked for among the other cases of this procedure (dubbele aanvraag).

    Rules read `duplicates.key`: true when another case is like this one. One that was refused, withdrawn or
    cancelled does not count.
    """

    key: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=60)]
    """With underscores: rules read it as `duplicates.key`."""
    title: Text
    """What a handler reads."""
    same: Annotated[tuple[Literal["applicant", "household", "address"] | Pointer, ...], Field(min_length=1)]
    """In what another case is like this one, all of it: of the applicant, the household, the domicile; or
    answers of the form, by where they stand."""
    period: Literal["open", "year", "ever"] = "year"
    """open: while the other is open, or valid still; year: submitted in the same calendar year; ever."""

"""What goes on after a case is completed: how long it holds, and whether it is wanted again."""

from typing import Annotated, Literal

from pydantic import Field

from loket.definition.conditions import Pointer
from loket.definition.shape import Days, Shape


class Validity(Shape):
    """How long what was granted holds (geldigheid), from the day on which the case is completed."""

    from_field: Pointer | None = None
    """Where in the answers the first day stands (format 'date'); else it is the day of completion."""
    until_field: Pointer | None = None
    """Where in the answers the last day stands; else the length below."""
    days: Annotated[int | None, Field(gt=0, le=36_500)] = None
    """It holds so many days, the first one included."""
    months: Annotated[int | None, Field(gt=0, le=1_200)] = None
    """Or so many months, up to the day before."""
    until: Literal["end_of_year"] | None = None
    """Or until the last day of the year of the first day."""
    reminder_days: tuple[Days, ...] = ()
    """So many days before its last day the applicant is told that it ends (VALIDITY_ENDING)."""


class Renewal(Shape):
    """Whether it is wanted again: a draft is opened, filled in as before, and the applicant is asked
    (RENEWAL_OFFERED). Nothing is handed in by itself.
    """

    before_end_days: Annotated[int | None, Field(ge=0, le=3650)] = None
    """So many days before the validity ends; needs the part `validity`."""
    after_months: Annotated[int | None, Field(gt=0, le=240)] = None
    """Or so many months after the case was completed."""
    keep: tuple[Pointer, ...] = ()
    """Which answers are taken over, where the form of today still has them; empty: all."""
    draft_days: Annotated[int, Field(gt=0, le=365)] = 60
    """How long the draft stays open."""

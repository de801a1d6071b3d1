"""The live blueprint, as the schema shows it."""

from datetime import date, datetime
from typing import Annotated, Any

import strawberry

from loket import blueprint
from loket.api.naming import described, described_argument, interface, output
from loket.records import Feeling

MOST_REMARKS = 50


@output
class ExperienceRemark:
    """What a citizen wrote of a phase; who it was is not said."""

    text: str = described("The words.")
    feeling: Feeling = described("How the phase was found.")
    rated_at: datetime = described("When.")


@output
class ExperienceFigures:
    """How citizens found it (beleving), in the period."""

    happy: int = described("So many were happy with it.")
    neutral: int = described("So many were neither.")
    unhappy: int = described("So many were unhappy with it.")
    share: float | None = described(
        "Of those who said something, the happy ones: 0 to 1. Null when nobody did."
    )


@output
class PhaseExperience(ExperienceFigures):
    """How citizens found a phase (beleving), in the period, and what they wrote."""

    procedure: strawberry.Private[str]
    phase: strawberry.Private[str]
    first: strawberry.Private[date | None]
    last: strawberry.Private[date | None]

    @strawberry.field(description="What citizens wrote of it in the period, last first.")  # type: ignore[untyped-decorator]  # theirs
    async def remarks(
        self,
        info: strawberry.Info,
        first: Annotated[int, described_argument(f"How many, at most {MOST_REMARKS}.")] = 10,
    ) -> list[ExperienceRemark]:
        found = await blueprint.remarks(
            info.context.loket.database,
            self.procedure,
            self.phase,
            self.first,
            self.last,
            min(max(first, 0), MOST_REMARKS),
        )
        return [ExperienceRemark(text=one.text, feeling=one.feeling, rated_at=one.rated_at) for one in found]


@interface
class BlueprintFigures:
    """What really happened, in the period; `waiting` is now."""

    cases_in: int = described("Cases that came in; one that comes back counts again.")
    cases_out: int = described("Cases that went out.")
    waiting: int = described("Cases that are in it now, whatever the period.")
    lead_time_median_seconds: float | None = described(
        "Half of those that went out had taken no longer; within 5 %. Null when none went out."
    )
    lead_time_p90_seconds: float | None = described(
        "Nine in ten of those that went out had taken no longer; within 5 %. Null when none went out."
    )
    transitions: int = described("Changes of status.")
    automatic_share: float | None = described(
        "Of the changes of status, those without the hand of staff: 0 to 1. Null without any."
    )
    effects_done: int = described("What other systems were told or asked, and took.")
    effects_retried: int = described("Of what they were to hear: what had to be tried again.")
    effects_parked: int = described("What they refused, or left in doubt: it waited for a person.")
    messages_sent: int = described("Of the effects done: messages, over MBP, e-mail, SMS, eBox and on paper.")
    messages_failed: int = described("Messages that could not be sent.")
    overdue: int = described("Terms that lapsed.")


@output
class BlueprintPhase(BlueprintFigures):
    """A column of the blueprint (fase): its rows as they were written, and what really happened."""

    key: str = described("Its key.")
    title: str = described("Its title, in your language.")
    interaction_point: str = described("What the citizen does (interactiepunt).")
    medium: list[str] = described("Through which systems.")
    front_office: str = described("What happens in the front office.")
    back_office: str = described("What happens in the back office.")
    difference: str | None = described("What got better (verschil met de huidige aanpak).")
    experience: PhaseExperience = described("How citizens found it (beleving).")


@output
class BlueprintTotal(BlueprintFigures):
    """The case as a whole, from submission to its end."""

    experience: ExperienceFigures = described("How citizens found all phases together.")


@output
class Blueprint:
    """A procedure's blueprint (blauwdruk), which fills itself in with what really happened."""

    procedure: str = described("The key of the procedure.")
    version: int = described("The version whose rows these are; the figures are of all versions.")
    title: str = described("The title of the procedure, in your language.")
    starts_on: date | None = described("The first day of the period; null: since the beginning.")
    ends_on: date | None = described("The last day of the period; null: until now.")
    as_of: datetime = described("All that happened before this is counted.")
    phases: list[BlueprintPhase] = described("Its columns, in order.")
    total: BlueprintTotal = described("The case as a whole.")


def shown(found: blueprint.Blueprint, language: str) -> Blueprint:
    """The blueprint as the schema shows it."""
    definition = found.definition
    return Blueprint(
        procedure=definition.key,
        version=definition.version,
        title=definition.title.get(language),
        starts_on=found.first,
        ends_on=found.last,
        as_of=found.as_of,
        phases=[
            BlueprintPhase(
                key=phase.key,
                title=phase.title.get(language),
                interaction_point=phase.interaction_point.get(language),
                medium=[one.get(language) for one in phase.medium],
                front_office=phase.front_office.get(language),
                back_office=phase.back_office.get(language),
                difference=phase.difference.get(language) if phase.difference else None,
                experience=PhaseExperience(
                    procedure=definition.key,
                    phase=phase.key,
                    first=found.first,
                    last=found.last,
                    **_feelings(figures),
                ),
                **_numbers(figures),
            )
            for phase, figures in found.phases
        ],
        total=BlueprintTotal(experience=ExperienceFigures(**_feelings(found.whole)), **_numbers(found.whole)),
    )


def _numbers(figures: blueprint.Figures) -> dict[str, Any]:
    return {
        "cases_in": figures.cases_in,
        "cases_out": figures.cases_out,
        "waiting": figures.waiting,
        "lead_time_median_seconds": figures.lead_time_median,
        "lead_time_p90_seconds": figures.lead_time_p90,
        "transitions": figures.transitions,
        "automatic_share": figures.automatic_share,
        "effects_done": figures.effects_done,
        "effects_retried": figures.effects_retried,
        "effects_parked": figures.effects_parked,
        "messages_sent": figures.messages_sent,
        "messages_failed": figures.messages_failed,
        "overdue": figures.overdue,
    }


def _feelings(figures: blueprint.Figures) -> dict[str, Any]:
    return {
        "happy": figures.happy,
        "neutral": figures.neutral,
        "unhappy": figures.unhappy,
        "share": figures.share_of(Feeling.HAPPY),
    }

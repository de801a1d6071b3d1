"""Trying a definition before it is published: a case that walks it dry."""

from datetime import date
from typing import Annotated, Any

import strawberry
from strawberry.scalars import JSON

from loket import publishing
from loket.api.context import Caller, handler
from loket.api.mutations.applications import CartLineInput
from loket.api.mutations.procedures import ProcedureFault
from loket.api.naming import described, described_argument, input_type, output
from loket.api.objects.simulations import SimulatedPath, path_of
from loket.api.payloads import Payload, user_errors
from loket.api.roots import mutation
from loket.definition import Definition
from loket.errors import ErrorCode, Refused
from loket.publications import current
from loket.publishing import DefinitionError
from loket.records import Channel
from loket.trial import casefile, simulation

Written = Annotated[
    str | None, described_argument("A definition, as YAML; or else the key of a procedure as it is today.")
]
Named = Annotated[str | None, described_argument("The key of a procedure, in the place of a definition.")]
_TOLD = {
    "nl": "De definitie klopt niet ({number} fouten): {first}",
    "en": "The definition is not right ({number} faults): {first}",
}


@input_type
class SimulationApplicationInput:
    """What is handed in. What is not said stands there by sample, and is prefilled as for a citizen."""

    answers: JSON | None = described("Answers of the form.", default=None)
    cart: list[CartLineInput] | None = described(
        "What is ordered; not said: one of the first product.", default=None
    )
    documents: list[str] | None = described("Kinds of papers that are sent along.", default=None)
    channel: Channel | None = described("How it came in; not said: ONLINE.", default=None)
    language: str | None = described("The citizen's: nl, fr, en or de; not said: nl.", default=None)
    submitted_on: date | None = described("On which day; not said: today.", default=None)
    complete: bool | None = described(
        "Whether a sample stands in for required answers that are not given; not said: yes.", default=None
    )


@output
class ProcedureSimulatePayload(Payload):
    """The path that a case would take, or why it can take none."""

    path: SimulatedPath | None = described("The path.", default=None)
    faults: list[ProcedureFault] = described(
        "What is wrong with the definition, from top to bottom.", default_factory=list
    )


@strawberry.type
class Simulations:
    """Trying a definition before it is published."""

    @mutation(policy=handler)
    async def procedure_simulate(
        self,
        info: strawberry.Info,
        definition: Written = None,
        procedure: Named = None,
        application: Annotated[
            SimulationApplicationInput | None, described_argument("What is handed in; not said: a sample.")
        ] = None,
        facts: Annotated[
            JSON | None,
            described_argument(
                "What everybody else would say, as in a case file (see the README); not said: an adult"
                " resident, and a yes from each who is asked."
            ),
        ] = None,
    ) -> ProcedureSimulatePayload:
        """Let a case walk a definition from end to end, with all that Loket does, of which nothing is kept.

        Every rule with its value, the amount, the messages as they would go out, the statuses for DOSIS, and
        the deadlines. Nobody hears of it, and no number is used up.
        """
        context = info.context
        case = casefile.of({"application": _filled(application), "facts": facts or {}})
        try:
            found = await understood(context.viewer, definition, procedure)
        except DefinitionError as wrong:
            errors = user_errors(_wrong(wrong, context.viewer.language), context.viewer.language)
            return ProcedureSimulatePayload(errors=errors, faults=faults_of(wrong))
        path = await simulation.simulate_in_turn(context.loket, found, case)
        return ProcedureSimulatePayload(path=path_of(path, context.viewer.language))


async def understood(viewer: Caller, source: str | None, key: str | None) -> Definition:
    """As it was written, or as it is today.

    Raises:
        DefinitionError: with every fault of what was written.
        Refused: NOT_FOUND; TOO_LARGE; VALIDATION for both or neither.
    """
    if (source is None) == (key is None):
        reason = "either a definition or the key of a procedure"
        raise Refused(ErrorCode.VALIDATION, path=["definition"], reason=reason)
    if source is not None:
        if len(source.encode()) > publishing.MAX_BYTES:
            raise Refused(ErrorCode.TOO_LARGE, path=["definition"], limit=f"{publishing.MAX_BYTES} bytes")
        return (await viewer.loket.procedures.understand(source, "")).definition
    found = current(viewer.loket.procedures, str(key), viewer.today)
    if found is None:
        raise Refused(ErrorCode.NOT_FOUND, path=["procedure"])
    return found


def _wrong(wrong: DefinitionError, language: str) -> Refused:
    text = _TOLD.get(language, _TOLD["nl"]).format(number=len(wrong.faults), first=wrong.faults[0].reason)
    return Refused(ErrorCode.VALIDATION, path=["definition"], text=text)


def faults_of(wrong: DefinitionError) -> list[ProcedureFault]:
    return [ProcedureFault(line=one.line, column=one.column, reason=one.reason) for one in wrong.faults]


def _filled(given: SimulationApplicationInput | None) -> dict[str, Any]:
    """As a case file has it."""
    if given is None:
        return {}
    cart = (
        None
        if given.cart is None
        else [
            {
                "product": one.product,
                "quantity": one.quantity,
                "options": {option.option: option.quantity for option in one.options},
            }
            for one in given.cart
        ]
    )
    said = {
        "answers": given.answers,
        "cart": cart,
        "documents": given.documents,
        "channel": given.channel,
        "language": given.language,
        "submitted_on": given.submitted_on,
        "complete": given.complete,
    }
    return {name: value for name, value in said.items() if value is not None}

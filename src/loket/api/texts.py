"""All that a procedure says, with sample values: read before anybody gets it."""

from typing import Annotated

import strawberry

from loket import previews
from loket.api.context import handler
from loket.api.mutations.procedures import ProcedureFault
from loket.api.mutations.simulations import Named, Written, faults_of, understood
from loket.api.naming import described, described_argument, output
from loket.api.objects.simulations import TextPreview, preview_of
from loket.api.roots import root
from loket.definition import LANGUAGES
from loket.lifecycle import EventType
from loket.publishing import DefinitionError


@output
class ProcedureTexts:
    """What a procedure says."""

    messages: list[TextPreview] = described("Per event, language and channel.")
    faults: list[ProcedureFault] = described(
        "What is wrong with the definition, from top to bottom; then there are no messages."
    )


@strawberry.type
class Texts:
    """What procedures say."""

    @root(policy=handler)
    async def procedure_texts(
        self,
        info: strawberry.Info,
        definition: Written = None,
        procedure: Named = None,
        event: Annotated[EventType | None, described_argument("About what; not said: all.")] = None,
        language: Annotated[
            str | None, described_argument("nl, fr, en or de; not said: each of them.")
        ] = None,
    ) -> ProcedureTexts | None:
        """Every message of a definition as somebody would get it, with sample values."""
        context = info.context
        try:
            found = await understood(context.viewer, definition, procedure)
        except DefinitionError as wrong:
            return ProcedureTexts(messages=[], faults=faults_of(wrong))
        languages = LANGUAGES if language is None else (language,)
        said = previews.previews(found, context.loket.settings, event=event, languages=languages)
        return ProcedureTexts(messages=[preview_of(one) for one in said], faults=[])

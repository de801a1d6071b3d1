"""Advice that is asked, given and taken back."""

from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Annotated

import strawberry
from strawberry import ID

from loket import advice, advice_links
from loket.api.context import Caller, adviser, handler
from loket.api.idempotency import once
from loket.api.mutations.shared import CaseId, ReasonInput, locked_case
from loket.api.naming import described, described_argument, input_type, output
from loket.api.objects.advice import Advice
from loket.api.objects.cases import Case
from loket.api.payloads import Payload
from loket.api.reads import anyone
from loket.api.roots import kept_whole, mutation
from loket.errors import ErrorCode, Refused
from loket.ids import decode_id
from loket.lifecycle import Role
from loket.records import ActorKind
from loket.work import Actor, Work

AdviceId = Annotated[ID, described_argument("Which advice.")]


@input_type
class AdviceRequestInput:
    """What is asked of whom."""

    adviser: str = described("The adviser's key in the procedure; see `Procedure.advisers`.")
    question: str = described("What is asked; empty: what the procedure always asks.", default="")
    due_on: date | None = described(
        "The last day to answer; null: as many days as the procedure gives.", default=None
    )


@input_type
class AdviceInput:
    """What an adviser thinks."""

    opinion: advice.Opinion = described("In one word.")
    text: str = described("Why.")
    conditions: str = described("On which conditions; asked when the opinion is CONDITIONAL.", default="")


@input_type
class AdviceByTokenInput:
    """What an external adviser thinks."""

    name: str = described("Who answers.")
    opinion: advice.Opinion = described("In one word.")
    text: str = described("Why.")
    conditions: str = described("On which conditions; asked when the opinion is CONDITIONAL.", default="")


@output
class AdvicePayload(Payload):
    """An advice as it is now, and its case."""

    advice: Advice | None = described("The advice.", default=None)
    case: Case | None = described("The case.", default=None)


@output
class AdviceGiveByTokenPayload(Payload):
    """Whether the answer arrived."""

    received: bool | None = described("Whether it is written down.", default=None)


@strawberry.type
class Advising:
    """Advice that is asked, given and taken back."""

    @mutation(policy=handler)
    async def advice_request(
        self,
        work: Work,
        case_id: CaseId,
        input: Annotated[AdviceRequestInput, described_argument("What is asked of whom.")],
        expected_version: int | None = None,
    ) -> AdvicePayload:
        """Ask an adviser of the procedure; an external one gets a letter with a link of their own."""
        case = await locked_case(work, case_id, expected_version)
        asked = await advice.request(work, case, input.adviser, question=input.question, due_on=input.due_on)
        return AdvicePayload(advice=Advice.of(asked.id), case=Case.of(case.id))

    @mutation(policy=adviser)
    async def advice_give(
        self,
        work: Work,
        id: AdviceId,
        input: Annotated[AdviceInput, described_argument("What the adviser thinks.")],
        expected_version: int | None = None,
    ) -> AdvicePayload:
        """Give advice; a handler writes down what came by phone or post. Late advice counts until decided."""
        case, given = await advice.get_locked(
            work, decode_id(id, "Advice"), expected_version=expected_version
        )
        await advice.give(work, case, given, advice.Words(input.opinion, input.text, input.conditions))
        return AdvicePayload(advice=Advice.of(given.id), case=Case.of(case.id))

    @mutation(policy=anyone, remembers=False)
    async def advice_give_by_token(
        self,
        info: strawberry.Info,
        token: Annotated[str, described_argument("What stands in the link.")],
        input: Annotated[AdviceByTokenInput, described_argument("What the adviser thinks.")],
        idempotency_key: str,
    ) -> AdviceGiveByTokenPayload:
        """Give advice with a link, once. EXPIRED for any link that is of no use (any more)."""
        loket, language = info.context.loket, info.context.viewer.language
        asked_id = loket.vault.read_link(advice.LINK, token, datetime.now(UTC))
        if asked_id is None:
            raise Refused(ErrorCode.EXPIRED)
        outsider = Actor(ActorKind.SERVICE, "", frozenset({Role.ADVISER}), asked_id, language)
        context = replace(info.context, viewer=Caller(loket, outsider, language))
        arguments = {"token": token, "input": input, "idempotency_key": idempotency_key}

        async def give(work: Work) -> AdviceGiveByTokenPayload:
            answer: AdviceGiveByTokenPayload = await once(
                context,
                work,
                arguments,
                partial(advice_by_token, work, token, input),
                AdviceGiveByTokenPayload,
            )
            return answer

        return await kept_whole(context, give)

    @mutation(policy=handler)
    async def advice_withdraw(
        self,
        work: Work,
        id: AdviceId,
        input: Annotated[ReasonInput, described_argument("Why.")],
        expected_version: int | None = None,
    ) -> AdvicePayload:
        """Take the question back: the case waits for it no more, and a link opens nothing."""
        case, asked = await advice.get_locked(
            work, decode_id(id, "Advice"), expected_version=expected_version
        )
        await advice.withdraw(work, case, asked, input.reason)
        return AdvicePayload(advice=Advice.of(asked.id), case=Case.of(case.id))


async def advice_by_token(work: Work, token: str, input: AdviceByTokenInput) -> AdviceGiveByTokenPayload:
    """Raises `Refused` EXPIRED, and what `advice.give` says of the words."""
    await advice_links.give_by_token(
        work, token, advice.Words(input.opinion, input.text, input.conditions, input.name)
    )
    return AdviceGiveByTokenPayload(received=True)

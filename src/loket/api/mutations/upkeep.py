"""Messages, effects, timers and contact points: keeping it all running."""

from typing import Annotated

import strawberry
from sqlalchemy import select
from sqlmodel import col
from strawberry import ID

from loket import (
    cases,
    messages,
    operations,
    people,
    records,
    timers,
)
from loket.api.context import (
    citizen,
    engineer,
    handler,
    operator,
)
from loket.api.mutations.shared import CaseId, CasePayload, ReasonInput, locked_case
from loket.api.naming import described, described_argument, input_type, output
from loket.api.objects.cases import Case
from loket.api.objects.events import Effect
from loket.api.objects.messages import Message
from loket.api.objects.viewers import ContactPreferences, preferences_of
from loket.api.payloads import Payload, user_errors
from loket.api.roots import kept_whole, mutation
from loket.api.scalars import EmailAddress, PhoneNumber
from loket.errors import ErrorCode, Refused
from loket.ids import decode_id
from loket.lifecycle import TimerKind
from loket.records import MessageChannel, TimerState
from loket.work import Work


@input_type
class ContactPreferencesInput:
    """What is left out stays as it is."""

    email: EmailAddress | None = described(
        "Where e-mail goes; a new one gets a code that proves it.", default=None
    )
    phone: PhoneNumber | None = described(
        "Where text messages go; a new one gets a code that proves it.", default=None
    )
    by_email: bool | None = described("Whether e-mail is wanted.", default=None)
    by_sms: bool | None = described("Whether text messages are wanted.", default=None)
    by_letter: bool | None = described(
        "Whether letters are wanted in the place of e-mails and text messages; they go to your address as the"
        " National Register knows it.",
        default=None,
    )
    language: str | None = described("nl, en, fr or de.", default=None)


@input_type
class CodeInput:
    """A code that was sent."""

    channel: MessageChannel = described("Over what: EMAIL or SMS.")
    code: str = described("The six digits.")


@output
class MessagePayload(Payload):
    """A message."""

    message: Message | None = described("The new message.", default=None)


@output
class EffectPayload(Payload):
    """An effect as it is now."""

    effect: Effect | None = described("The effect.", default=None)


@output
class SystemPayload(Payload):
    """Whether a system is being talked to."""

    system: str | None = described("Which system.", default=None)
    paused: bool | None = described("Whether nothing is sent to it now.", default=None)


@output
class ContactPreferencesPayload(Payload):
    """How you hear from us, as it is now."""

    contact_preferences: ContactPreferences | None = described("Your preferences.", default=None)


@strawberry.type
class Upkeep:
    """Messages, effects, timers and contact points: keeping it all running."""

    @mutation(policy=handler)
    async def message_resend(
        self, work: Work, id: Annotated[ID, described_argument("Which message.")]
    ) -> MessagePayload:
        """Say something again, deliberately, as a new message."""
        message = await work.session.get(records.Message, decode_id(id, "Message"))
        if message is None:
            raise Refused(ErrorCode.NOT_FOUND)
        case = await cases.get(work, message.case_id)
        again = await messages.resend(work, message, case)
        return MessagePayload(message=Message.of(again.id))

    @mutation(policy=operator)
    async def effect_retry(
        self, work: Work, id: Annotated[ID, described_argument("Which effect.")]
    ) -> EffectPayload:
        """Try a failed or waiting effect again now, with the same key for the other side."""
        effect = await operations.retry(work, decode_id(id, "Effect"))
        return EffectPayload(effect=Effect.of(effect.id))

    @mutation(policy=operator)
    async def effect_skip(
        self,
        work: Work,
        id: Annotated[ID, described_argument("Which effect.")],
        input: Annotated[ReasonInput, described_argument("Why.")],
    ) -> EffectPayload:
        """Leave an effect undone; what waits behind it goes on."""
        effect = await operations.skip(work, decode_id(id, "Effect"), input.reason)
        return EffectPayload(effect=Effect.of(effect.id))

    @mutation(policy=engineer)
    async def system_pause(
        self,
        work: Work,
        system: Annotated[str, described_argument("Which: dosis, email, accounting…")],
    ) -> SystemPayload:
        """Send nothing to a system until it is resumed."""
        state = await operations.pause(work, system, paused=True)
        return SystemPayload(system=state.name, paused=state.paused)

    @mutation(policy=engineer)
    async def system_resume(
        self, work: Work, system: Annotated[str, described_argument("Which system.")]
    ) -> SystemPayload:
        """Go on sending to a system."""
        state = await operations.pause(work, system, paused=False)
        return SystemPayload(system=state.name, paused=state.paused)

    @mutation(policy=operator)
    async def timer_fire(
        self,
        info: strawberry.Info,
        case_id: CaseId,
        kind: Annotated[TimerKind, described_argument("Which deadline.")],
    ) -> CasePayload:
        """Let a deadline of a case come now instead of later, as when its time had passed."""
        context = info.context
        async with context.transaction(operator) as work:
            case = await locked_case(work, case_id, None)
            found = await work.session.scalar(
                select(col(records.Timer.id))
                .where(
                    col(records.Timer.case_id) == case.id,
                    col(records.Timer.kind) == kind,
                    col(records.Timer.state) == TimerState.ARMED,
                )
                .order_by(col(records.Timer.due_at))
                .limit(1)
            )
        if found is None:
            raise Refused(ErrorCode.NOT_FOUND, path=["kind"])
        await timers.fire(context.loket, found)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=citizen)
    async def contact_preferences_set(
        self, work: Work, input: Annotated[ContactPreferencesInput, described_argument("What changes.")]
    ) -> ContactPreferencesPayload:
        """Say how you want to hear from us."""
        person = await people.set_preferences(
            work,
            email=input.email,
            phone=input.phone,
            by_email=input.by_email,
            by_sms=input.by_sms,
            by_letter=input.by_letter,
            language=input.language,
        )
        return ContactPreferencesPayload(contact_preferences=preferences_of(person))

    @mutation(policy=citizen)
    async def contact_point_verify(
        self, info: strawberry.Info, input: Annotated[CodeInput, described_argument("The code.")]
    ) -> ContactPreferencesPayload:
        """Prove that a contact point is yours, with the code that was sent to it."""
        person, right = await kept_whole(
            info.context, lambda work: people.verify(work, input.channel, input.code)
        )
        if not right:
            refused = Refused(ErrorCode.VALIDATION, path=["input", "code"], reason="another code was sent")
            return ContactPreferencesPayload(errors=user_errors(refused, info.context.viewer.language))
        return ContactPreferencesPayload(contact_preferences=preferences_of(person))

"""Being told of events elsewhere: subscribing, pausing, hearing it once more, and leaving."""

from typing import Annotated

import strawberry
from strawberry import ID

from loket import webhooks
from loket.api.context import integrator
from loket.api.naming import described, described_argument, input_type, output
from loket.api.objects.webhooks import Webhook
from loket.api.payloads import Payload
from loket.api.roots import mutation
from loket.api.scalars import Cursor
from loket.ids import decode_id
from loket.interests import Cursor as FeedCursor
from loket.lifecycle import EventType
from loket.work import Work

WebhookId = Annotated[ID, described_argument("Which subscription.")]


@input_type
class WebhookSubscribeInput:
    """Where to be told, and of what."""

    url: str = described("An https address on the public internet, on port 443 or 8443.")
    types: list[EventType] | None = described(
        "Of these events. Null: of all, except what becomes of effects.", default=None
    )
    procedures: list[str] | None = described(
        "Of cases of these procedures, by key. Null: of all.", default=None
    )
    description: str = described("What for, in your own words; at most 200 characters.", default="")
    after: Cursor | None = described("From after this cursor on. Null: from now on.", default=None)


@output
class WebhookPayload(Payload):
    """A subscription as it is now."""

    webhook: Webhook | None = described("The subscription.", default=None)


@output
class WebhookSubscribePayload(Payload):
    """A new subscription."""

    webhook: Webhook | None = described("The subscription.", default=None)
    secret: str | None = described(
        "With which its messages are signed (`whsec_…`, Standard Webhooks). It is told now and never again.",
        default=None,
    )


@strawberry.type
class Webhooks:
    """Being told of events elsewhere."""

    @mutation(policy=integrator)
    async def webhook_subscribe(
        self, work: Work, input: Annotated[WebhookSubscribeInput, described_argument("Where, and of what.")]
    ) -> WebhookSubscribePayload:
        """Have an address told of the events that you may see: the same as `events(after)` gives."""
        made, secret = await webhooks.subscribe(
            work,
            url=input.url,
            types=input.types,
            procedures=input.procedures or (),
            description=input.description,
            after=FeedCursor.parse(input.after) if input.after else None,
        )
        return WebhookSubscribePayload(webhook=Webhook.of(made.id), secret=secret)

    @mutation(policy=integrator)
    async def webhook_unsubscribe(self, work: Work, id: WebhookId) -> WebhookPayload:
        """End a subscription: it is told nothing more."""
        found = await webhooks.unsubscribe(work, decode_id(id, "Webhook"))
        return WebhookPayload(webhook=Webhook.of(found.id))

    @mutation(policy=integrator)
    async def webhook_pause(self, work: Work, id: WebhookId) -> WebhookPayload:
        """Tell an address nothing until it is resumed; its place in the stream is kept."""
        found = await webhooks.pause(work, decode_id(id, "Webhook"))
        return WebhookPayload(webhook=Webhook.of(found.id))

    @mutation(policy=integrator)
    async def webhook_resume(self, work: Work, id: WebhookId) -> WebhookPayload:
        """Go on telling an address, from where it stood; also at once while it waits for another attempt."""
        found = await webhooks.resume(work, decode_id(id, "Webhook"))
        return WebhookPayload(webhook=Webhook.of(found.id))

    @mutation(policy=integrator)
    async def webhook_replay(
        self,
        work: Work,
        id: WebhookId,
        after: Annotated[
            Cursor | None, described_argument("From after this cursor on. Null: of all that is kept.")
        ] = None,
    ) -> WebhookPayload:
        """Tell an address of past events once more, with the same message ids, and go on from there."""
        place = FeedCursor.parse(after) if after else None
        found = await webhooks.replay(work, decode_id(id, "Webhook"), place)
        return WebhookPayload(webhook=Webhook.of(found.id))

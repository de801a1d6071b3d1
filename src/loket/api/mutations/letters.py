"""The day's letters: handed to the printer, and proved to be posted."""

from typing import Annotated

import strawberry
from strawberry import ID

from loket import batches
from loket.api.context import mailing
from loket.api.naming import described, described_argument, output
from loket.api.objects.letters import LetterBatch
from loket.api.payloads import Payload
from loket.api.roots import mutation
from loket.ids import decode_id
from loket.work import Work


@output
class LetterBatchPayload(Payload):
    """A print batch."""

    batch: LetterBatch | None = described("The batch; null when no letter waits.", default=None)


@strawberry.type
class Letters:
    """The day's letters."""

    @mutation(policy=mailing)
    async def letter_batch_make(self, work: Work, idempotency_key: str) -> LetterBatchPayload:
        """Hand all letters that wait to the printer."""
        batch = await batches.make(work)
        return LetterBatchPayload(batch=LetterBatch.of(batch.id) if batch else None)

    @mutation(policy=mailing)
    async def letter_batch_proof(
        self,
        work: Work,
        id: Annotated[ID, described_argument("Which batch.")],
        csv: Annotated[
            str,
            described_argument("Lines of sequence;reference;registered_number;posted_on under that heading."),
        ],
    ) -> LetterBatchPayload:
        """Say which letters were posted, with the numbers of the registered ones."""
        batch = await batches.prove(work, decode_id(id, "LetterBatch"), csv)
        return LetterBatchPayload(batch=LetterBatch.of(batch.id))

"""Publishing a procedure while Loket runs."""

from typing import Annotated

import strawberry

from loket import publications, publishing
from loket.api.context import Caller, operator
from loket.api.idempotency import request_hash
from loket.api.naming import described, described_argument, output
from loket.api.payloads import Payload, user_errors
from loket.api.procedures import Procedure, ProcedureChange, changed, present
from loket.api.roots import kept_whole, mutation
from loket.errors import ErrorCode, Refused
from loket.publishing import DefinitionError, Fault
from loket.work import Work


@output
class ProcedureFault:
    """What is wrong in a definition, and where."""

    line: int = described("Counted from 1.")
    column: int = described("Counted from 1.")
    reason: str = described("What is wrong, in English.")


@output
class ProcedurePublishPayload(Payload):
    """What was published, or why not."""

    procedure: Procedure | None = described(
        "The procedure as the definition describes it; null while it can not be read.", default=None
    )
    published: bool = described(
        "Whether it is published now; also where it was before. False for what was only tried.", default=False
    )
    faults: list[ProcedureFault] = described(
        "All that is wrong with it, from top to bottom.", default_factory=list
    )
    compared_with: int | None = described(
        "The version that it takes the place of; null for a new procedure.", default=None
    )
    changes: list[ProcedureChange] = described(
        "What is different from the version that it takes the place of.", default_factory=list
    )


@strawberry.type
class Procedures:
    """Publishing procedures."""

    @mutation(policy=operator, remembers=False)
    async def procedure_publish(
        self,
        info: strawberry.Info,
        definition: Annotated[str, described_argument("The file, as YAML: see the reference in the README.")],
        dry_run: Annotated[bool, described_argument("Only say what would come of it.")] = False,
        idempotency_key: str | None = None,
    ) -> ProcedurePublishPayload:
        """Publish a version of a procedure: it holds from its first day on, for what is begun from then on.

        Everything that can be checked is checked before. A published version is never changed: running cases
        keep theirs, drafts are told (`Application.newerVersion`). The same definition again changes nothing.
        """
        context = info.context
        if len(definition.encode()) > publishing.MAX_BYTES:
            limit = f"{publishing.MAX_BYTES} bytes"
            raise Refused(ErrorCode.TOO_LARGE, path=["definition"], limit=limit)
        try:
            reading = await context.loket.procedures.understand(definition, "")
        except DefinitionError as wrong:
            return _refused(wrong.faults, context.viewer)
        asked = request_hash("procedure_publish", {"definition": definition, "dry_run": dry_run})

        async def publish(work: Work) -> publications.Published:
            if idempotency_key is not None and not dry_run:
                # the same wish has the same answer by itself; the key has to tell that it is another one
                actor = context.actor_key
                known = await context.memory.recall(
                    work, actor=actor, key=idempotency_key, request_hash=asked
                )
                if known is None:
                    await context.memory.remember(work, actor=actor, key=idempotency_key, answer=b"{}")
            return await publications.publish(work, reading, dry_run=dry_run)

        done = await kept_whole(context, publish, operator)
        await context.loket.procedures.refresh_if_possible()
        answer = _refused(done.faults, context.viewer, done.highest)
        viewer = context.viewer
        answer.procedure = present(done.definition, viewer.language, viewer.today)
        answer.published = not (done.faults or (done.new and dry_run))
        if done.before is not None:
            answer.compared_with = done.before.version
            answer.changes = changed(done.before, done.definition, viewer)
        return answer


def _refused(
    faults: "list[Fault] | tuple[Fault, ...]", viewer: Caller, highest: int | None = None
) -> ProcedurePublishPayload:
    """With its faults, where there are any; `highest`: the version above which it has to be raised."""
    errors = []
    if highest is not None:
        text = faults[0].reason
        errors = user_errors(
            Refused(ErrorCode.VERSION_CONFLICT, path=["definition"], text=text, current=highest),
            viewer.language,
        )
    elif faults:
        text = _FAULTS[viewer.language == "en"].format(number=len(faults), first=faults[0].reason)
        errors = user_errors(Refused(ErrorCode.VALIDATION, path=["definition"], text=text), viewer.language)
    return ProcedurePublishPayload(
        errors=errors,
        faults=[ProcedureFault(line=one.line, column=one.column, reason=one.reason) for one in faults],
    )


_FAULTS = (
    "Deze definitie kan zo niet gepubliceerd worden ({number} fouten): {first}",
    "This definition can not be published as it is ({number} faults): {first}",
)

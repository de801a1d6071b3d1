"""What is done with an application until it is handed in: by a citizen, or by staff for somebody."""

from typing import Annotated

import strawberry
from strawberry import ID
from strawberry.scalars import JSON

from loket import applications, cases, consultation, counter, records, uploads, versions
from loket.api.context import applying, citizen
from loket.api.naming import described, described_argument, input_type, output
from loket.api.objects.applications import Application
from loket.api.objects.cases import Case
from loket.api.objects.documents import Document
from loket.api.payloads import Payload
from loket.api.procedures import ProcedureChange, changed
from loket.api.roots import kept_whole, mutation
from loket.errors import ErrorCode, Refused
from loket.ids import decode_id
from loket.lifecycle import PartAction
from loket.work import Work

ApplicationId = Annotated[ID, described_argument("Which application.")]


@input_type
class OptionInput:
    """How many of an option."""

    option: str = described("Its key in the catalogue.")
    quantity: int = described("How many.")


@input_type
class CartLineInput:
    """A line of the cart."""

    product: str = described("Its key in the catalogue.")
    quantity: int = described("How many.")
    options: list[OptionInput] = described("With what.", default_factory=list)


@input_type
class CartInput:
    """The whole cart."""

    lines: list[CartLineInput] = described("Its lines; none empties it.")


@input_type
class UploadInput:
    """A file that is about to be sent."""

    filename: str = described("Its name.")
    media_type: str = described("application/pdf, image/jpeg or image/png.")
    size: int = described("In bytes, at most 10 MiB.")
    kind: str = described(
        "What it is: key of one of the procedure's `documents`; without it just an attachment.",
        default=uploads.ATTACHMENT,
    )
    case_id: ID | None = described(
        "The open case that it is for; without it, it is for a draft: `applicationAttachDocument`.",
        default=None,
    )
    application_id: ID | None = described(
        "For staff: the draft of the counter for which somebody brought it.", default=None
    )


@output
class ApplicationPayload(Payload):
    """An application as it is now."""

    application: Application | None = described("The application.", default=None)


@output
class ApplicationSubmitPayload(Payload):
    """The case that an application became."""

    application: Application | None = described("The application.", default=None)
    case: Case | None = described("The case.", default=None)


@output
class LeftOut:
    """What stood in a draft and does not fit in the version of today."""

    path: list[str] = described("Where it stood, from the application on.")
    message: str = described("What it was, in your language.")


@output
class ApplicationUpgradePayload(Payload):
    """A draft on the version of today."""

    application: Application | None = described("The application.", default=None)
    changes: list[ProcedureChange] = described("What is different for you.", default_factory=list)
    left_out: list[LeftOut] = described(
        "What did not fit any more and was taken out; empty where everything was kept.", default_factory=list
    )


@output
class UploadPayload(Payload):
    """Where to send a file."""

    document: Document | None = described("The document to be.", default=None)
    upload_url: str | None = described("PUT the content here.", default=None)
    expires_at: str | None = described("Until when, an instant in UTC.", default=None)


@strawberry.type
class Applications:
    """What is done with an application until it is handed in."""

    @mutation(policy=citizen)
    async def application_start(
        self, info: strawberry.Info, procedure: Annotated[str, described_argument("Its key.")]
    ) -> ApplicationPayload:
        """Begin an application; it comes prefilled with what the government knows already."""
        context = info.context
        application = await kept_whole(context, lambda work: applications.start(work, procedure))
        heard = await consultation.consult(
            context.loket,
            context.viewer.actor,
            application.person_id,
            application.procedure_key,
            briefly=True,
        )
        await kept_whole(
            context, lambda work: applications.remember_sources(work, application.id, heard.answers)
        )
        return ApplicationPayload(application=Application.of(application.id))

    @mutation(policy=applying)
    async def application_set_answers(
        self,
        work: Work,
        id: ApplicationId,
        input: Annotated[JSON, described_argument("JSON Merge Patch (RFC 7396): null removes.")],
        expected_version: int | None = None,
    ) -> ApplicationPayload:
        """Save answers in a draft. What is missing is no fault yet; what is wrong is, all of it at once."""
        application = await _application(work, id, expected_version)
        await applications.set_answers(work, application, input)
        return ApplicationPayload(application=Application.of(application.id))

    @mutation(policy=applying)
    async def application_set_cart(
        self,
        work: Work,
        id: ApplicationId,
        input: Annotated[CartInput, described_argument("The whole cart.")],
        expected_version: int | None = None,
    ) -> ApplicationPayload:
        """Replace the cart."""
        application = await _application(work, id, expected_version)
        await applications.set_cart(work, application, [_cart_line(line) for line in input.lines])
        return ApplicationPayload(application=Application.of(application.id))

    @mutation(policy=applying)
    async def application_upgrade(
        self, info: strawberry.Info, work: Work, id: ApplicationId, expected_version: int | None = None
    ) -> ApplicationUpgradePayload:
        """Take a draft over to the version of the procedure that holds today: see `Application.newerVersion`.

        What was filled in and still fits is kept. A draft that is on that version already stays as it is.
        """
        application = await _application(work, id, expected_version)
        taken = await versions.take_over(work, application)
        return ApplicationUpgradePayload(
            application=Application.of(application.id),
            changes=changed(taken.before, taken.after, info.context.viewer, for_applicant=True),
            left_out=[LeftOut(path=one.path, message=one.text) for one in taken.left_out],
        )

    @mutation(policy=applying)
    async def document_upload_start(
        self, work: Work, input: Annotated[UploadInput, described_argument("The file.")]
    ) -> UploadPayload:
        """Announce a file: then PUT its content to `uploadUrl`, then attach it."""
        upload = await _upload(work, input)
        return UploadPayload(
            document=Document.of(upload.document.id),
            upload_url=f"{work.settings.public_url}/uploads/{upload.token}",
            expires_at=(work.now + uploads.UPLOAD_LIFE).isoformat(),
        )

    @mutation(policy=applying)
    async def application_attach_document(
        self,
        work: Work,
        id: ApplicationId,
        document_id: Annotated[ID, described_argument("The uploaded document.")],
        expected_version: int | None = None,
    ) -> ApplicationPayload:
        """Make an uploaded file part of the application."""
        application = await _application(work, id, expected_version)
        await uploads.attach(work, application, decode_id(document_id, "Document", path=["documentId"]))
        return ApplicationPayload(application=Application.of(application.id))

    @mutation(policy=applying)
    async def application_remove_document(
        self,
        work: Work,
        id: ApplicationId,
        document_id: Annotated[ID, described_argument("The document.")],
        expected_version: int | None = None,
    ) -> ApplicationPayload:
        """Take a file out of the application, and away."""
        application = await _application(work, id, expected_version)
        await uploads.remove_document(
            work, application, decode_id(document_id, "Document", path=["documentId"])
        )
        return ApplicationPayload(application=Application.of(application.id))

    @mutation(policy=applying)
    async def application_submit(
        self, work: Work, id: ApplicationId, idempotency_key: str, expected_version: int | None = None
    ) -> ApplicationSubmitPayload:
        """Hand in an application. Opens a case and answers with its reference."""
        application = await _application(work, id, expected_version)
        case = await applications.submit(work, application)
        return ApplicationSubmitPayload(application=Application.of(application.id), case=Case.of(case.id))

    @mutation(policy=applying)
    async def application_discard(
        self, work: Work, id: ApplicationId, expected_version: int | None = None
    ) -> ApplicationPayload:
        """Throw a draft away, with all that was filled in."""
        application = await _application(work, id, expected_version)
        await applications.end_draft(work, application, PartAction.DISCARD)
        return ApplicationPayload(application=Application.of(application.id))


async def _upload(work: Work, input: UploadInput) -> uploads.Upload:
    announced = uploads.Announced(input.filename, input.media_type, input.size, input.kind)
    if input.case_id is not None:
        case = await cases.get(work, decode_id(input.case_id, "Case", path=["input", "caseId"]))
        return await uploads.start_case_upload(work, case, announced)
    if not work.actor.is_staff:
        return await uploads.start_upload(work, announced)
    if input.application_id is None:
        raise Refused(ErrorCode.REQUIRED, path=["input", "applicationId"])
    draft = await applications.get(
        work, decode_id(input.application_id, "Application", path=["input", "applicationId"])
    )
    return await counter.start_upload(work, draft, announced)


async def _application(work: Work, id: str, expected_version: int | None) -> records.Application:
    return await applications.get(work, decode_id(id, "Application"), expected_version=expected_version)


def _cart_line(line: CartLineInput) -> records.Json:
    return {
        "product": line.product,
        "quantity": line.quantity,
        "options": {one.option: one.quantity for one in line.options},
    }

"""Mutations, subscriptions and root fields: who may use them, and how a refusal comes back.

    @mutation(policy=signed_in)
    async def case_assign(self, work: Work, id: Annotated[ID, …]) -> CaseAssignPayload:
        \"\"\"Take a case on.\"\"\"
        case = await cases.assign(work, decode_id(id, "Case"))
        return CaseAssignPayload(case=Case.of(case.id))

A mutation that takes a `work` runs in one transaction, which is committed when it returns and rolled back
when it raises, and done once more when the database rolled it back by itself. With an `idempotency_key` its
answer is remembered in that same transaction.
"""

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import fields
from functools import partial, wraps
from typing import Annotated, Any, TypeVar, get_args, get_origin

import strawberry
from strawberry.types.arguments import StrawberryArgumentAnnotation

from loket import database
from loket.api.idempotency import KEY, MutationContext, check_key, once
from loket.api.naming import Field, described_argument, document, output
from loket.api.payloads import user_errors
from loket.api.reads import POLICY, Allowed
from loket.errors import ErrorCode, ManyRefused, Refused, Unavailable

T = TypeVar("T")

KNOWN_ARGUMENTS = {
    KEY: "Your own key for this wish: the same key again gives the same answer, and is done once.",
    "expected_version": "Refuse with VERSION_CONFLICT when this is no longer its version.",
}


def root(*, policy: Allowed) -> Callable[[Callable[..., Any]], Field]:
    """A root field that Python resolves. Whom the policy does not let in gets null, or an empty list."""

    def declare(function: Callable[..., Any]) -> Field:
        many = get_origin(function.__annotations__.get("return")) is list

        def allowed(arguments: Mapping[str, Any]) -> bool:
            return policy(arguments["info"].context.viewer.scope)

        def resolve(self: Any, **arguments: Any) -> Any:  # noqa: ANN401  # a resolver
            if allowed(arguments):
                return function(self, **arguments)
            return [] if many else None

        async def resolve_later(self: Any, **arguments: Any) -> Any:  # noqa: ANN401  # a resolver
            value = resolve(self, **arguments)
            return await value if inspect.isawaitable(value) else value

        later = inspect.iscoroutinefunction(function)
        return _field(function, resolve_later if later else resolve, policy)

    return declare


def mutation(*, policy: Allowed, remembers: bool = True) -> Callable[[Callable[..., Any]], Field]:
    """A business action. Refusals become the payload's `errors`, in the caller's language.

    A function that calls another system opens its own transactions and takes no `work`; it then keeps its
    idempotency key itself, and says so with `remembers=False`.
    """

    def declare(function: Callable[..., Any]) -> Field:
        parameters = inspect.signature(function).parameters
        shared = function.__annotations__["return"]
        payload = _own(function, shared)
        function.__annotations__["return"] = payload
        if KEY in parameters and remembers and "work" not in parameters:
            raise TypeError(
                f"{function.__name__}: an idempotency key is kept in the transaction of its `work`"
            )

        async def resolve(self: Any, info: strawberry.Info, **arguments: Any) -> Any:  # noqa: ANN401  # a resolver
            context: MutationContext = info.context
            given = arguments | ({"info": info} if "info" in parameters else {})
            try:
                permit(policy, context.viewer)
                check_key(arguments.get(KEY))
                if "work" not in parameters:
                    return _as(payload, await context.informed(partial(function, self, **given)))

                async def act(work: Any) -> Any:  # noqa: ANN401  # the application's, and a payload
                    done = partial(function, self, **given, work=work)
                    if not (remembers and KEY in arguments):
                        return await done()
                    return await once(context, work, arguments, done, payload)

                return _as(payload, await kept_whole(context, act, policy))
            except (Refused, ManyRefused) as fault:
                return payload(errors=user_errors(fault, context.viewer.language))
            except Unavailable as fault:
                refused = Refused(ErrorCode.SYSTEM_UNAVAILABLE, system=fault.system)
                return payload(errors=user_errors(refused, context.viewer.language))

        return _field(function, resolve, policy)

    return declare


async def kept_whole(
    context: MutationContext, act: Callable[[Any], Awaitable[T]], policy: Allowed | None = None
) -> T:
    """What `act` answers, all that it does in one transaction; once more where that gave way to another, or
    where it needs what another process published a moment ago.

    `policy` is looked at again in each case: roles may hold for one department and not for another.
    """
    return await context.informed(lambda: database.kept_whole(partial(context.transaction, policy), act))


def _own(function: Callable[..., Any], shared: type[Any]) -> type[Any]:
    """The mutation's own type, so that it can grow without the others: `caseAssign` has CaseAssignPayload."""
    name = "".join(word.capitalize() for word in function.__name__.split("_")) + "Payload"
    if shared.__name__ == name:
        return shared
    own = type(name, (shared,), {"__doc__": shared.__doc__, "__module__": shared.__module__})
    return output(own)


def _as(payload: type[Any], answer: Any) -> Any:  # noqa: ANN401  # a payload
    """`answer` as the mutation's own type."""
    if isinstance(answer, payload):
        return answer
    return payload(**{one.name: getattr(answer, one.name) for one in fields(answer)})


def subscription(*, policy: Allowed) -> Callable[[Callable[..., Any]], Field]:
    """A stream of rows (`Type.of(key, cursor=…)`), of plain objects, or an `audiences.Follow`.

    An event stream that resumes by itself gives its Last-Event-ID as `after`.
    """

    def declare(function: Callable[..., Any]) -> Field:
        resumes = "after" in inspect.signature(function).parameters

        async def resolve(
            self: Any,  # noqa: ANN401  # a resolver
            info: strawberry.Info,
            **arguments: Any,  # noqa: ANN401  # as above
        ) -> AsyncGenerator[Any, None]:
            permit(policy, info.context.viewer)
            if resumes and info.context.last_event_id is not None:
                arguments["after"] = info.context.last_event_id
            stream = function(self, info=info, **arguments)
            found: AsyncGenerator[Any, None] = await stream if inspect.isawaitable(stream) else stream
            return found

        return _field(function, resolve, policy, is_subscription=True)

    return declare


def permit(policy: Allowed, viewer: Any) -> None:  # noqa: ANN401  # the application's viewer
    """Let `viewer` through, or not.

    Raises:
        Refused: SIGN_IN_REQUIRED for who is not signed in, else NOT_ALLOWED.
    """
    if not policy(viewer.scope):
        raise Refused(ErrorCode.NOT_ALLOWED if viewer.signed_in else ErrorCode.SIGN_IN_REQUIRED)


def _field(
    function: Callable[..., Any],
    resolve: Callable[..., Any],
    policy: Allowed,
    *,
    is_subscription: bool = False,
) -> Field:
    """`resolve` as strawberry's resolver, with the signature of `function` as clients see it."""
    wraps(function)(resolve)
    signature = inspect.signature(function)
    shown = [one for name, one in signature.parameters.items() if name != "work"]
    if "info" not in signature.parameters:
        shown.append(inspect.Parameter("info", inspect.Parameter.KEYWORD_ONLY, annotation=strawberry.Info))
    shown = [_known(one) for one in shown]
    resolve.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]  # inspect reads it
    resolve.__annotations__ = {one.name: one.annotation for one in shown} | {
        "return": signature.return_annotation
    }
    return strawberry.field(
        resolver=resolve,
        description=document(function),
        metadata={POLICY: policy},
        is_subscription=is_subscription,
    )


def _known(parameter: inspect.Parameter) -> inspect.Parameter:
    """Arguments that many fields have are described here once."""
    text = KNOWN_ARGUMENTS.get(parameter.name)
    notes = get_args(parameter.annotation)[1:] if get_origin(parameter.annotation) is Annotated else ()
    if text is None or any(isinstance(one, StrawberryArgumentAnnotation) for one in notes):
        return parameter
    return parameter.replace(annotation=Annotated[parameter.annotation, described_argument(text)])

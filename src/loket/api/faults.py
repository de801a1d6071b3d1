"""Errors fit to be shown: what a client did wrong is said, what we did wrong is masked and logged."""

import logging
from collections.abc import Mapping
from typing import Any

from graphql import GraphQLError

from loket import tracing
from loket.database import NOT_NOW
from loket.errors import ErrorCode, Failed, ManyRefused, Refused

logger = logging.getLogger(__name__)

INTERNAL = "INTERNAL"


def refusal(fault: Refused, language: str) -> dict[str, Any]:
    """A refusal that concerns the whole request."""
    return {"message": fault.message(language), "extensions": {"code": fault.code.value}}


def presentable(fault: GraphQLError, language: str) -> dict[str, Any]:
    """`fault` as clients may see it: ours are masked, and logged with the trace id that they get."""
    cause = fault.original_error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    if isinstance(cause, ManyRefused):
        cause = cause.refusals[0]
    if isinstance(cause, Refused):
        return _shown(fault, cause.message(language), {"code": cause.code.value})
    if isinstance(cause, Failed):
        # not its reason: another system's words may repeat what was asked of it
        logger.warning("%s: %s, HTTP %s", cause.system, type(cause).__name__, cause.http_status)
        return _shown(fault, "Another system does not answer now.", {"code": "SYSTEM_UNAVAILABLE"})
    if cause is None or isinstance(cause, GraphQLError):
        extensions = (
            {"code": "BAD_REQUEST"} | (getattr(cause, "extensions", None) or {}) | (fault.extensions or {})
        )
        return _shown(fault, fault.message, extensions)
    if isinstance(cause, NOT_NOW):
        return _shown(fault, **not_now(cause, language))
    trace_id = _trace_id()
    logger.error("%s at %s [%s]", type(cause).__name__, fault.path, trace_id, exc_info=cause)
    return _shown(fault, "Internal error", {"code": INTERNAL, "traceId": trace_id})


def not_now(cause: Exception, language: str) -> dict[str, Any]:
    """Our database cannot do it at this moment: the message and extensions of the error that says so."""
    trace_id = _trace_id()
    logger.error("the database does not answer: %s [%s]", type(cause).__name__, trace_id, exc_info=cause)
    refused = Refused(ErrorCode.SYSTEM_UNAVAILABLE, system="Loket")
    extensions = {"code": refused.code.value, "traceId": trace_id}
    return {"message": refused.message(language), "extensions": extensions}


def _trace_id() -> str:
    """Of the request: by it the log tells what went wrong."""
    return (tracing.current.get() or tracing.begun()).id


def _shown(fault: GraphQLError, message: str, extensions: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"message": message}
    if fault.locations:
        shown["locations"] = [{"line": one.line, "column": one.column} for one in fault.locations]
    if fault.path is not None:
        shown["path"] = fault.path
    return shown | {"extensions": dict(extensions)}


def formatted(fault: GraphQLError) -> dict[str, Any]:
    return _shown(fault, fault.message, {"code": "BAD_REQUEST"} | (fault.extensions or {}))


def input_fault(fault: GraphQLError) -> GraphQLError:
    return GraphQLError(fault.message, fault.nodes, extensions={"code": "BAD_USER_INPUT"})


def wrong_kind(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": "OPERATION_NOT_ALLOWED"})

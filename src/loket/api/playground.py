"""The workbench that a browser gets at `GET /graphql`: GraphiQL with its explorer and worked examples.

Everything comes from this server: the bundle under `graphiql/` is built by `scripts/graphiql/build` and
committed, so that it works without network and under a policy that admits no other host.
"""

import gzip
import mimetypes
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from loket.app import SHIPPED

_BUNDLE = Path(__file__).parent / "graphiql"
_EXAMPLES = SHIPPED / "examples.json"
_ASSETS = {file.name.removesuffix(".gz"): file for file in (_BUNDLE / "assets").iterdir()}

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # the editor positions its lines with style attributes
        "img-src 'self' data:",  # squiggles and arrows in the editor's style sheet
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def wants_page(request: Request) -> bool:
    """True for a person who opens the endpoint in a browser, false for a client with a query."""
    return (
        request.method in {"GET", "HEAD"}
        and "query" not in request.query_params
        and "text/html" in request.headers.get("accept", "")
    )


def page() -> Response:
    return FileResponse(
        _BUNDLE / "index.html",
        media_type="text/html",
        headers=_HEADERS | {"Cache-Control": "no-cache", "Vary": "Accept"},
    )


def routes() -> list[Route]:
    """The files behind the page; `GET /graphql` itself belongs to the API, which asks `wants_page`."""
    return [Route("/graphiql/assets/{name}", _asset), Route("/graphiql/examples.json", _examples)]


async def _examples(request: Request) -> Response:
    """The tabs the workbench opens with: name, query, variables, headers. They apply for what is shipped."""
    return FileResponse(_EXAMPLES, media_type="application/json", headers={"Cache-Control": "no-cache"})


async def _asset(request: Request) -> Response:
    """A file of the bundle. Its name changes with its content, so a browser may keep it for good."""
    name = request.path_params["name"]
    file = _ASSETS.get(name)
    if file is None:
        return Response(status_code=404)
    headers = _HEADERS | {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if file.suffix != ".gz":
        return FileResponse(file, media_type=media_type, headers=headers)
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(gzip.decompress(file.read_bytes()), media_type=media_type, headers=headers)
    return FileResponse(file, media_type=media_type, headers=headers | {"Content-Encoding": "gzip"})

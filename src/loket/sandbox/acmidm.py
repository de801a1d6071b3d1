"""ACM/IDM in small."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.sandbox.state import State
from loket.sandbox.system import Config, System


def app(config: Config, state: State) -> Starlette:
    issuer = config.url("acmidm") + "/op"

    async def discovery(request: Request) -> Response:
        return JSONResponse({"issuer": issuer})

    return Starlette(routes=[Route("/op/.well-known/openid-configuration", discovery)])


SYSTEM = System(name="acmidm", title="ACM/IDM", offset=1, app=app)

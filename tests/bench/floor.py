"""The floors: bare applications that parse the body with orjson, and answer with a constant or send it back.

They run under the same server and the same garbage collector settings as Tocsin, so that the ratio between
it and a floor is the cost of the medicine alone.
"""

import orjson
from fastapi import FastAPI, Request, Response
from starlette.applications import Starlette
from starlette.routing import Route

from service.runtime import tune_gc

__all__ = ["constant", "echo"]

_ANSWER = orjson.dumps({"cards": []})


def constant() -> FastAPI:
    """FastAPI that answers with no cards, for uvicorn's factory mode."""
    app = FastAPI()

    @app.post("/cds-services/{service_id}")
    async def answer(service_id: str, request: Request) -> Response:
        orjson.loads(await request.body())
        return Response(_ANSWER, media_type="application/json")

    tune_gc()
    return app


def echo() -> Starlette:
    """Starlette that sends back what it has read, for uvicorn's factory mode."""

    async def answer(request: Request) -> Response:
        return Response(orjson.dumps(orjson.loads(await request.body())), media_type="application/json")

    tune_gc()
    return Starlette(routes=[Route("/cds-services/{service_id}", answer, methods=["POST"])])

"""The floor: a bare FastAPI application that parses the body with orjson and answers with a constant.

It runs under the same server and the same garbage collector settings as Tocsin, so that the ratio between the
two is the cost of the medicine alone.
"""

import orjson
from fastapi import FastAPI, Request, Response

from service.runtime import tune_gc

__all__ = ["create"]

_ANSWER = orjson.dumps({"cards": []})


def create() -> FastAPI:
    """The application, for uvicorn's factory mode."""
    app = FastAPI()

    @app.post("/cds-services/{service_id}")
    async def constant(service_id: str, request: Request) -> Response:
        orjson.loads(await request.body())
        return Response(_ANSWER, media_type="application/json")

    tune_gc()
    return app

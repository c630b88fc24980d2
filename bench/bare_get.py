"""The limit for a pull: a FastAPI route that returns bytes which are ready. ``python -m bench.bare_get PORT``."""

import sys

import uvicorn
from fastapi import FastAPI, Response

app = FastAPI()
_READY = b'{"ok":true}'


@app.get("/readyz")
async def ready() -> Response:
    return Response(_READY, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )

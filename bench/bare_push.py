"""The limit for a push: a bare FastAPI route that validates the same body and stores nothing. ``python -m bench.bare_push PORT``."""

import sys

import uvicorn
from fastapi import FastAPI

from reconciler.model.observation import PushBody

app = FastAPI()


@app.post("/api/v1/agents/{agent_id}/push")
async def push(agent_id: str, body: PushBody) -> dict[str, bool]:
    return {"ok": bool(agent_id and body.containers)}


@app.get("/readyz")
async def ready() -> dict[str, bool]:
    return {"ok": True}


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

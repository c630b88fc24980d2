"""The limit for a push: a bare FastAPI route that validates the same body and stores nothing. ``python -m bench.bare_push PORT``."""

from fastapi import FastAPI

from bench.serving import serve_bare
from reconciler.model.observation import PushBody

app = FastAPI()


@app.post("/api/v1/agents/{agent_id}/push")
async def push(agent_id: str, body: PushBody) -> dict[str, bool]:
    return {"ok": bool(agent_id and body.containers)}


@app.get("/readyz")
async def ready() -> dict[str, bool]:
    return {"ok": True}


if __name__ == "__main__":
    serve_bare(app)

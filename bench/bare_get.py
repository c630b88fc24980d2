"""The limit for a pull: a FastAPI route that returns bytes which are ready. ``python -m bench.bare_get PORT``."""

from fastapi import FastAPI, Response

from bench.serving import serve_bare

app = FastAPI()
_READY = b'{"ok":true}'


@app.get("/readyz")
async def ready() -> Response:
    return Response(_READY, media_type="application/json")


if __name__ == "__main__":
    serve_bare(app)

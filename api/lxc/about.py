"""`/health/check` and `/routes` of the LXC API."""

from fastapi import APIRouter

from api.auth import HasServer
from api.lxc.asking import Reader
from api.lxc.schemas import Health, Routes, RouteView

router = APIRouter(tags=["LXC"])

_ROUTES = {
    "/health/check": "GET",
    "/metrics": "GET",
    "/routes": "GET",
    "/scale/cores": "POST",
    "/scale/ram": "POST",
    "/scale/storage/increase": "POST",
    "/snapshot/create": "POST",
    "/snapshot/list": "GET",
    "/snapshot/rollback": "POST",
    "/clone/create": "POST",
    "/clone/delete": "DELETE",
    "/resource/vm/status": "GET",
    "/resource/vm/config": "GET",
    "/resource/node/status": "GET",
}
"""As the document lists them; a test holds them against the routes that there are."""


@router.get("/health/check", summary="Whether the API answers")
async def health_check(server: HasServer) -> Health:
    """Needs no credentials, and asks nothing of Proxmox VE."""
    return Health(timestamp=server.clock())


@router.get("/routes", summary="List routes")
async def list_routes(_principal: Reader) -> Routes:
    """All of the LXC API."""
    return Routes(routes=[RouteView(endpoint=path, methods=[method]) for path, method in _ROUTES.items()])

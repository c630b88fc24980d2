"""What every route of the Actions API but ``POST /action/config/sync`` goes through first: the licence.

``router = APIRouter(tags=["actions"], dependencies=[needs_licence])``; 402 is then documented by :mod:`api.document`.
"""

import anyio
from fastapi import Depends, Request, params
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from api.auth import porter_of
from api.licence import Licensing

SCHEME = "licence"


class Licensed(SecurityBase):
    """Lets a request go on, or not; without a licence in the settings nothing is looked up.

    FastAPI sees a security scheme of this name, which :mod:`api.document` turns into the answer 402.
    """

    def __init__(self) -> None:
        self.scheme_name = SCHEME
        self.model = HTTPBearer()

    async def __call__(self, request: Request) -> None:
        """:raises PaymentRequired: when the licence does not cover what the caller's organization has.

        :raises Unauthorized: without a valid key or user's token. :raises TooManyRequests: over the rate limit.
        """
        licensing = request.app.state.licensing
        assert isinstance(licensing, Licensing)
        if licensing.limited:
            principal = await porter_of(request).principal(request)
            await anyio.to_thread.run_sync(licensing.check, principal.organization)


needs_licence: params.Depends = Depends(Licensed())

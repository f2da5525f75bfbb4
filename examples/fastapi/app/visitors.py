"""Who is asking: a client with the visitor's own session, for each request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from picobase import AsyncClient, SessionExpiredError, UnauthorizedError

bearer = HTTPBearer(auto_error=False, description="A token of the collection `users`, as PocketBase gives it.")


@dataclass(frozen=True)
class Visitor:
    """Somebody who sent a request.

    Attributes:
        client: What it asks, it asks as the visitor.
        id: The visitor's id in `users`; empty for guests.
    """

    client: AsyncClient
    id: str = ""


async def visitor(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Visitor:
    """The visitor whose token came with the request, or a guest.

    PocketBase takes whoever sends a bad token for a guest, who then finds nothing and does not learn why. So the
    instance is asked about each token, and what it answers can be relied on.

    Raises:
        SessionExpiredError: The token is wrong, or no longer good.
    """
    shared: AsyncClient = request.app.state.picobase
    if credentials is None:
        return Visitor(shared.with_session(None))
    client = shared.with_session(credentials.credentials)
    session = await client.auth.refresh()
    if session.record.get("collectionName") != "users":
        # A superuser's, perhaps: this service is no way around the rules.
        raise SessionExpiredError("The token is of no member of this service.")
    return Visitor(client, session.user_id)


AnyVisitor = Annotated[Visitor, Depends(visitor)]


async def member(visitor: AnyVisitor) -> Visitor:
    """The visitor, who must be signed in.

    Raises:
        UnauthorizedError: It is a guest.
    """
    if not visitor.id:
        raise UnauthorizedError("Send a token: Authorization: Bearer …")
    return visitor


Member = Annotated[Visitor, Depends(member)]

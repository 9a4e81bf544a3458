"""Live events on a websocket."""

from fastapi import APIRouter, WebSocket

from layerkit import ConnectionManager
from layerkit.fastapi import Inject

router = APIRouter()


@router.websocket("/ws/{client_id}")
async def live(
    websocket: WebSocket, client_id: str, connections: Inject[ConnectionManager]
) -> None:
    """Send events as they happen, until the client goes.

    Where clients log in, take the id from their session, not from the path.
    """
    await connections.connect(websocket, client_id)
    try:
        # What a client says is ignored; its going must be noticed.
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
    finally:
        connections.disconnect(websocket, client_id)

"""Realtime: live messages to connected clients over websockets."""

from layerkit.realtime.connection import WebSocket
from layerkit.realtime.connections import ConnectionManager
from layerkit.realtime.service import RealtimeService

__all__ = ["ConnectionManager", "RealtimeService", "WebSocket"]

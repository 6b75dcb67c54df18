"""Bytes: the HTTP server and pool, watch framing, WebSocket, SPDY, upgrades; the Handler door."""

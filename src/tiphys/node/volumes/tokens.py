"""
Service-account tokens of pods: asked for once, kept in memory, renewed before they expire.

A token is renewed after 80 % of its life or a day, whichever comes first, as the kubelet does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.api.errors import StatusError
from tiphys.api.objects import parse_timestamp
from tiphys.node.volumes.context import Context, VolumeProblem

RENEW_AFTER_SECONDS_MAX = 24 * 3600
RENEW_AFTER_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Token:
    """`expires` is the time as the API wrote it."""

    value: str
    renew_at: float
    expires: str = ""


class Tokens:
    """By pod uid, account, audience and life time."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str, str, int], Token] = {}

    async def get(self, context: Context, source: Mapping[str, Any]) -> Token:
        """The token for one serviceAccountToken projection, or for what a storage driver asks for."""
        account = context.pod["spec"].get("serviceAccountName") or "default"
        seconds = int(source.get("expirationSeconds") or 3600)
        key = (context.uid, account, source.get("audience") or "", seconds)
        held = self._held.get(key)
        if held is None or context.now() >= held.renew_at:
            held = self._held[key] = await self._ask(context, account, source.get("audience") or "", seconds)
        return held

    def renew_at(self, uid: str) -> float:
        """When the first token of a pod is to be renewed; 0.0 when it has none."""
        return min((token.renew_at for key, token in self._held.items() if key[0] == uid), default=0.0)

    def forget(self, uid: str) -> None:
        for key in [key for key in self._held if key[0] == uid]:
            del self._held[key]

    async def _ask(self, context: Context, account: str, audience: str, seconds: int) -> Token:
        meta = context.pod["metadata"]
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]},
            },
        }
        asked_at = context.now()
        try:
            answer = await context.objects.token(context.namespace, account, request)
        except StatusError as error:
            raise VolumeProblem(f"failed to fetch token: {error}") from error
        life = parse_timestamp(answer["status"]["expirationTimestamp"]) - asked_at
        wait = min(life * RENEW_AFTER_SHARE, RENEW_AFTER_SECONDS_MAX)
        return Token(answer["status"]["token"], asked_at + wait, answer["status"]["expirationTimestamp"])

"""TokenReview and SelfSubjectReview: who is that, and who am I?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.api import errors
from tiphys.api.objects import timestamp
from tiphys.apiserver.authn.authenticator import Authenticator
from tiphys.apiserver.call import Call, Object, Review
from tiphys.pki.tokens import TokenRejected
from tiphys.wire.messages import Identity

GROUP = "authentication.k8s.io"


def reviews(authenticator: Authenticator, now: Callable[[], float]) -> dict[tuple[str, str], Review]:
    """The reviews by (group, resource)."""

    async def token(call: Call, obj: Object) -> Object:
        spec = obj.get("spec") or {}
        if not spec.get("token"):
            raise errors.bad_request("token is required for TokenReview in authentication")
        asked = tuple(spec.get("audiences") or ())
        try:
            identity, meant = authenticator.review(spec["token"], asked)
        except TokenRejected as rejected:
            obj["status"] = {"user": {}, "error": _error(str(rejected))}
            return obj
        obj["status"] = {"authenticated": True, "user": user_info(identity), "audiences": list(meant)}
        return obj

    async def self_(call: Call, obj: Object) -> Object:
        obj["metadata"] = {"creationTimestamp": timestamp(now())}
        obj["status"] = {"userInfo": user_info(call.user)}
        return obj

    return {(GROUP, "tokenreviews"): token, (GROUP, "selfsubjectreviews"): self_}


def user_info(identity: Identity) -> dict[str, Any]:
    """An identity as reviews tell it."""
    told: dict[str, Any] = {"username": identity.name}
    if identity.uid:
        told["uid"] = identity.uid
    if identity.groups:
        told["groups"] = list(identity.groups)
    if identity.extra:
        told["extra"] = {key: list(values) for key, values in sorted(identity.extra.items())}
    return told


def _error(why: str) -> str:
    """Kubernetes tells audiences; what else is wrong with a token is nobody's business."""
    if "audiences" in why:
        return f"[invalid bearer token, {why}]"
    return "invalid bearer token"

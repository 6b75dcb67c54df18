"""TokenRequest (`serviceaccounts/NAME/token`): a new token for an account, bound to a pod, a Secret or a node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.api import errors, storage
from tiphys.api.objects import timestamp
from tiphys.api.validation.fields import FieldError, invalid
from tiphys.apiserver.authn.accounts import AccountTokens, Bound
from tiphys.apiserver.authn.groups import node_of
from tiphys.apiserver.call import Call, Object, Reader, Review

SECONDS_MIN, SECONDS_MAX = 600, 1 << 32
DEFAULT_SECONDS = 3600
_BOUND = {("v1", "Pod"): ("pod", "pods"), ("v1", "Secret"): ("secret", "secrets"), ("v1", "Node"): ("node", "nodes")}


def reviews(tokens: AccountTokens, reader: Reader, now: Callable[[], float]) -> dict[tuple[str, str], Review]:
    """The review by (group, resource/subresource)."""

    async def request(call: Call, obj: Object) -> Object:
        account = reader.get("", "serviceaccounts", call.namespace, call.name)
        if account is None:
            raise errors.not_found("serviceaccounts", "", call.name)
        metadata, spec = obj["metadata"], obj.setdefault("spec", {})
        if metadata.get("name", call.name) not in ("", call.name):
            why = "must match the service account name if specified"
            raise _refused(call.name, invalid("metadata.name", metadata["name"], why))
        node = node_of(call.user)
        if node:
            _restrict_node(reader, call, node, spec)
        spec["audiences"] = list(spec.get("audiences") or tokens.audiences)
        seconds = spec.setdefault("expirationSeconds", DEFAULT_SECONDS)
        _check_seconds(seconds)
        bound = _bound(reader, call, account, spec.get("boundObjectRef"))
        spec.setdefault("boundObjectRef", None)
        token, renew = tokens.issue(account, spec["audiences"], seconds, bound, now())
        about = account["metadata"]
        filled = {"name": about["name"], "namespace": about["namespace"], "uid": about["uid"]}
        obj["metadata"] = filled | {"creationTimestamp": timestamp(now())} | _managed(metadata)
        obj["status"] = {"token": token, "expirationTimestamp": timestamp(renew)}
        return obj

    return {("", "serviceaccounts/token"): request}


def _restrict_node(reader: Reader, call: Call, node: str, spec: Object) -> None:
    """A node agent gets tokens for pods on its node only, and for audiences that those pods ask for."""

    def refused(why: str) -> errors.StatusError:
        return errors.forbidden("serviceaccounts", "", call.name, why)

    reference = spec.get("boundObjectRef") or {}
    if (reference.get("apiVersion"), reference.get("kind")) != ("v1", "Pod"):
        raise refused("node requested token not bound to a pod")
    if not reference.get("uid"):
        raise refused("node requested token with a pod binding without a uid")
    pod = reader.get("", "pods", call.namespace, reference.get("name", ""))
    if pod is None:
        raise errors.not_found("pods", "", reference.get("name", ""))
    if pod["spec"].get("nodeName") != node:
        raise refused("node requested token bound to a pod scheduled on a different node")
    meant = _audiences_of(pod) | _audiences_of_drivers(reader, pod)
    for audience in spec.get("audiences") or ("",):
        if audience not in meant:
            raise refused(f'audience "{audience}" not found in pod spec volume')


def _audiences_of(pod: Object) -> set[str]:
    """The audiences of the pod's projected tokens; empty for the API server's own."""
    sources = [s for v in pod["spec"].get("volumes") or () for s in (v.get("projected") or {}).get("sources") or ()]
    return {
        source["serviceAccountToken"].get("audience", "") for source in sources if source.get("serviceAccountToken")
    }


def _audiences_of_drivers(reader: Reader, pod: Object) -> set[str]:
    """Those for which the drivers of the pod's volumes ask in their CSIDriver objects."""
    drivers = {(volume.get("csi") or {}).get("driver") for volume in pod["spec"].get("volumes") or ()}
    namespace = pod["metadata"]["namespace"]
    for name in storage.claim_names(pod):
        claim = reader.get("", "persistentvolumeclaims", namespace, name) or {}
        held = (claim.get("spec") or {}).get("volumeName")
        volume = (reader.get("", "persistentvolumes", "", held) if held else None) or {}
        drivers.add(((volume.get("spec") or {}).get("csi") or {}).get("driver"))
    found = (reader.get("storage.k8s.io", "csidrivers", "", name) for name in drivers if name)
    requests = (one for driver in found if driver for one in driver["spec"].get("tokenRequests") or ())
    return {one.get("audience", "") for one in requests}


def _managed(metadata: Object) -> Object:
    return {"managedFields": metadata["managedFields"]} if metadata.get("managedFields") else {}


def _refused(name: str, error: FieldError) -> errors.StatusError:
    return errors.invalid("TokenRequest", "authentication.k8s.io", name, [str(error)], [error.cause])


def _check_seconds(seconds: int) -> None:
    field = "spec.expirationSeconds"
    if seconds < SECONDS_MIN:
        raise _refused("", invalid(field, seconds, "may not specify a duration less than 10 minutes"))
    if seconds > SECONDS_MAX:
        raise _refused("", invalid(field, seconds, "may not specify a duration larger than 2^32 seconds"))


def _bound(reader: Reader, call: Call, account: Object, reference: Any) -> list[Bound]:
    """What the token is bound to; a pod's token tells its node too."""
    if not reference:
        return []
    version, kind, name = reference.get("apiVersion", ""), reference.get("kind", ""), reference.get("name", "")
    known = _BOUND.get((version, kind))
    if known is None:
        group_version = version if "/" in version else f"{version}"
        raise errors.bad_request(f"cannot bind token to object of type {group_version}, Kind={kind}")
    claim, plural = known
    obj = reader.get("", plural, "" if plural == "nodes" else call.namespace, name)
    if obj is None:
        raise errors.not_found(plural, "", name)
    uid = obj["metadata"]["uid"]
    if reference.get("uid") and reference["uid"] != uid:
        why = (
            f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
            "The object might have been deleted and then recreated"
        )
        raise errors.conflict(kind, "", name, why)
    found = [Bound(claim, name, uid)]
    if claim == "pod":
        found += _node_of(reader, account, obj)
    return found


def _node_of(reader: Reader, account: Object, pod: Object) -> list[Bound]:
    name = account["metadata"]["name"]
    if pod["spec"].get("serviceAccountName") != name:
        text = f'cannot bind token for serviceaccount "{name}" to pod running with different serviceaccount name.'
        raise errors.bad_request(text)
    node_name = pod["spec"].get("nodeName")
    if not node_name:
        return []
    node = reader.get("", "nodes", "", node_name)
    return [Bound("node", node_name, node["metadata"]["uid"] if node is not None else "")]

"""What a pod's spec means for running it: kinds of containers, restart rules, grace. Pure functions on the object."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api import pods

Object = dict[str, Any]

# Where a pod comes from; without it from the API.
SOURCE = "kubernetes.io/config.source"
# The kubelet never gives less, so that a container has the chance to end by itself.
GRACE_SECONDS_MIN = 2


def init_containers(pod: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return pod["spec"].get("initContainers") or ()


def main_containers(pod: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return pod["spec"].get("containers") or ()


def all_containers(pod: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [*init_containers(pod), *main_containers(pod)]


def ephemeral_containers(pod: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Added to a running pod by `kubectl debug`: run once, and nothing depends on them."""
    return pod["spec"].get("ephemeralContainers") or ()


def every_container(pod: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The ephemeral ones too."""
    return [*all_containers(pod), *ephemeral_containers(pod)]


def container_of(pod: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """The container of that name, of whatever sort."""
    return next((container for container in every_container(pod) if container["name"] == name), None)


def field_path(pod: Mapping[str, Any], name: str) -> str:
    """What events about a container point at: `spec.containers{web}`."""
    sorts = (("initContainers", init_containers(pod)), ("ephemeralContainers", ephemeral_containers(pod)))
    sort = next((sort for sort, some in sorts if any(c["name"] == name for c in some)), "containers")
    return f"spec.{sort}{{{name}}}"


def is_static(pod: Mapping[str, Any]) -> bool:
    """Whether it is from a file of the node's own: no object in the API is it."""
    return bool((pod["metadata"].get("annotations") or {}).get(SOURCE, "api") != "api")


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """True of an *init* container that is to run as long as the pod."""
    return container.get("restartPolicy") == "Always"


def restart_policy(pod: Mapping[str, Any]) -> str:
    return pod["spec"].get("restartPolicy") or "Always"


def grace_seconds(pod: Mapping[str, Any]) -> int:
    """How long a container may take to end when the pod as a whole is not in a hurry."""
    seconds = pod["spec"].get("terminationGracePeriodSeconds")
    return 30 if seconds is None else int(seconds)


def deletion_grace_seconds(pod: Mapping[str, Any]) -> int:
    """The grace of a pod that is deleted; it may have been shortened since."""
    seconds = pod["metadata"].get("deletionGracePeriodSeconds")
    return grace_seconds(pod) if seconds is None else int(seconds)


def should_restart(pod: Mapping[str, Any], container: Mapping[str, Any], exit_code: int) -> bool:
    """Whether a container that ended so is run again (its own rules first, then the pod's policy)."""
    if any(container is other for other in ephemeral_containers(pod)):
        return False
    is_init = any(container is other for other in init_containers(pod))
    if pods.restart_rule(container, exit_code):
        return True
    policy = container.get("restartPolicy") or restart_policy(pod)
    if policy == "Always":
        # An init container is done once it has succeeded.
        return is_sidecar(container) or not is_init or exit_code != 0
    return policy == "OnFailure" and exit_code != 0


def spec_hash(container: Mapping[str, Any]) -> str:
    """Changes when the container must be run anew: for another image, or other resources where it asks for that."""
    words = [container["name"], container.get("image", "")]
    resources = container.get("resources") or {}
    for policy in container.get("resizePolicy") or ():
        if policy.get("restartPolicy") == "RestartContainer":
            name = policy["resourceName"]
            words += [name, *(str((resources.get(part) or {}).get(name, "")) for part in ("requests", "limits"))]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def run_id(pod_uid: str, name: str, attempt: int) -> str:
    """The id of one run. Made from what it is, so that the same run can never be begun twice."""
    return hashlib.sha256(f"{pod_uid}/{name}/{attempt}".encode()).hexdigest()


def described(pod: Mapping[str, Any]) -> str:
    """`web_shop(uid)`, as messages name a pod."""
    meta = pod["metadata"]
    return f"{meta['name']}_{meta.get('namespace', '')}({meta.get('uid', '')})"

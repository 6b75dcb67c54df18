"""
A manifest in the node's directory as a pod, and the mirror pod by which the API shows it. Pure.

What the API does to a pod on its way in (types, defaults, validation) is done here, because no API may be there. A
static pod refers to nothing in the API: no service account, ConfigMap, Secret, claim or resource claim.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tiphys.api import codec, conform, defaults, resources, schema, validation
from tiphys.api.objects import timestamp
from tiphys.api.pods import qos_class_of
from tiphys.node.pod.spec import SOURCE
from tiphys.node.volumes.volumes import references

Object = dict[str, Any]

HASH, MIRROR, SEEN = "kubernetes.io/config.hash", "kubernetes.io/config.mirror", "kubernetes.io/config.seen"
FILE = "file"
# As many letters as those of Kubernetes have; they become names of directories and cgroups.
HASH_LENGTH = 32
# The classes that are in every cluster; others are known to the API alone.
PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


class ManifestError(Exception):
    """Why a file is no pod that this node could run."""


def read(content: bytes, path: str, node_name: str, now: float) -> Object:
    """The pod that a file says, bound to the node. ManifestError."""
    pod = _typed(content)
    meta = pod.setdefault("metadata", {})
    if not meta.get("name"):
        raise ManifestError("metadata.name is required")
    # Before anything is added: the same file must be the same pod for every agent.
    said = json.dumps([node_name, path, pod["metadata"], pod["spec"]], sort_keys=True)
    uid = hashlib.sha256(said.encode()).hexdigest()[:HASH_LENGTH]
    resource = resources.get("", "v1", "pods")
    meta |= {"name": f"{meta['name']}-{node_name}", "namespace": meta.get("namespace") or "default", "uid": uid}
    annotations = {**(meta.get("annotations") or {}), HASH: uid, SOURCE: FILE, SEEN: timestamp(now)}
    pod["metadata"] = {**meta, "annotations": annotations, "creationTimestamp": timestamp(now)}
    pod["spec"]["nodeName"] = node_name
    _tolerate(pod["spec"])
    defaults.set_defaults(resource, pod)
    _refuse_references(pod)
    errors = validation.validate_create(resource, pod)
    if errors:
        raise ManifestError("; ".join(str(error) for error in errors))
    if pod["spec"].get("priorityClassName") in PRIORITIES:
        pod["spec"]["priority"] = PRIORITIES[pod["spec"]["priorityClassName"]]
    pod["status"] = {"phase": "Pending", "qosClass": qos_class_of(pod["spec"])}
    return pod


def _typed(content: bytes) -> Object:
    message = schema.message_of("", "v1", "Pod")
    assert message is not None
    try:
        raw = codec.parse(content, "application/yaml").object
        if (raw.get("apiVersion"), raw.get("kind")) != ("v1", "Pod"):
            raise ManifestError(f"it is a {raw.get('apiVersion')} {raw.get('kind')}, not a v1 Pod")
        found = conform.conform(raw, message)
    except (codec.CodecError, conform.ConformError) as error:
        raise ManifestError(str(error)) from error
    if found.unknown:
        raise ManifestError(f"unknown fields: {', '.join(map(str, found.unknown))}")
    if not isinstance(found.object.get("spec"), dict):
        raise ManifestError("spec is required")
    return found.object


def _tolerate(spec: Object) -> None:
    """No taint drives away what the node itself runs."""
    every = {"operator": "Exists", "effect": "NoExecute"}
    known = spec.get("tolerations") or []
    spec["tolerations"] = known if every in known else [*known, every]


def _refuse_references(pod: Object) -> None:
    spec = pod["spec"]
    named = {ref.kind for ref in references(pod)}
    if spec.get("serviceAccountName"):
        named.add("serviceaccounts")
    if spec.get("imagePullSecrets"):
        named.add("secrets")
    if spec.get("resourceClaims"):
        named.add("resourceclaims")
    for volume in spec.get("volumes") or ():
        if volume.get("persistentVolumeClaim") or volume.get("ephemeral"):
            named.add("persistentvolumeclaims")
        if any(part.get("serviceAccountToken") for part in (volume.get("projected") or {}).get("sources") or ()):
            named.add("serviceaccounts")
    if named:
        raise ManifestError(f"static pods may not reference {', '.join(sorted(named))}")


def is_mirror(pod: Mapping[str, Any] | None) -> bool:
    return pod is not None and MIRROR in (pod["metadata"].get("annotations") or {})


def is_mirror_of(mirror: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    return bool(mirror["metadata"]["annotations"][MIRROR] == pod["metadata"]["uid"])


def mirror_of(pod: Mapping[str, Any], node: Mapping[str, Any]) -> Object:
    """What is created in the API. It goes with the Node."""
    meta = pod["metadata"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": node["metadata"]["name"], "uid": node["metadata"]["uid"]}
    metadata = {
        "name": meta["name"],
        "namespace": meta["namespace"],
        "annotations": {**meta["annotations"], MIRROR: meta["uid"]},
        "ownerReferences": [{**owner, "controller": True}],
    }
    if meta.get("labels"):
        metadata["labels"] = meta["labels"]
    # The API knows the number of the class itself, and compares.
    spec = {name: value for name, value in pod["spec"].items() if name != "priority"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

"""What makes a StatefulSet's pod that very pod: its ordinal, name, labels, host name and claims."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import labels_of, name_of, namespace_of
from tiphys.reconcile.history import POD_REVISION, template_of
from tiphys.reconcile.pod_template import pod_from

Object = dict[str, Any]

STATEFULSETS = resources.get("apps", "v1", "statefulsets")
CLAIMS = resources.get("", "v1", "persistentvolumeclaims")
PODS = resources.get("", "v1", "pods")

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"

_NAME = re.compile(r"(.+)-(\d+)")


def ordinals(statefulset: Mapping[str, Any]) -> range:
    """Those that are wanted."""
    spec = statefulset["spec"]
    start = int((spec.get("ordinals") or {}).get("start") or 0)
    return range(start, start + int(spec["replicas"]))


def ordinal_of(statefulset: Mapping[str, Any], pod: Mapping[str, Any]) -> int | None:
    """The ordinal that the pod's name says; None if it is no pod of that set."""
    found = _NAME.fullmatch(name_of(pod))
    if found is None or found[1] != name_of(statefulset) or str(int(found[2])) != found[2]:
        return None
    return int(found[2])


def pod_name(statefulset: Mapping[str, Any], ordinal: int) -> str:
    return f"{name_of(statefulset)}-{ordinal}"


def claim_names(statefulset: Mapping[str, Any], pod: str) -> dict[str, str]:
    """Volume name → claim name of the pod of that name."""
    templates = statefulset["spec"].get("volumeClaimTemplates") or ()
    return {template["metadata"]["name"]: f"{template['metadata']['name']}-{pod}" for template in templates}


def new_pod(statefulset: Object, revision: Mapping[str, Any], ordinal: int) -> Object:
    """The pod with that ordinal, from the template of `revision`."""
    pod = pod_from(template_of(revision), statefulset)
    name = pod_name(statefulset, ordinal)
    meta = {key: value for key, value in pod["metadata"].items() if key != "generateName"} | {"name": name}
    meta["labels"] = {**labels_of(pod), **identity_labels(name, ordinal), POD_REVISION: name_of(revision)}
    spec = {**pod["spec"], "hostname": name}
    if statefulset["spec"].get("serviceName"):
        spec["subdomain"] = statefulset["spec"]["serviceName"]
    volumes = _volumes(statefulset, name, spec.get("volumes") or ())
    if volumes:
        spec["volumes"] = volumes
    return {**pod, "metadata": meta, "spec": spec}


def identity_labels(name: str, ordinal: int) -> dict[str, str]:
    return {POD_NAME: name, POD_INDEX: str(ordinal)}


def _volumes(statefulset: Object, pod: str, said: Iterable[Object]) -> list[Object]:
    """Claims take the place of the template's volumes of the same names."""
    claimed = claim_names(statefulset, pod)
    kept = [volume for volume in said if volume["name"] not in claimed]
    return kept + [{"name": volume, "persistentVolumeClaim": {"claimName": name}} for volume, name in claimed.items()]


def new_claims(statefulset: Object, pod: str) -> list[Object]:
    """The claims of the pod of that name, as their templates say."""
    claims = []
    selected = (statefulset["spec"].get("selector") or {}).get("matchLabels") or {}
    for template in statefulset["spec"].get("volumeClaimTemplates") or ():
        meta = template["metadata"]
        made = {
            "name": f"{meta['name']}-{pod}",
            "namespace": namespace_of(statefulset),
            "labels": {**(meta.get("labels") or {}), **selected},
        }
        if meta.get("annotations"):
            made["annotations"] = meta["annotations"]
        claims.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": made, "spec": template["spec"]})
    return claims

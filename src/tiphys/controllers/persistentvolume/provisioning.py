"""
Have a volume made for a claim: by the provisioner that its class names, or here for `tiphys.io/local-path`. Pure.

A local-path volume is only an object at first: where its data are to lie follows from its name, and the node makes
them when the first pod comes. So nothing can be left behind by a crash between the two. It is made with the claim's
reference in it, and its name comes from the claim's uid: provisioning twice gives one volume.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import annotations_of, name_of, namespace_of, uid_of
from tiphys.api.storage import (
    BOUND_BY_CONTROLLER,
    LOCAL_PATH,
    NODE_LABEL,
    PROVISIONED_BY,
    PROVISIONER,
    PROVISIONER_BETA,
    SELECTED_NODE,
    mode_of,
)
from tiphys.reconcile.commands import Announce, Command, Create, Say, Update

Object = dict[str, Any]
StorageClass = Mapping[str, Any]

CLAIMS = resources.get("", "v1", "persistentvolumeclaims")
VOLUMES = resources.get("", "v1", "persistentvolumes")

IN_TREE = "kubernetes.io/"
# One node holds the data: only those modes are kept that promise no more.
LOCAL_MODES = ("ReadWriteOnce", "ReadWriteOncePod")


def plan(claim: Object, name: str, storage_class: StorageClass | None, node: Object | None) -> list[Command]:
    """For a claim that no volume fits. `node` is the selected one, None if nobody selected or it is gone."""
    if storage_class is None:
        return [_failed(claim, f'storageclass.storage.k8s.io "{name}" not found')]
    provisioner = str(storage_class["provisioner"])
    if provisioner == LOCAL_PATH:
        return _make(claim, storage_class, node)
    if provisioner.startswith(IN_TREE):
        return [_failed(claim, f"no volume plugin matched name: {provisioner}")]
    return _ask(claim, provisioner)


def _failed(claim: Object, text: str) -> Command:
    return Say(claim, "Warning", "ProvisioningFailed", text)


def _ask(claim: Object, provisioner: str) -> list[Command]:
    """A provisioner outside of the cluster's own parts sees its name in the annotations."""
    marks = annotations_of(claim)
    text = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
        "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
        "correctly registered."
    )
    said: list[Command] = [Say(claim, "Normal", "ExternalProvisioning", text)]
    if marks.get(PROVISIONER) == provisioner:
        return said
    wanted = {**marks, PROVISIONER: provisioner, PROVISIONER_BETA: provisioner}
    return [Update(CLAIMS, {**claim, "metadata": {**claim["metadata"], "annotations": wanted}}), *said]


# local-path


def _make(claim: Object, storage_class: StorageClass, node: Object | None) -> list[Command]:
    chosen = annotations_of(claim).get(SELECTED_NODE)
    if chosen and node is None:
        # The node is gone: the scheduler must choose another one.
        marks = {key: value for key, value in annotations_of(claim).items() if key != SELECTED_NODE}
        text = f'failed to get target node: nodes "{chosen}" not found'
        without = {**claim, "metadata": {**claim["metadata"], "annotations": marks}}
        return [_failed(claim, text), Update(CLAIMS, without)]
    why = _refusal(claim, storage_class, node)
    if why:
        name = storage_class["metadata"]["name"]
        return [_failed(claim, f'failed to provision volume with StorageClass "{name}": {why}')]
    assert node is not None
    volume = local_volume(claim, storage_class, node)
    done = f"Successfully provisioned volume {name_of(volume)} using {LOCAL_PATH}"
    failed = f'Error saving claim "{namespace_of(claim)}/{name_of(claim)}": {{error}}'
    told = Announce(claim, "ProvisioningSucceeded", done, "ProvisioningFailed", failed)
    return [Create(VOLUMES, volume, exists_ok=True, announce=told)]


def _refusal(claim: Object, storage_class: StorageClass, node: Object | None) -> str:
    """What local-path does not promise is refused, with what to do instead."""
    spec = claim["spec"]
    if storage_class.get("parameters"):
        return f'invalid option "{min(storage_class["parameters"])}" for volume plugin {LOCAL_PATH}'
    if spec.get("selector"):
        return "claim Selector is not supported"
    if spec.get("dataSource") or spec.get("dataSourceRef"):
        return f"{LOCAL_PATH} cannot fill a volume from a data source"
    modes = spec.get("accessModes") or ()
    if any(mode not in LOCAL_MODES for mode in modes):
        asked, known = " ".join(modes), " ".join(LOCAL_MODES)
        return f"invalid AccessModes [{asked}]: only AccessModes [{known}] are supported"
    if node is None:
        return "no node was selected: the volumeBindingMode of the class must be WaitForFirstConsumer"
    if LOCAL_PATH not in annotations_of(node):
        return f'node "{name_of(node)}" keeps no {LOCAL_PATH} volumes'
    return ""


def local_volume(claim: Object, storage_class: StorageClass, node: Object) -> Object:
    """The volume object: on that node, of the size that is asked for, kept until the node has removed the data."""
    name, host = f"pvc-{uid_of(claim)}", name_of(node)
    labels = node["metadata"].get("labels") or {}
    hostname = str(labels.get("kubernetes.io/hostname") or host)
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [hostname]}]}
    spec: Object = {
        "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        "accessModes": list(claim["spec"]["accessModes"]),
        "volumeMode": mode_of(claim),
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
        "storageClassName": storage_class["metadata"]["name"],
        "local": {"path": f"{annotations_of(node)[LOCAL_PATH]}/{name}/disk/data"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
        "claimRef": _reference(claim),
    }
    if storage_class.get("mountOptions"):
        spec["mountOptions"] = list(storage_class["mountOptions"])
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "labels": {NODE_LABEL: host},
            "annotations": {PROVISIONED_BY: LOCAL_PATH, BOUND_BY_CONTROLLER: "yes"},
            "finalizers": [LOCAL_PATH],
        },
        "spec": spec,
    }


def _reference(claim: Object) -> Object:
    reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace_of(claim)}
    version = claim["metadata"]["resourceVersion"]
    return reference | {"name": name_of(claim), "uid": uid_of(claim), "resourceVersion": version}

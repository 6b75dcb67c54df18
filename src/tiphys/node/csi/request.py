"""
What a pod's volume means for its driver. Pure: objects in, parts of requests out.

Names of attributes, the order of things and the texts are the kubelet's: drivers and users rely on them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiphys.api import quantity, storage
from tiphys.api.objects import name_of
from tiphys.node.csi import abilities
from tiphys.node.objects import Ref
from tiphys.node.volumes.context import Context, Volume, VolumeProblem

Object = dict[str, Any]

EPHEMERAL, PERSISTENT = "Ephemeral", "Persistent"
POD = "csi.storage.k8s.io/"
TOKENS = "csi.storage.k8s.io/serviceAccount.tokens"
DEFAULT_GROUP_POLICY = "ReadWriteOnceWithFSType"
# AccessMode.Mode of CSI.
SINGLE_WRITER, READERS, WRITERS, ONE_POD, ONE_NODE = 1, 3, 5, 6, 7


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    One volume of one pod. `name` is the volume's in the pod's directory: of the PersistentVolume, or as the pod has it.
    References to Secrets are None where there are none.
    """

    driver: str
    handle: str
    name: str
    mode: str
    read_only: bool = False
    is_block: bool = False
    fs_type: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    mount_options: Sequence[str] = ()
    access_modes: Sequence[str] = ()
    stage_secret: Ref | None = None
    publish_secret: Ref | None = None
    expand_secret: Ref | None = None
    capacity_bytes: int = 0


def of_inline(context: Context, volume: Volume) -> Wanted:
    """A volume that lives as long as its pod."""
    source = volume["csi"]
    handle = hashlib.sha256(f"{context.uid}{volume['name']}".encode()).hexdigest()
    return Wanted(
        source["driver"],
        f"csi-{handle}",
        volume["name"],
        EPHEMERAL,
        read_only=bool(source.get("readOnly")),
        fs_type=source.get("fsType") or "",
        attributes=source.get("volumeAttributes") or {},
        access_modes=("ReadWriteOnce",),
        publish_secret=_ref(source.get("nodePublishSecretRef"), context.namespace),
    )


def of_volume(volume: Mapping[str, Any], *, read_only: bool) -> Wanted:
    """A PersistentVolume that a pod's claim is bound to."""
    source = volume["spec"]["csi"]
    return Wanted(
        source["driver"],
        source["volumeHandle"],
        name_of(volume),
        PERSISTENT,
        read_only=read_only or bool(source.get("readOnly")),
        is_block=storage.mode_of(volume) == "Block",
        fs_type=source.get("fsType") or "",
        attributes=source.get("volumeAttributes") or {},
        mount_options=tuple(volume["spec"].get("mountOptions") or ()),
        access_modes=tuple(volume["spec"].get("accessModes") or ()),
        stage_secret=_ref(source.get("nodeStageSecretRef")),
        publish_secret=_ref(source.get("nodePublishSecretRef")),
        expand_secret=_ref(source.get("nodeExpandSecretRef")),
        capacity_bytes=quantity.value(str(volume["spec"]["capacity"]["storage"])),
    )


def _ref(source: Mapping[str, str] | None, namespace: str = "") -> Ref | None:
    return Ref("secrets", source.get("namespace") or namespace, source["name"]) if source else None


# the CSIDriver object; None where there is none


def check_mode(wanted: Wanted, driver: Mapping[str, Any] | None) -> None:
    """VolumeProblem where the driver does not do that sort of volume."""
    modes = ((driver or {}).get("spec") or {}).get("volumeLifecycleModes") or [PERSISTENT]
    if wanted.mode in modes:
        return
    why = f"only supports {json.dumps(modes)}" if driver is not None else "no CSIDriver object"
    text = f'volume mode "{wanted.mode}" not supported by driver {wanted.driver} ({why})'
    raise VolumeProblem(f"kubernetes.io/csi: mounter.SetUpAt failed to check volume lifecycle mode: {text}")


def needs_attachment(wanted: Wanted, driver: Mapping[str, Any] | None) -> bool:
    if wanted.mode == EPHEMERAL:
        return False
    required = ((driver or {}).get("spec") or {}).get("attachRequired")
    return required is None or bool(required)


def attachment_name(wanted: Wanted, node_name: str) -> str:
    return f"csi-{hashlib.sha256(f'{wanted.handle}{wanted.driver}{node_name}'.encode()).hexdigest()}"


def pod_attributes(context: Context, wanted: Wanted) -> dict[str, str]:
    """For drivers that ask for podInfoOnMount."""
    meta, spec = context.pod["metadata"], context.pod["spec"]
    return {
        f"{POD}pod.name": meta["name"],
        f"{POD}pod.namespace": context.namespace,
        f"{POD}pod.uid": context.uid,
        f"{POD}serviceAccount.name": spec.get("serviceAccountName") or "",
        f"{POD}ephemeral": "true" if wanted.mode == EPHEMERAL else "false",
    }


def gives_group(wanted: Wanted, driver: Mapping[str, Any] | None) -> bool:
    """Whether the node changes the group of the volume's files to the pod's fsGroup."""
    policy = ((driver or {}).get("spec") or {}).get("fsGroupPolicy") or DEFAULT_GROUP_POLICY
    if policy == "None" or wanted.read_only or wanted.is_block:
        return False
    if policy == "File" or wanted.mode == EPHEMERAL:
        return True
    return bool(wanted.fs_type) and "ReadWriteOnce" in wanted.access_modes


def capability(wanted: Wanted, able: frozenset[int], group: int | None) -> Object:
    """`able` is what the driver can; `group` is told to drivers that take it themselves."""
    access = wanted.access_modes[0] if wanted.access_modes else "ReadWriteOnce"
    knows = abilities.KNOWS_SINGLE_NODE_MULTI_WRITER in able
    modes = {
        "ReadWriteOnce": ONE_NODE if knows else SINGLE_WRITER,
        "ReadOnlyMany": READERS,
        "ReadWriteMany": WRITERS,
        "ReadWriteOncePod": ONE_POD if knows else SINGLE_WRITER,
    }
    found: Object = {"access_mode": {"mode": modes.get(access, SINGLE_WRITER)}}
    if wanted.is_block:
        return {**found, "block": {}}
    mount: Object = {"fs_type": wanted.fs_type, "mount_flags": list(wanted.mount_options)}
    if group is not None and abilities.TAKES_GROUP in able:
        mount["volume_mount_group"] = str(group)
    return {**found, "mount": mount}


# where things lie, below the directory that drivers know


def staging_path(root: Path, wanted: Wanted) -> Path:
    """Where a volume is set up once for all pods of the node."""
    if wanted.is_block:
        return root / "volumeDevices" / "staging" / wanted.name
    return record_of(root, wanted.driver, wanted.handle) / "globalmount"


def record_of(root: Path, driver: str, handle: str) -> Path:
    """Where it is written down that a volume is set up for the node."""
    return root / driver / hashlib.sha256(handle.encode()).hexdigest()


def target_path(root: Path, context: Context, wanted: Wanted) -> Path:
    """Where the pod's own view of it is."""
    if wanted.is_block:
        return root / "volumeDevices" / "publish" / wanted.name / context.uid
    return record_dir(context, wanted) / "mount"


def record_dir(context: Context, wanted: Wanted) -> Path:
    """Where it is written down that the pod has the volume."""
    return context.device("csi", wanted.name) if wanted.is_block else context.directory("csi", wanted.name)

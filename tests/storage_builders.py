"""Claims, volumes and classes for tests, as short as a sentence: `claim(volume="v")`, `volume("v", claimed=c)`."""

from tiphys.api import storage
from tiphys.api.storage import LOCAL_PATH


def claim(name="data", *, volume="", size="1Gi", modes=("ReadWriteOnce",), cls="", bound=False, phase="", **meta):
    annotations = {**meta.pop("annotations", {}), **({storage.BIND_COMPLETED: "yes"} if bound else {})}
    full = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "resourceVersion": "7", "annotations": annotations}
    spec = {"accessModes": list(modes), "resources": {"requests": {"storage": size}}, "volumeMode": "Filesystem"}
    spec |= {"volumeName": volume} if volume else {}
    spec |= {"storageClassName": cls} if cls is not None else {}
    status = {"phase": phase or ("Bound" if bound else "Pending")}
    if bound:
        status |= {"accessModes": list(modes), "capacity": {"storage": size}}
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": full | meta, "spec": spec, "status": status,
    }  # fmt: skip


def volume(name="v", *, size="1Gi", modes=("ReadWriteOnce",), claimed=None, phase="Available", policy="Retain", **more):
    """`claimed` is the claim in its reference; `more` has cls, annotations, labels, finalizers, deleting, source."""
    meta = {"name": name, "uid": f"uid-{name}", "resourceVersion": "3"}
    meta |= {key: more[key] for key in ("annotations", "labels", "finalizers") if key in more}
    if more.get("deleting"):
        meta["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    spec = {"capacity": {"storage": size}, "accessModes": list(modes), "volumeMode": more.get("mode", "Filesystem")}
    spec |= {"persistentVolumeReclaimPolicy": policy, **more.get("source", {"local": {"path": "/mnt"}})}
    spec |= {"storageClassName": more["cls"]} if "cls" in more else {}
    if claimed is not None:
        spec["claimRef"] = {"namespace": "shop", "name": claimed["metadata"]["name"], "uid": claimed["metadata"]["uid"]}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": meta, "spec": spec, "status": {"phase": phase}}


def storage_class(name="local-path", *, provisioner=LOCAL_PATH, mode="WaitForFirstConsumer", default=False):
    marks = {storage.DEFAULT_CLASS[0]: "true"} if default else {}
    meta = {"name": name, "annotations": marks, "creationTimestamp": "2027-01-15T08:00:00Z"}
    return {
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": meta, "provisioner": provisioner,
        "reclaimPolicy": "Delete", "volumeBindingMode": mode, "allowVolumeExpansion": True,
    }  # fmt: skip

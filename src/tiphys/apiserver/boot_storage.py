"""
The storage class that a cluster has from the first moment: volumes on the node's own disk, of the size asked for.

Only made where no class of that name is; an administrator who wants another default takes the mark off this one.
"""

from __future__ import annotations

from tiphys.api import resources
from tiphys.api.storage import DEFAULT_CLASS, LOCAL_PATH
from tiphys.apiserver.call import Object

CLASSES = resources.get("storage.k8s.io", "v1", "storageclasses")


def local_path() -> Object:
    """`local-path`, the default."""
    return {
        "metadata": {"name": "local-path", "annotations": {DEFAULT_CLASS[0]: "true"}},
        "provisioner": LOCAL_PATH,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }

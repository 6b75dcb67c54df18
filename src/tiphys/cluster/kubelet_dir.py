"""
The name by which drivers and plugins know the node's directory: manifests of others say /var/lib/kubelet.

The node keeps its things below its data directory; a symlink at that well-known path leads there. A path that is
anything else (the directory of a kubelet that runs or ran here) is left alone: drivers then have to be told ours.
"""

from __future__ import annotations

import logging
from pathlib import Path

from tiphys.cluster.settings import Settings

log = logging.getLogger(__name__)


def link(settings: Settings) -> Path | None:
    """Make the symlink where it may be; the symlink if it leads to us."""
    path, target = settings.kubelet_link, settings.data_dir / "node"
    if path is None:
        return None
    if leads_to(path, target):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    except FileExistsError:
        log.warning("%s is not ours: storage drivers and device plugins find the node in %s", path, target)
        return None
    return path


def unlink(settings: Settings) -> None:
    """Take away what we made."""
    path = settings.kubelet_link
    if path is not None and leads_to(path, settings.data_dir / "node"):
        path.unlink()


def leads_to(path: Path, target: Path) -> bool:
    return path.is_symlink() and path.readlink() == target

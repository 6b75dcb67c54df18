"""
image volumes: the files of an image, read-only, nothing in them to be executed.

The directory is made with the other volumes; what is in it is brought when a container that mounts it is about to
start, like that container's own image: so a registry that does not answer shows as ErrImagePull on just the containers
that need it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tiphys.node.images import Images
from tiphys.node.settings import NodeSettings
from tiphys.node.volumes.context import Context, Volume
from tiphys.runtime.door import Runtime

Pod = Mapping[str, Any]
Container = Mapping[str, Any]

# A mount of a mount has flags of its own.
MOUNT_OPTIONS = ("noexec", "nosuid", "nodev")


async def prepare(context: Context, volume: Volume) -> str:
    """Make the place; the path of the volume."""
    target = _target(context.settings, context.uid, volume["name"])
    target.mkdir(parents=True, exist_ok=True)
    return str(target)


async def bring(pod: Pod, container: Container, images: Images, runtime: Runtime, settings: NodeSettings) -> None:
    """Pull and show what the container mounts. ImageProblem, RuntimeFailure."""
    for volume in mounted_by(pod, container):
        source = volume["image"]
        wanted = {"name": container["name"], "image": source["reference"]}
        if source.get("pullPolicy"):
            wanted["imagePullPolicy"] = source["pullPolicy"]
        image = await images.ensure(pod, wanted)
        target = _target(settings, pod["metadata"]["uid"], volume["name"])
        target.mkdir(parents=True, exist_ok=True)
        await runtime.mount_image(image.id, str(target))


def mounted_by(pod: Pod, container: Container) -> Iterator[Volume]:
    """The image volumes that a container mounts."""
    names = {mount["name"] for mount in container.get("volumeMounts") or ()}
    for volume in pod["spec"].get("volumes") or ():
        if volume["name"] in names and is_image(volume):
            yield volume


def is_image(volume: Volume) -> bool:
    """One without a reference shows nothing: somebody is to fill it in before the pod is made."""
    return bool((volume.get("image") or {}).get("reference"))


def _target(settings: NodeSettings, uid: str, name: str) -> Path:
    return settings.pods_dir / uid / "volumes" / "kubernetes.io~image" / name

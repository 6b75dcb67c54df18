"""configMap volumes: the keys of a ConfigMap as files, on disk."""

from __future__ import annotations

from tiphys.node.objects import Ref
from tiphys.node.volumes import atomic, keys
from tiphys.node.volumes.context import Context, Volume


async def prepare(context: Context, volume: Volume) -> str:
    """Write the files; the path of the volume."""
    source = volume["configMap"]
    ref = Ref("configmaps", context.namespace, source["name"])
    files = await keys.files_of(context, ref, source, keys.mode_of(source))
    target = context.directory("configmap", volume["name"])
    atomic.write(target, files, context.now(), context.fs_group)
    return str(target)


def references(context_namespace: str, volume: Volume) -> set[Ref]:
    return {Ref("configmaps", context_namespace, volume["configMap"]["name"])}

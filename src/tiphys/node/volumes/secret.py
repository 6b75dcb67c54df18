"""secret volumes: the keys of a Secret as files, in memory only."""

from __future__ import annotations

from tiphys.node.objects import Ref
from tiphys.node.volumes import atomic, keys
from tiphys.node.volumes.context import Context, Volume


async def prepare(context: Context, volume: Volume) -> str:
    """Write the files; the path of the volume."""
    source = volume["secret"]
    ref = Ref("secrets", context.namespace, source["secretName"])
    files = await keys.files_of(context, ref, source, keys.mode_of(source))
    target = context.memory_directory("secret", volume["name"])
    atomic.write(target, files, context.now(), context.fs_group)
    return str(target)


def references(context_namespace: str, volume: Volume) -> set[Ref]:
    return {Ref("secrets", context_namespace, volume["secret"]["secretName"])}

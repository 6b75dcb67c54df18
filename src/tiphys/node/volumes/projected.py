"""projected volumes: tokens, ConfigMaps, Secrets and the downward API in one directory, in memory only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.node.objects import Ref
from tiphys.node.volumes import atomic, downward, keys
from tiphys.node.volumes.context import Context, File, Volume, VolumeProblem
from tiphys.node.volumes.tokens import Tokens

TOKEN_MODE_WITH_GROUP = 0o600


async def prepare(context: Context, volume: Volume, tokens: Tokens) -> str:
    """Write the files of all sources; the path of the volume."""
    source = volume["projected"]
    files: dict[str, File] = {}
    for part in source.get("sources") or ():
        files |= await _part(context, part, keys.mode_of(source), tokens)
    target = context.memory_directory("projected", volume["name"])
    atomic.write(target, files, context.now(), context.fs_group)
    return str(target)


async def _part(context: Context, part: Mapping[str, Any], mode: int, tokens: Tokens) -> dict[str, File]:
    for field_name, kind in (("configMap", "configmaps"), ("secret", "secrets")):
        if part.get(field_name):
            ref = Ref(kind, context.namespace, part[field_name]["name"])
            return await keys.files_of(context, ref, part[field_name], mode)
    if part.get("downwardAPI"):
        return downward.files_of(context, part["downwardAPI"].get("items") or (), mode)
    if part.get("serviceAccountToken"):
        source = part["serviceAccountToken"]
        token = (await tokens.get(context, source)).value
        mode = mode if context.fs_group is None else TOKEN_MODE_WITH_GROUP
        return {source["path"]: File(token.encode(), mode)}
    raise VolumeProblem(f"projected source {', '.join(part)} is not supported")


def references(context_namespace: str, volume: Volume) -> set[Ref]:
    found = set()
    for part in volume["projected"].get("sources") or ():
        for field_name, kind in (("configMap", "configmaps"), ("secret", "secrets")):
            if part.get(field_name):
                found.add(Ref(kind, context_namespace, part[field_name]["name"]))
    return found

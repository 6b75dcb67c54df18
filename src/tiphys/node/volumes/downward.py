"""downwardAPI volumes: fields of the pod as files that follow its labels and annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.node.environment import ConfigError, field_value, resource_value
from tiphys.node.volumes import atomic, keys
from tiphys.node.volumes.context import Context, File, Volume, VolumeProblem


async def prepare(context: Context, volume: Volume) -> str:
    """Write the files; the path of the volume."""
    source = volume["downwardAPI"]
    files = files_of(context, source.get("items") or (), keys.mode_of(source))
    target = context.memory_directory("downward-api", volume["name"])
    atomic.write(target, files, context.now(), context.fs_group)
    return str(target)


def files_of(context: Context, items: Sequence[Mapping[str, Any]], default_mode: int) -> dict[str, File]:
    """One file for each item."""
    result = {}
    for item in items:
        try:
            if item.get("fieldRef"):
                text = field_value(context.pod, item["fieldRef"]["fieldPath"], context.sources)
            else:
                text = resource_value(context.pod, {}, item["resourceFieldRef"], context.sources)
        except ConfigError as error:
            raise VolumeProblem(str(error)) from error
        mode = item["mode"] if item.get("mode") is not None else default_mode
        result[item["path"]] = File(text.encode(), mode)
    return result

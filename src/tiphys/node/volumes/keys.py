"""From the keys of a ConfigMap or Secret to files: items, modes, what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.node.environment import decoded
from tiphys.node.objects import Ref
from tiphys.node.volumes.context import Context, File, VolumeProblem

DEFAULT_MODE = 0o644


async def files_of(context: Context, ref: Ref, source: Mapping[str, Any], default_mode: int) -> dict[str, File]:
    """The files of one object; `source` holds items and optional."""
    obj = await context.objects.get(ref)
    if obj is None:
        if source.get("optional"):
            return {}
        raise VolumeProblem(f'{ref.kind.removesuffix("s")} "{ref.name}" not found')
    values = decoded(obj)
    items: Sequence[Mapping[str, Any]] | None = source.get("items")
    if not items:
        return {key: File(value, default_mode) for key, value in values.items()}
    result = {}
    for item in items:
        if item["key"] in values:
            mode = item["mode"] if item.get("mode") is not None else default_mode
            result[item["path"]] = File(values[item["key"]], mode)
        elif not source.get("optional"):
            what = "configmap references non-existent config" if ref.kind == "configmaps" else "references non-existent"
            label = "key" if ref.kind == "configmaps" else "secret key"
            raise VolumeProblem(f"{what} {label}: {item['key']}")
    return result


def mode_of(source: Mapping[str, Any]) -> int:
    mode = source.get("defaultMode")
    return DEFAULT_MODE if mode is None else int(mode)

"""
From objects to a Table: columns, and for each object a row with its cells and as much of the object as was asked for.

The columns of a resource and their descriptions are data (`columns.json`, read when a table is first asked for).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from importlib import resources as package_files
from typing import Any

import orjson

from tiphys.api import convert
from tiphys.api.resources import Resource
from tiphys.apiserver.call import Object
from tiphys.apiserver.records import storage_of
from tiphys.apiserver.tables import cells, pods

META = "meta.k8s.io/v1"
_FIELDS = frozenset(("deprecated.daemonset.template.generation", "deprecated.deployment.rollback.to"))
# Subresources that answer with a kind of their own.
_SHOWN_AS = {("autoscaling", "Scale"): "scales.autoscaling"}


def render(
    resource: Resource, objects: Sequence[Object], include: str, *, now: float | None = None, api_version: str = META
) -> Object:
    """
    `columnDefinitions` and `rows`. `include` is Metadata, Object or None: what a row carries of its object.

    Objects come in the version that they are stored in; whole ones are carried in the version of `resource`.
    """
    moment = time.time() if now is None else now
    key = _key(resource)
    make = cells.OF.get(key, cells.name_and_creation)
    rows = []
    for obj in objects:
        row: Object = {"cells": make(obj, moment)}
        if make is pods.cells:
            ended = pods.conditions(obj)
            if ended is not None:
                row["conditions"] = ended
        row["object"] = _carried(obj, resource, include, api_version)
        rows.append(row)
    return {"columnDefinitions": columns(key), "rows": rows}


def _key(resource: Resource) -> str:
    special = _SHOWN_AS.get((resource.kind_group, resource.kind))
    if special is not None:
        return special
    stored = storage_of(resource)
    name = stored.name.partition("/")[0]
    return f"{name}.{stored.group}" if stored.group else name


def _carried(obj: Object, resource: Resource, include: str, api_version: str) -> Object | None:
    if include == "Metadata":
        return {"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": internal_metadata(obj)}
    if include == "None":
        return None
    stored = storage_of(resource)
    same = "/" in resource.name or (stored.group, stored.version) == (resource.group, resource.version)
    return obj if same else convert.convert(obj, resource)


def internal_metadata(obj: Object) -> Object:
    """Metadata without the annotations that are fields in Kubernetes' own, unversioned objects."""
    metadata: Object = obj["metadata"]
    annotations = metadata.get("annotations")
    if not annotations or not annotations.keys() & _FIELDS:
        return metadata
    kept = {name: value for name, value in annotations.items() if name not in _FIELDS}
    rest = {name: value for name, value in metadata.items() if name != "annotations"}
    return {**rest, "annotations": kept} if kept else rest


def columns(key: str) -> list[Object]:
    """The column definitions of a resource; name and creation for one that is not known."""
    known = _columns()
    return known.get(key) or known["roles.rbac.authorization.k8s.io"]


@functools.cache
def _columns() -> dict[str, list[Any]]:
    raw = package_files.files("tiphys.apiserver.tables").joinpath("columns.json").read_bytes()
    loaded = orjson.loads(raw)
    texts = loaded["texts"]
    return {
        key: [
            {"name": name, "type": kind, "format": form, "description": texts[text], "priority": priority}
            for name, kind, form, text, priority in listed
        ]
        for key, listed in loaded["columns"].items()
    }

"""What containers get of the devices that they were given: words of plugins as words of the runtime. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tiphys.runtime.door import ContainerSpec, Device, Mount

Answer = Mapping[str, Any]


def given(spec: ContainerSpec, answers: Iterable[Answer]) -> ContainerSpec:
    """The container with its devices. Its own environment wins over the plugins'."""
    for answer in answers:
        spec = replace(
            spec,
            env=[*answer["envs"].items(), *spec.env],
            mounts=[*spec.mounts, *(_mount(one) for one in answer["mounts"])],
            devices=[*spec.devices, *(_device(one) for one in answer["devices"])],
            annotations={**answer["annotations"], **spec.annotations},
        )
    return spec


def _mount(told: Answer) -> Mount:
    return Mount(told["host_path"], told["container_path"], read_only=told["read_only"])


def _device(told: Answer) -> Device:
    return Device(told["host_path"], told["container_path"], told["permissions"] or "rwm")

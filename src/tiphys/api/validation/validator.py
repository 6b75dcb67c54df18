"""The record by which a kind says how it is validated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tiphys.api.validation.fields import FieldError

Object = dict[str, Any]
Check = Callable[[Object], list[FieldError]]
CheckUpdate = Callable[[Object, Object], list[FieldError]]
CheckName = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class Validator:
    """
    `name` gives what is wrong with a name (None: a DNS subdomain). `update` gets (new, old) and must include what
    `create` checks where Kubernetes checks it again. `subresources` are the checks of status and others.
    """

    create: Check | None = None
    update: CheckUpdate | None = None
    name: CheckName | None = None
    subresources: Mapping[str, CheckUpdate] = field(default_factory=dict)

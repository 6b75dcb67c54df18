"""
What a plan asks for, as records, and the one place that performs them.

A plan never talks to the API: it returns commands, which tests compare as values. `perform` sends them in order and
returns the newest version written of each resource, so that the caller can wait until its caches show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api.errors import StatusError
from tiphys.api.objects import revision_of
from tiphys.api.resources import Resource
from tiphys.client.client import MERGE_PATCH, Client
from tiphys.client.events import Recorder

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Create:
    """POST `object`. `exists_ok`: somebody else's equal creation is as good as ours."""

    resource: Resource
    object: Mapping[str, Any]
    exists_ok: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """PUT `object` (or its subresource) at the version it carries; a conflict makes the key come again."""

    resource: Resource
    object: Mapping[str, Any]
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch of the object (namespace, name). Put uid and resourceVersion into it as preconditions."""

    resource: Resource
    key: tuple[str, str]
    patch: Mapping[str, Any]
    subresource: str = ""
    media_type: str = MERGE_PATCH


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE the object with that uid; one that is gone, or another one of the name, is fine."""

    resource: Resource
    key: tuple[str, str]
    uid: str = ""
    propagation: str = ""
    grace_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Say:
    """Record an event about `subject`."""

    subject: Mapping[str, Any]
    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Requeue:
    """Look again after a while: for deadlines only, never to poll."""

    seconds: float


Command = Create | Update | Patch | Delete | Say | Requeue


@dataclass(frozen=True, slots=True)
class Performed:
    """`versions`: the newest version written per resource. `created`: the objects that the Creates made, in order."""

    versions: Mapping[Resource, str]
    created: Sequence[Object]
    requeue_seconds: float | None


async def perform(client: Client, recorder: Recorder, commands: Sequence[Command]) -> Performed:
    """Send the commands in order. The first failure stops the rest and is raised: the next plan sees what was done."""
    versions: dict[Resource, str] = {}
    created: list[Object] = []
    requeue: float | None = None
    for command in commands:
        if isinstance(command, Say):
            say = recorder.normal if command.type == "Normal" else recorder.warning
            say(command.subject, command.reason, command.message)
        elif isinstance(command, Requeue):
            requeue = command.seconds if requeue is None else min(requeue, command.seconds)
        else:
            answer = await _send(client, command)
            if isinstance(command, Create):
                created.append(answer)
            if "metadata" in answer and not isinstance(command, Delete):
                versions[command.resource] = revision_of(answer) or versions.get(command.resource, "")
    return Performed(versions, created, requeue)


async def _send(client: Client, command: Create | Update | Patch | Delete) -> Object:
    match command:
        case Create(resource, obj, exists_ok):
            try:
                return await client.create(resource, dict(obj))
            except StatusError as error:
                if exists_ok and error.reason == "AlreadyExists":
                    return {}
                raise
        case Update(resource, obj, subresource):
            return await client.update(resource, dict(obj), subresource=subresource)
        case Patch(resource, key, patch, subresource, media_type):
            return await client.patch(resource, key, dict(patch), subresource=subresource, media_type=media_type)
        case Delete(resource, key, uid, propagation, grace_seconds):
            try:
                return await client.delete(resource, key, uid=uid, propagation=propagation, grace_seconds=grace_seconds)
            except StatusError as error:
                if error.code == 404 or (uid and error.code == 409):
                    return {}
                raise

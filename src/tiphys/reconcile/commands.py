"""
What a plan asks for, as records, and the one place that performs them.

A plan never talks to the API: it returns commands, which tests compare as values. `perform` sends them in order and
returns the newest version written of each resource, so that the caller can wait until its caches show it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api.errors import StatusError
from tiphys.api.resources import Resource
from tiphys.client.client import MERGE_PATCH, Client
from tiphys.client.events import Recorder

Object = dict[str, Any]

# Requests of one run that are under way together.
BATCH_MAX = 64


@dataclass(frozen=True, slots=True)
class Announce:
    """The events that tell about a Create or Delete; `{name}`, `{error}` are filled in. No reason: no news is good."""

    subject: Mapping[str, Any]
    reason: str
    text: str
    failed_reason: str
    failed_text: str


@dataclass(frozen=True, slots=True)
class Create:
    """POST `object`. `exists_ok`: somebody else's equal creation is as good as ours."""

    resource: Resource
    object: Mapping[str, Any]
    exists_ok: bool = False
    announce: Announce | None = None


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
    announce: Announce | None = None


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
    """
    Send the commands in order; a run of Creates, of Deletes, or of Patches of different objects, all of one resource,
    goes out in growing batches (1, 2, 4, …).

    So a template that is refused costs one request, and fifty pods cost six round trips. The first failure stops what
    is left and is raised once its batch has ended: the next plan sees what was done.
    """
    work = _Work(client, recorder, {}, [])
    requeue: float | None = None
    for (kind, _), run in itertools.groupby(commands, key=_run_of):
        if kind is Requeue:
            seconds = min(command.seconds for command in run if isinstance(command, Requeue))
            requeue = seconds if requeue is None else min(requeue, seconds)
            continue
        together = list(run)
        if kind in (Create, Delete) or (kind is Patch and _are_apart(together)):
            await _in_batches(work, together)
        else:
            for command in together:
                await work.do(command)
    return Performed(work.versions, work.created, requeue)


def _run_of(command: Command) -> tuple[type[Command], Resource | None]:
    """A pod waits until the claims before it are made."""
    return type(command), command.resource if isinstance(command, Create | Delete | Patch) else None


def _are_apart(commands: Sequence[Command]) -> bool:
    """Whether each is about another object, so that it does not matter which comes first."""
    keys = [command.key for command in commands if isinstance(command, Patch)]
    return len(set(keys)) == len(keys)


async def _in_batches(work: _Work, commands: Sequence[Command]) -> None:
    start, size = 0, 1
    while start < len(commands):
        batch = commands[start : start + size]
        outcomes = await asyncio.gather(*(work.do(command) for command in batch), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome and isinstance(commands[0], Create):
                work.created.append(outcome)
        start, size = start + size, min(size * 2, BATCH_MAX)


@dataclass(frozen=True, slots=True)
class _Work:
    client: Client
    recorder: Recorder
    versions: dict[Resource, str]
    created: list[Object]

    async def do(self, command: Command) -> Object:
        """The API's answer; {} where there is none."""
        if isinstance(command, Requeue):
            return {}
        if isinstance(command, Say):
            say = self.recorder.normal if command.type == "Normal" else self.recorder.warning
            say(command.subject, command.reason, command.message)
            return {}
        announce = command.announce if isinstance(command, Create | Delete) else None
        try:
            answer = await _send(self.client, command)
        except StatusError as error:
            if announce is not None:
                text = announce.failed_text.format(error=error, name=_name(command))
                self.recorder.warning(announce.subject, announce.failed_reason, text)
            raise
        version = (answer.get("metadata") or {}).get("resourceVersion", "")
        if version:
            self.versions[command.resource] = max(version, self.versions.get(command.resource, ""), key=_as_number)
        if announce is not None and announce.reason:
            name = (answer.get("metadata") or {}).get("name") or _name(command)
            self.recorder.normal(announce.subject, announce.reason, announce.text.format(name=name))
        return answer


def _as_number(version: str) -> int:
    return int(version or 0)


def _name(command: Create | Update | Patch | Delete) -> str:
    if isinstance(command, Patch | Delete):
        return command.key[1]
    meta = command.object["metadata"]
    return str(meta.get("name") or meta.get("generateName", ""))


async def _send(client: Client, command: Create | Update | Patch | Delete) -> Object:
    match command:
        case Create(resource, obj, exists_ok, _):
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
        case Delete(resource, key, uid, propagation, grace_seconds, _):
            try:
                return await client.delete(resource, key, uid=uid, propagation=propagation, grace_seconds=grace_seconds)
            except StatusError as error:
                if error.code == 404 or (uid and error.code == 409):
                    return {}
                raise

"""
Images for containers: present, pulled, or the true cause why not, with the kubelet's events and texts.

The same pull asked for several times is done once; at most `parallel_pulls_max` run at a time. After a failure a pod
waits with exponential back-off before it asks the registry again. A present image costs one look-up and no registry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.aio.clock import Clock
from tiphys.client.events import Recorder
from tiphys.node import backoff
from tiphys.node.objects import Objects, Ref
from tiphys.node.pod import spec
from tiphys.node.pull_secrets import credentials_for
from tiphys.runtime.door import Credentials, Image, InvalidImageName, Runtime, RuntimeFailure

Pod = Mapping[str, Any]
Container = Mapping[str, Any]

# How long ErrImagePull shows before it becomes ImagePullBackOff, which says when the next attempt is due.
SHOW_ERROR_SECONDS = 1.0
NEVER_RETRY_SECONDS = 10.0


class ImageProblem(Exception):
    """No image for a container: the waiting reason, its message and when to ask again."""

    def __init__(self, reason: str, message: str, retry_at: float) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_at = retry_at


@dataclass(slots=True)
class _Failed:
    """The last failed pull for one pod and image."""

    entry: backoff.Entry
    failed_at: float
    message: str


@dataclass(frozen=True, slots=True)
class _Pulled:
    """What a pull took, in seconds: alone, and with the waiting for its turn."""

    image: Image
    seconds: float
    total_seconds: float


class Images:
    """The images of this node's pods. `on_pulled` is told of each that was brought, and whether it was new here."""

    def __init__(self, runtime: Runtime, objects: Objects, recorder: Recorder, pulls_max: int, now: Clock) -> None:
        self.on_pulled: Callable[[Image, bool], None] = lambda image, new: None
        self._runtime = runtime
        self._objects = objects
        self._recorder = recorder
        self._now = now
        self._turns = asyncio.Semaphore(pulls_max)
        self._pulling: dict[tuple[str, tuple[Credentials, ...]], asyncio.Task[_Pulled]] = {}
        self._failed: dict[tuple[str, str], _Failed] = {}

    async def ensure(self, pod: Pod, container: Container) -> Image:
        """The image of a container that is about to start. ImageProblem."""
        note = _Notes(self._recorder, pod, container)
        reference, policy = container["image"], policy_of(container)
        try:
            present = await self._runtime.image(reference)
        except InvalidImageName as error:
            message = f'Failed to apply default image tag "{reference}": {error}'
            note.warning("InspectFailed", message)
            raise self._problem(note, "InvalidImageName", message, self._now() + NEVER_RETRY_SECONDS) from error
        if present is not None and policy != "Always":
            note.normal(
                "Pulled", f'Container image "{reference}" already present on machine and can be accessed by the pod'
            )
            return present
        if policy == "Never":
            message = f'Container image "{reference}" is not present with pull policy of Never'
            note.warning("ErrImageNeverPull", message)
            raise self._problem(note, "ErrImageNeverPull", message, self._now() + NEVER_RETRY_SECONDS)
        self._refuse_while_backing_off(note, pod, reference)
        return await self._pull(note, pod, reference)

    async def run(self) -> None:
        """Own the pulls until cancelled."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            pulls = list(self._pulling.values())
            for task in pulls:
                task.cancel()
            await asyncio.gather(*pulls, return_exceptions=True)

    def forget(self, pod_uid: str) -> None:
        for key in [key for key in self._failed if key[0] == pod_uid]:
            del self._failed[key]

    def _problem(self, note: _Notes, reason: str, message: str, retry_at: float) -> ImageProblem:
        note.warning("Failed", f"Error: {reason}")
        return ImageProblem(reason, message, retry_at)

    def _refuse_while_backing_off(self, note: _Notes, pod: Pod, reference: str) -> None:
        failed = self._failed.get((pod["metadata"]["uid"], reference))
        if failed is None:
            return
        until = failed.failed_at + failed.entry.delay_seconds
        if self._now() < until:
            message = f'Back-off pulling image "{reference}"'
            note.normal("BackOff", message)
            raise self._problem(note, "ImagePullBackOff", f"{message}: ErrImagePull: {failed.message}", until)

    async def _pull(self, note: _Notes, pod: Pod, reference: str) -> Image:
        note.normal("Pulling", f'Pulling image "{reference}"')
        key = (pod["metadata"]["uid"], reference)
        try:
            credentials = credentials_for(reference, await self._secrets(note, pod))
            pulled = await self._shared_pull(reference, tuple(credentials))
        except RuntimeFailure as error:
            now, known = self._now(), self._failed.get(key)
            entry = backoff.next_entry(known.entry if known else None, now, now)
            self._failed[key] = _Failed(entry, now, str(error))
            note.warning("Failed", f'Failed to pull image "{reference}": {error}')
            raise self._problem(note, "ErrImagePull", str(error), now + SHOW_ERROR_SECONDS) from error
        self._failed.pop(key, None)
        took, total = _duration(pulled.seconds), _duration(pulled.total_seconds)
        note.normal(
            "Pulled",
            f'Successfully pulled image "{reference}" in {took} ({total} including waiting). '
            f"Image size: {pulled.image.size_bytes} bytes.",
        )
        return pulled.image

    async def _shared_pull(self, reference: str, credentials: tuple[Credentials, ...]) -> _Pulled:
        """Join a pull that is under way, or begin one. It goes on while anybody waits for it."""
        key = (reference, credentials)
        task = self._pulling.get(key)
        if task is None:
            task = asyncio.create_task(self._pull_in_turn(reference, credentials), name=f"pull {reference}")
            self._pulling[key] = task
            task.add_done_callback(lambda done: self._pull_ended(key, done))
        # Whoever waits may be cancelled; the others still want the image.
        return await asyncio.shield(task)

    def _pull_ended(self, key: tuple[str, tuple[Credentials, ...]], task: asyncio.Task[_Pulled]) -> None:
        self._pulling.pop(key, None)
        if not task.cancelled():
            task.exception()  # each waiter was told; when all have left, nobody needs to know

    async def _pull_in_turn(self, reference: str, credentials: Sequence[Credentials]) -> _Pulled:
        asked_at = self._now()
        async with self._turns:
            begun_at = self._now()
            known = {image.id for image in await self._runtime.images()}
            image = await self._runtime.pull(reference, credentials)
            ended_at = self._now()
        self.on_pulled(image, image.id not in known)
        return _Pulled(image, ended_at - begun_at, ended_at - asked_at)

    async def _secrets(self, note: _Notes, pod: Pod) -> list[Mapping[str, Any]]:
        """Missing ones are told of; the pull is tried all the same."""
        namespace = pod["metadata"]["namespace"]
        found: list[Mapping[str, Any]] = []
        missing: list[str] = []
        for entry in pod["spec"].get("imagePullSecrets") or ():
            secret = await self._objects.get(Ref("secrets", namespace, entry["name"]))
            if secret is None:
                missing.append(entry["name"])
            else:
                found.append(secret)
        if missing:
            note.on_pod(
                "FailedToRetrieveImagePullSecret",
                f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
                "attempting to pull the image may not succeed.",
            )
        return found


class _Notes:
    """Events about one container."""

    def __init__(self, recorder: Recorder, pod: Pod, container: Container) -> None:
        self._recorder = recorder
        self._pod = pod
        self._path = spec.field_path(pod, container["name"])

    def normal(self, reason: str, message: str) -> None:
        self._recorder.normal(self._pod, reason, message, field_path=self._path)

    def warning(self, reason: str, message: str) -> None:
        self._recorder.warning(self._pod, reason, message, field_path=self._path)

    def on_pod(self, reason: str, message: str) -> None:
        self._recorder.warning(self._pod, reason, message)


def policy_of(container: Container) -> str:
    """imagePullPolicy; the API server fills it in, this is for pods that never passed it."""
    policy = container.get("imagePullPolicy")
    if policy:
        return str(policy)
    name = container["image"].rpartition("/")[2]
    latest = "@" not in name and (":" not in name or name.endswith(":latest"))
    return "Always" if latest else "IfNotPresent"


def _duration(seconds: float) -> str:
    """As Go prints durations, to the millisecond: 12ms, 1.234s, 1m2.5s."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{text}s" if minutes else f"{text}s"

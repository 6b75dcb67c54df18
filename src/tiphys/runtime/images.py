"""
Bring images and take them away, with skopeo; what is here is read by storage.py.

Each pull gets its own files for credentials (in a directory of mode 0700, a file of 0600, gone afterwards) and our own
registries.conf, so that nothing of the host's configuration or of root's home decides what a pull may do.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiphys.runtime import names
from tiphys.runtime.door import Credentials, Image, PullFailed, RuntimeFailure
from tiphys.runtime.settings import RuntimeSettings
from tiphys.runtime.storage import Storage

SKOPEO = "/usr/bin/skopeo"
_MESSAGE = re.compile(r'level=(?:fatal|error) msg="((?:[^"\\]|\\.)*)"')
_UNAUTHORIZED = ("unauthorized", "authentication required", "denied", "invalid username/password", "401", "403")


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """One image of an archive: where skopeo finds it and the names it gets."""

    source: str
    names: tuple[str, ...]


class Images:
    def __init__(self, settings: RuntimeSettings, storage: Storage) -> None:
        self._settings = settings
        self._storage = storage
        # Two pods that want one image bring it once.
        self._pulling: dict[str, asyncio.Lock] = {}

    def prepare(self) -> None:
        self._settings.secrets_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left_behind in self._settings.secrets_dir.iterdir():
            left_behind.unlink()
        (self._settings.run_dir / "registries.conf").write_text(registries(self._settings))

    async def pull(self, reference: str, credentials: Sequence[Credentials]) -> Image:
        """Each of the credentials is tried while the registry says that it wants others."""
        name = names.parse(reference)
        lock = self._pulling.setdefault(str(name), asyncio.Lock())
        async with lock:
            try:
                failure = PullFailed("")
                for candidate in credentials or (None,):
                    try:
                        await self._copy(f"docker://{name.pullable}", name.pullable, candidate)
                        break
                    except PullFailed as error:
                        failure = error
                        if not any(word in str(error).lower() for word in _UNAUTHORIZED):
                            raise
                else:
                    raise failure
            finally:
                self._pulling.pop(str(name), None)
        return self._found(name.pullable)

    async def load(self, path: str) -> list[Image]:
        """Every image of a docker or OCI archive, under the names that the archive gives."""
        entries = await asyncio.to_thread(entries_of, Path(path))
        found: dict[str, Image] = {}
        for entry in entries:
            for name in entry.names:
                await self._copy(entry.source, name, None)
                image = self._found(name)
                found[image.id] = image
        return list(found.values())

    async def remove(self, image: Image) -> None:
        """With all its names, and the layers that no other image has."""
        code, errors = await self._skopeo(["delete", f"{self._settings.storage}@{image.id.removeprefix('sha256:')}"])
        if code != 0 and self._storage.find(image.id) is not None:
            raise RuntimeFailure(f"image {image.id} cannot be removed: {cause(errors)}")

    async def _copy(self, source: str, name: str, credentials: Credentials | None) -> None:
        with self._authfile(name, credentials) as auth:
            registry = ["--src-authfile", auth] if auth else ["--src-no-creds"]
            words = ["copy", *(registry if source.startswith("docker://") else ()), source]
            code, errors = await self._skopeo([*words, f"{self._settings.storage}{name}"])
        if code != 0:
            raise PullFailed(cause(errors))

    async def _skopeo(self, words: Sequence[str]) -> tuple[int, str]:
        """Killed when the caller gives up or its time is over."""
        process = await asyncio.create_subprocess_exec(
            SKOPEO, "--insecure-policy", "--registries-conf", str(self._settings.run_dir / "registries.conf"), *words,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._settings.pull_timeout_seconds):
                _, errors = await process.communicate()
        except TimeoutError as error:
            raise PullFailed(f"timeout: not done within {self._settings.pull_timeout_seconds:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, errors.decode(errors="replace")

    @contextlib.contextmanager
    def _authfile(self, name: str, credentials: Credentials | None) -> Iterator[str]:
        if credentials is None:
            yield ""
            return
        secret = base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
        registry = names.parse(name).registry
        hosts = [registry, "index.docker.io"] if registry == "docker.io" else [registry]
        # mkstemp makes the file readable by its owner alone.
        descriptor, path = tempfile.mkstemp(dir=self._settings.secrets_dir)
        try:
            with os.fdopen(descriptor, "w") as handle:
                json.dump({"auths": {host: {"auth": secret} for host in hosts}}, handle)
            yield path
        finally:
            os.unlink(path)

    def _found(self, name: str) -> Image:
        stored = self._storage.find(name)
        if stored is None:
            raise PullFailed(f"{name} was brought but is not in {self._settings.storage_root}")
        return stored.image


def registries(settings: RuntimeSettings) -> str:
    """registries.conf: no search list (names are written out in full), mirrors, plain HTTP."""
    insecure = set(settings.insecure_registries)
    lines = ["unqualified-search-registries = []", 'short-name-mode = "disabled"']
    for registry in sorted({*settings.mirrors, *insecure}):
        lines += ["", "[[registry]]", f"prefix = {json.dumps(registry)}", f"location = {json.dumps(registry)}"]
        lines += ["insecure = true"] if registry in insecure else []
        for mirror in settings.mirrors.get(registry, ()):
            lines += ["[[registry.mirror]]", f"location = {json.dumps(mirror)}"]
            lines += ["insecure = true"] if mirror.partition("/")[0] in insecure else []
    return "\n".join(lines) + "\n"


def cause(errors: str) -> str:
    """The reason in skopeo's last complaint, in one line."""
    messages = _MESSAGE.findall(errors)
    text = messages[-1].encode().decode("unicode_escape") if messages else errors.strip().replace("\n", " ")
    return re.sub(r"\s+", " ", text) or "skopeo ended without a word"


def entries_of(path: Path) -> list[ArchiveEntry]:
    """What is in an archive. Only its index is read here; layers are skopeo's to check and unpack."""
    try:
        with tarfile.open(path) as archive:
            index = _member(archive, "manifest.json")
            if index is not None:
                return _docker_entries(path, json.loads(index))
            index = _member(archive, "index.json")
    except (OSError, tarfile.TarError, ValueError, KeyError) as error:
        raise RuntimeFailure(f"{path} is no image archive: {error}") from error
    if index is None:
        raise RuntimeFailure(f"{path} is no image archive: it has neither manifest.json (docker) nor index.json (OCI)")
    return _oci_entries(path, json.loads(index))


def _docker_entries(path: Path, manifests: list[dict[str, list[str] | None]]) -> list[ArchiveEntry]:
    found = []
    for number, manifest in enumerate(manifests):
        tags = tuple(names.parse(tag).pullable for tag in manifest.get("RepoTags") or ())
        if not tags:
            raise RuntimeFailure(f"{path}: image {number} has no name: tag it before it is saved")
        found.append(ArchiveEntry(f"docker-archive:{path}:@{number}", tags))
    return found


def _oci_entries(path: Path, index: dict[str, list[dict[str, dict[str, str]]]]) -> list[ArchiveEntry]:
    found = []
    for manifest in index.get("manifests") or ():
        notes = manifest.get("annotations") or {}
        given = notes.get("org.opencontainers.image.ref.name", "")
        written = notes.get("io.containerd.image.name") or given
        if not written:
            raise RuntimeFailure(f"{path} has an image without a name: save it with one (…:name:tag)")
        found.append(
            ArchiveEntry(f"oci-archive:{path}" + (f":{given}" if given else ""), (names.parse(written).pullable,))
        )
    return found


def _member(archive: tarfile.TarFile, name: str) -> bytes | None:
    try:
        handle = archive.extractfile(name)
    except KeyError:
        try:
            handle = archive.extractfile(f"./{name}")
        except KeyError:
            return None
    return handle.read(16 << 20) if handle is not None else None

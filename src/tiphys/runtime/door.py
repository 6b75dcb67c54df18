"""
The Runtime door: sandboxes, containers and images on one machine. Knows no Kubernetes.

A *sandbox* is the set of pinned namespaces (IPC, UTS; the network namespace is handed in) and the cgroup that the
containers of one pod share; it needs no process of its own. A container belongs to a sandbox and runs once: to run
it again, prepare another with a new id. Everything can be found again after a crash of the caller from what is on
disk (`containers()`, `sandboxes()`): a container is never started twice and never orphaned.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class RuntimeFailure(Exception):
    """
    RuntimeFailure
    ├── ImageMissing     the image is not present
    ├── PullFailed       the registry refused or could not be reached; the message is the true cause
    ├── InvalidImageName the reference cannot be parsed
    ├── ImageInUse       a container was made from the image and is still there, or its files are mounted
    ├── StartFailed      the OCI runtime refused to create or start (its own message)
    └── NotFound         no such container or sandbox
    """


class ImageMissing(RuntimeFailure): ...


class PullFailed(RuntimeFailure): ...


class InvalidImageName(RuntimeFailure): ...


class ImageInUse(RuntimeFailure): ...


class StartFailed(RuntimeFailure): ...


class NotFound(RuntimeFailure): ...


@dataclass(frozen=True, slots=True)
class Image:
    id: str  # "sha256:…" of the config
    names: tuple[str, ...]
    digests: tuple[str, ...]  # repository@sha256:…
    size_bytes: int
    user: str = ""
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_dir: str = ""
    stop_signal: str = ""
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits of a cgroup; 0 is none. `cpu_shares` is the v1 scale (2 … 262144), converted on v2."""

    cpu_shares: int = 0
    cpu_quota_us: int = 0
    cpu_period_us: int = 100_000
    memory_limit_bytes: int = 0
    pids_limit: int = 0
    hugepages: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """
    `cgroup` is a path below the runtime's own root ("burstable/pod<uid>"); `netns` is the pinned network namespace, ""
    for the host's. `host_ipc`, `host_pid` share the host's. `hosts` and `resolv_conf` are files made by the caller.
    `own_users`: its users are nobody on the host; the runtime chooses `users`, the first number of their range.
    """

    id: str
    hostname: str
    cgroup: str
    netns: str = ""
    host_ipc: bool = False
    host_pid: bool = False
    share_pid: bool = False
    own_users: bool = False
    users: int = 0
    resources: Resources = Resources()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mount:
    source: str
    destination: str
    read_only: bool = False
    recursive_read_only: bool = False
    propagation: str = "rprivate"
    type: str = "bind"  # "bind" or "tmpfs"
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    host_path: str
    path: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True)
class Security:
    """
    `user` None takes the image's. `seccomp` is "default", "unconfined" or the path of a profile. `strict_groups`: none
    but those that are named here, whatever the image says of the user. `apparmor` is a profile that the kernel has.
    """

    user: int | None = None
    group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    privileged: bool = False
    read_only_root: bool = False
    no_new_privileges: bool = False
    seccomp: str = "default"
    unmasked_proc: bool = False
    run_as_non_root: bool = False
    strict_groups: bool = False
    apparmor: str = ""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """
    `id` is unique for each run. `command`/`args` empty take the image's. `env` wins over the image's. `log_path` gets
    the CRI log format (`time stream tag text`). `oom_score_adj` is best effort where the host forbids to lower it.
    `pid_of` is the id of a running container whose processes it sees and may trace: NotFound if that does not run.
    `annotations` are the bundle's, for hooks of the OCI runtime.
    """

    id: str
    sandbox: str
    name: str
    image: str  # a name or an id that `image()` knows
    log_path: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Sequence[tuple[str, str]] = ()
    working_dir: str = ""
    mounts: Sequence[Mount] = ()
    devices: Sequence[Device] = ()
    resources: Resources = Resources()
    security: Security = Security()
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    oom_score_adj: int = 0
    stop_signal: str = ""
    pid_of: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """
    `state` is "created", "running" or "exited"; times are Unix seconds, 0.0 when it has not happened. A container that
    could not be started has exited with 128 and a `message`. `signal` stays 0 where the monitor tells only 128 + n.
    `user` are the numbers that its first process was started with: user, group, all groups.
    """

    id: str
    sandbox: str
    name: str
    state: str
    pid: int = 0
    image_id: str = ""
    created_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    signal: int = 0
    oom_killed: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    user: tuple[int, int, tuple[int, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """
    Counters of one container or sandbox cgroup, read at `at` (Unix seconds). A brief look leaves out what follows
    `memory_usage_bytes`. `memory_limit_bytes` 0 is none. `pressure` is by cpu, memory and io, where the kernel has it.
    """

    cpu_ns: int
    memory_working_set_bytes: int
    memory_rss_bytes: int
    pids: int
    at: float = 0.0
    memory_usage_bytes: int = 0
    memory_cache_bytes: int = 0
    memory_limit_bytes: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    swap_bytes: int = 0
    periods: int = 0
    throttled_periods: int = 0
    throttled_ns: int = 0
    pressure: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)


class Process(Protocol):
    """A process in a container with its streams: an exec, or an attach to the first one."""

    async def write(self, data: bytes) -> None: ...

    async def close_input(self) -> None: ...

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """(1, stdout) and (2, stderr) chunks until the end."""

    async def resize(self, columns: int, rows: int) -> None: ...

    async def wait(self) -> int:
        """The exit code; a process ended by signal n gives 128 + n."""

    async def kill(self) -> None: ...

    def close(self) -> None:
        """Let go of the streams, as every user does at the end; whatever still runs goes on. Idempotent."""


class Runtime(Protocol):
    async def open(self) -> None:
        """Make the directories and cgroup roots, adopt what is running. Idempotent."""

    async def close(self) -> None:
        """Stop background work. Containers go on."""

    async def purge(self) -> None:
        """Remove every container, sandbox, cgroup, mount and file it ever made; images stay."""

    # images
    async def image(self, reference: str) -> Image | None: ...

    async def images(self) -> Sequence[Image]: ...

    async def pull(self, reference: str, credentials: Sequence[Credentials] = ()) -> Image: ...

    async def load(self, path: str) -> Sequence[Image]:
        """Unpack a docker or OCI archive."""

    async def remove_image(self, reference: str) -> None:
        """Drop all its names and layers. Unknown references are ignored; ImageInUse when a container was made of it."""

    async def mount_image(self, reference: str, target: str) -> None:
        """
        Show an image's files at an existing directory, read-only, nothing in them to be executed. Idempotent; whoever
        made the directory unmounts. Until then the image is in use. ImageMissing.
        """

    # sandboxes
    async def create_sandbox(self, spec: SandboxSpec) -> None:
        """Idempotent: an existing sandbox with this id is kept."""

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Remove its containers, namespaces and cgroup. Unknown ids are ignored."""

    async def sandboxes(self) -> Sequence[SandboxSpec]: ...

    async def update_sandbox(self, sandbox_id: str, resources: Resources) -> None: ...

    # containers
    async def prepare(self, spec: ContainerSpec) -> None:
        """Mount the root file system and write the bundle. ImageMissing when the image is not here."""

    async def start(self, container_id: str) -> ContainerStatus:
        """Create and start. StartFailed leaves an exited container with the message."""

    async def wait(self, container_id: str) -> ContainerStatus:
        """Returns when it has exited; also for containers that were started before this process."""

    async def signal(self, container_id: str, signal: str) -> None: ...

    async def stop(self, container_id: str, timeout_seconds: float, signal: str = "") -> ContainerStatus:
        """Send the stop signal, then KILL after the timeout, to everything in the container."""

    async def remove(self, container_id: str) -> None:
        """Free the root file system and the records; kills it first if it runs. Unknown ids are ignored."""

    async def status(self, container_id: str) -> ContainerStatus: ...

    async def containers(self) -> Sequence[ContainerStatus]: ...

    async def update(self, container_id: str, resources: Resources) -> None: ...

    async def usage(self, container_id: str) -> Usage: ...

    async def sandbox_usage(self, sandbox_id: str) -> Usage: ...

    async def usages(
        self, sandboxes: Sequence[str], containers: Sequence[str], *, brief: bool = False
    ) -> Mapping[str, Usage]:
        """Of many at once, by id; those that are gone are left out."""

    def layer(self, container_id: str) -> Path:
        """Where the files are that a container wrote to its root: to be measured, not to be touched."""

    async def execute(
        self, container_id: str, command: Sequence[str], *, tty: bool = False, stdin: bool = False
    ) -> Process:
        """A command that cannot be started is a Process too: a line of error, and the code 127 or 126."""

    async def attach(self, container_id: str) -> Process: ...

    async def reopen_log(self, container_id: str) -> None:
        """After the log file was renamed: go on in a new file."""

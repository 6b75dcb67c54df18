"""What can be chosen about containers and images of one machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """
    `data_dir` holds the writable layers of containers, `run_dir` their records (may be a tmpfs: they end with a
    reboot). `storage_root` and `storage_runroot` are those of containers/storage: with the defaults, an image built by
    buildah or podman on the host is there. `cgroup_parent` is our own cgroup below the root. `mirrors` maps a registry
    to those that are asked first; `insecure_registries` are spoken to over plain HTTP or with any certificate.
    """

    data_dir: Path = Path("/var/lib/tiphys/runtime")
    run_dir: Path = Path("/run/tiphys/runtime")
    storage_root: Path = Path("/var/lib/containers/storage")
    storage_runroot: Path = Path("/run/containers/storage")
    cgroup_parent: str = "tiphys"
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    insecure_registries: tuple[str, ...] = ()
    pull_timeout_seconds: float = 1800.0
    shm_bytes: int = 64 << 20

    @property
    def containers_dir(self) -> Path:
        return self.run_dir / "containers"

    @property
    def sandboxes_dir(self) -> Path:
        return self.run_dir / "sandboxes"

    @property
    def layers_dir(self) -> Path:
        """Upper and work directories, one of each a container."""
        return self.data_dir / "layers"

    @property
    def mount_points_dir(self) -> Path:
        """Mount points that images lack, one directory for each set of them."""
        return self.run_dir / "mount-points"

    @property
    def empty_dir(self) -> Path:
        """Directories of nothing, below image volumes."""
        return self.run_dir / "empty"

    @property
    def crun_root(self) -> Path:
        return self.run_dir / "crun"

    @property
    def secrets_dir(self) -> Path:
        """Where a pull's credentials are for its duration."""
        return self.run_dir / "auth"

    @property
    def storage(self) -> str:
        """The prefix by which skopeo names this store."""
        return f"containers-storage:[overlay@{self.storage_root}+{self.storage_runroot}]"

"""What the node agent is told once, by the composition root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.node.pressure.thresholds import DEFAULT_HARD

CONTAINER_LOG_BYTES_MAX = 10 * 1024 * 1024
CONTAINER_LOG_FILES_MAX = 5


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """
    `data_dir` holds pod directories and outlives a reboot; `run_dir` holds what must stay in memory (a tmpfs is
    mounted there for secrets and tokens). `port` is where the agent's HTTPS server answers (daemonEndpoints).
    `shutdown_seconds` is how long pods may take to end when the machine goes down, critical ones the last
    `shutdown_critical_seconds` of it.
    `system_reserved` is subtracted from capacity: `{"cpu": milli-CPU, "memory": bytes, "ephemeral-storage": bytes}`.
    `eviction_*` are written as the kubelet's options of these names (`pressure/thresholds.py`); `image_dir` is on the
    disk whose room they call imagefs. `kubelet_link` is a symlink to `data_dir` by which drivers and plugins know it.
    """

    node_name: str
    node_ip: str
    data_dir: Path
    run_dir: Path
    log_dir: Path = Path("/var/log/pods")
    port: int = 10250
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: Path = Path("/etc/resolv.conf")
    hosts_file: Path = Path("/etc/hosts")
    pods_max: int = 110
    pod_pids_limit: int = 0
    system_reserved: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    pod_cidr: str = ""
    api_address: tuple[str, int] = ("", 0)
    parallel_pulls_max: int = 4
    log_bytes_max: int = CONTAINER_LOG_BYTES_MAX
    log_files_max: int = CONTAINER_LOG_FILES_MAX
    lease_seconds: int = 40
    heartbeat_seconds: float = 300.0
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    eviction_hard: str = DEFAULT_HARD
    eviction_soft: str = ""
    eviction_soft_grace_period: str = ""
    eviction_max_pod_grace_seconds: int = 0
    image_dir: Path = Path("/var/lib/containers/storage")
    tmpfs_volumes: bool = True
    kubelet_link: Path | None = None
    static_pods_dir: Path | None = None
    shutdown_seconds: float = 0.0
    shutdown_critical_seconds: float = 0.0

    def shown(self, path: Path) -> str:
        """The name by which drivers and plugins know something below `data_dir`."""
        return str(self.kubelet_link / path.relative_to(self.data_dir) if self.kubelet_link is not None else path)

    def real(self, path: str) -> Path:
        """The other way."""
        link = self.kubelet_link
        if link is not None and Path(path).is_relative_to(link):
            return self.data_dir / Path(path).relative_to(link)
        return Path(path)

    @property
    def pods_dir(self) -> Path:
        return self.data_dir / "pods"

    @property
    def volumes_dir(self) -> Path:
        """Where the data of local-path volumes lie: a node tells it of itself."""
        return self.data_dir / "volumes"

    @property
    def plugins_registry(self) -> Path:
        """Where drivers and plugins show that they are there."""
        return self.data_dir / "plugins_registry"

    @property
    def csi_dir(self) -> Path:
        """Where storage drivers set up volumes for the node."""
        return self.data_dir / "plugins" / "kubernetes.io" / "csi"

    @property
    def device_plugins_dir(self) -> Path:
        """Where device plugins have their sockets, and we the one at which they register."""
        return self.data_dir / "device-plugins"

    @property
    def memory_dir(self) -> Path:
        """Where secrets and tokens are written: a tmpfs, so that they never reach a disk."""
        return self.run_dir / "memory"

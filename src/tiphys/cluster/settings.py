"""
What can be chosen about a cluster, in one frozen record, and where its files lie.

Built once by the command from its options; every part gets its own record from it. Nothing else reads the environment.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.node.pressure.thresholds import DEFAULT_HARD

DATA_DIR = Path("/var/lib/tiphys")
KUBELET_DIR = Path("/var/lib/kubelet")
RUN_DIR = Path("/run/tiphys")
API_PORT = 6443
NODE_PORT = 10250


@dataclass(frozen=True, slots=True)
class Settings:
    """
    One server. `port` 0 takes any free one. `memory` keeps the store in memory; then nothing survives a stop.

    `address` is where kubeconfigs find the API, `advertise` where pods do (empty: the address of the default route).

    `shutdown_grace` is how many seconds pods have to end, by priority, when the machine goes down (SIGPWR) or the
    cluster is taken down; critical ones the last `shutdown_grace_critical` of them. 0: all at once, and none is told.

    `static_pods` is a directory of manifests of pods that the node runs by itself. `system_reserved` and `eviction_*`
    are written as the kubelet's options of these names.

    `ingress_http_port` and `ingress_https_port` are taken when there is an Ingress; 0 for the first serves none.

    `kubelet_dir` is a symlink by which drivers and plugins know the node's directory.

    `run_node` starts the node agent, `run_controllers` the controllers and the scheduler.
    """

    data_dir: Path = DATA_DIR
    run_dir: Path = RUN_DIR
    address: str = "127.0.0.1"
    advertise: str = ""
    bind: str = "0.0.0.0"
    port: int = API_PORT
    node_port: int = NODE_PORT
    node_name: str = field(default_factory=lambda: socket.gethostname().lower())
    memory: bool = False
    run_node: bool = True
    run_controllers: bool = True
    ingress_http_port: int = 80
    ingress_https_port: int = 443
    pod_cidr: str = "10.42.0.0/24"
    service_cidr: str = "10.96.0.0/16"
    cluster_domain: str = "cluster.local"
    bridge: str = "tiphys0"
    nft_table: str = "tiphys"
    cgroup: str = "tiphys"
    storage_root: Path = Path("/var/lib/containers/storage")
    storage_run: Path = Path("/run/containers/storage")
    insecure_registries: tuple[str, ...] = ()
    registry_mirrors: tuple[tuple[str, str], ...] = ()  # (registry, mirror)
    static_pods: Path | None = None
    shutdown_grace: float = 0.0
    shutdown_grace_critical: float = 0.0
    system_reserved: str = ""
    eviction_hard: str = DEFAULT_HARD
    eviction_soft: str = ""
    eviction_soft_grace_period: str = ""
    kubelet_dir: Path | None = None
    kubeconfig: Path | None = None
    token_file: Path | None = None

    @property
    def kubernetes_address(self) -> str:
        """The cluster IP of the `kubernetes` Service: the first of the range."""
        return str(ipaddress.ip_network(self.service_cidr)[1])

    @property
    def dns_address(self) -> str:
        """The cluster IP of `kube-dns`: the tenth, as everywhere."""
        return str(ipaddress.ip_network(self.service_cidr)[10])

    # files

    @property
    def database(self) -> Path:
        return self.data_dir / "state.db"

    @property
    def pki_dir(self) -> Path:
        return self.data_dir / "pki"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.data_dir / "admin.kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.data_dir / "audit" / "audit.log"

    @property
    def log(self) -> Path:
        return self.data_dir / "tiphys.log"

    @property
    def pid_file(self) -> Path:
        return self.run_dir / "tiphys.pid"

    @property
    def ingress_dir(self) -> Path:
        """In memory: keys of certificates are in it."""
        return self.run_dir / "ingress"

    @property
    def kubelet_link(self) -> Path | None:
        """The usual name is for the cluster in the usual directory: two on one machine cannot share it."""
        return self.kubelet_dir or (KUBELET_DIR if self.data_dir == DATA_DIR else None)

    @property
    def pod_logs(self) -> Path:
        return Path("/var/log/pods") if self.data_dir == DATA_DIR else self.data_dir / "logs" / "pods"

"""
The keys of a cluster: its authority, what the server shows, and who its administrator is.

They lie in the pki directory and are made when they are missing; certificates are issued again when a third of their
life is left or the server got another address.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tiphys.cluster.settings import Settings
from tiphys.pki import authority, kubeconfig
from tiphys.pki.authority import Authority, KeyPair

CLUSTER = "tiphys"
FRONT_CLIENT = "front-proxy-client"
ADMIN, ADMIN_GROUP = "kubernetes-admin", "system:masters"
# As whom the API server speaks to node agents.
KUBELET_CLIENT = "kube-apiserver-kubelet-client"
# Any address of the Internet: no packet is sent, the kernel only says which of ours it would leave from.
_FAR_AWAY = ("192.0.2.1", 9)


@dataclass(frozen=True, slots=True)
class Identities:
    """
    `authority` signs clients and servers alike; `admin` may do everything. `node` is what this machine's agent shows,
    `kubelet_client` what the API server shows to agents. `front_authority` vouches for `front_client` alone: servers of
    other API groups believe what it says of who asks.
    """

    authority: Authority
    server: KeyPair
    admin: KeyPair
    kubelet_client: KeyPair
    node: KeyPair
    front_authority: Authority
    front_client: KeyPair


def load_or_create(settings: Settings, advertised: str) -> Identities:
    """What lies in the pki directory, completed and refreshed."""
    directory = settings.pki_dir
    signer = authority.load_or_create(directory, "ca", f"{CLUSTER}-ca")
    front = authority.load_or_create(directory, "front-proxy-ca", "front-proxy-ca")
    names = server_names(settings, advertised)
    own = tuple(dict.fromkeys(name for name in (settings.node_name, advertised, "127.0.0.1", "localhost") if name))

    def pair(
        stem: str, issue: Callable[[], KeyPair], addresses: tuple[str, ...] = (), by: Authority = signer
    ) -> KeyPair:
        found = _current(directory, stem, by, addresses)
        if found is None:
            found = issue()
            authority.save(directory, stem, found)
        return found

    return Identities(
        authority=signer,
        server=pair("apiserver", lambda: signer.issue_server("kube-apiserver", names), names),
        admin=pair("admin", lambda: signer.issue_client(ADMIN, (ADMIN_GROUP,))),
        kubelet_client=pair("kubelet-client", lambda: signer.issue_client(KUBELET_CLIENT)),
        node=pair("node", lambda: signer.issue_server(f"system:node:{settings.node_name}", own), own),
        front_authority=front,
        front_client=pair(FRONT_CLIENT, lambda: front.issue_client(FRONT_CLIENT), by=front),
    )


def trust_of(identities: Identities) -> dict[str, str]:
    """What servers of other API groups read to know us and our clients by."""
    return {
        "client-ca-file": identities.authority.bundle.decode("ascii"),
        "requestheader-allowed-names": json.dumps([FRONT_CLIENT]),
        "requestheader-client-ca-file": identities.front_authority.bundle.decode("ascii"),
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-uid-headers": '["X-Remote-Uid"]',
        "requestheader-username-headers": '["X-Remote-User"]',
    }


def _current(directory: Path, stem: str, signer: Authority, addresses: tuple[str, ...]) -> KeyPair | None:
    """The saved pair, or None if it has to be issued (again)."""
    pair = authority.load_pair(directory, stem)
    if pair is None or authority.is_due(pair, signer, now=time.time(), addresses=addresses):
        return None
    return pair


def server_names(settings: Settings, advertised: str) -> tuple[str, ...]:
    """Every name and address by which clients may reach the API: from the host, from pods, by DNS."""
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    names = (
        settings.address,
        "127.0.0.1",
        "::1",
        "localhost",
        settings.node_name,
        advertised,
        settings.kubernetes_address,
        *service,
        f"{service[-1]}.{settings.cluster_domain}",
    )
    return tuple(dict.fromkeys(name for name in names if name))


def advertised_address(settings: Settings) -> str:
    """Where pods reach this server: as set, or the address of the default route; empty if the host has none."""
    if settings.advertise:
        return settings.advertise
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_FAR_AWAY)
        except OSError:
            return ""
        address: str = probe.getsockname()[0]
    return "" if address.startswith("127.") else address


def saved_admin_access(settings: Settings, port: int) -> kubeconfig.Access | None:
    """
    The same from what lies in the pki directory, if it does. Nothing is checked, so that the command line need not load
    what reads certificates: that takes longer than the rest of a command.
    """
    signer, admin = (authority.load_pair(settings.pki_dir, stem) for stem in ("ca", "admin"))
    if signer is None or admin is None:
        return None
    return kubeconfig.Access(CLUSTER, f"https://{settings.address}:{port}", signer.certificate, admin)


def admin_access(settings: Settings, identities: Identities, port: int) -> kubeconfig.Access:
    """What the administrator's kubeconfig says."""
    server = f"https://{settings.address}:{port}"
    return kubeconfig.Access(CLUSTER, server, identities.authority.bundle, identities.admin)

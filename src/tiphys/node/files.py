"""
The files that the node makes for a pod: /etc/hosts, /etc/hostname, /etc/resolv.conf and the termination log.

Their text is made by pure functions; `PodFiles` only writes them below the pod's directory.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.node.settings import NodeSettings

Pod = Mapping[str, Any]

HOSTS_HEADER = "# Kubernetes-managed hosts file.\n"
HOSTS_HEADER_HOST_NETWORK = "# Kubernetes-managed hosts file (host network).\n"
NAMESERVERS_MAX = 3
SEARCHES_MAX = 32
HOSTNAME_MAX = 63

TERMINATION_MESSAGE_MAX = 4096
FALLBACK_MESSAGE_MAX = 2048
FALLBACK_LINES_MAX = 80


@dataclass(frozen=True, slots=True)
class Resolver:
    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def hostname_of(pod: Pod, node_name: str) -> str:
    """What `hostname` prints in the pod."""
    spec = pod["spec"]
    if spec.get("hostnameOverride"):
        return str(spec["hostnameOverride"])
    if spec.get("hostNetwork"):
        return node_name
    return str(spec.get("hostname") or pod["metadata"]["name"][:HOSTNAME_MAX].rstrip("-."))


def domain_of(pod: Pod, cluster_domain: str) -> str:
    """The DNS domain of a pod that names a subdomain."""
    spec = pod["spec"]
    if spec.get("hostnameOverride") or not spec.get("subdomain"):
        return ""
    return f"{spec['subdomain']}.{pod['metadata']['namespace']}.svc.{cluster_domain}"


def hosts_text(pod: Pod, address: str, settings: NodeSettings) -> str:
    """/etc/hosts, with the entries of hostAliases at the end."""
    if pod["spec"].get("hostNetwork"):
        own = settings.hosts_file.read_text() if settings.hosts_file.exists() else ""
        text = HOSTS_HEADER_HOST_NETWORK + own
    else:
        text = HOSTS_HEADER + (
            "127.0.0.1\tlocalhost\n"
            + "::1\tlocalhost ip6-localhost ip6-loopback\n"
            + "fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
        )
        host, domain = hostname_of(pod, settings.node_name), domain_of(pod, settings.cluster_domain)
        text += f"{address}\t{host}.{domain}\t{host}\n" if domain else f"{address}\t{host}\n"
    aliases = pod["spec"].get("hostAliases") or ()
    if aliases:
        lines = (f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or ()) for alias in aliases)
        text += "\n# Entries added by HostAliases.\n" + "\n".join(lines) + "\n"
    return text


def parse_resolver(text: str) -> Resolver:
    """What a resolv.conf says; the last `search` line holds."""
    nameservers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0][0] in "#;":
            continue
        if words[0] == "nameserver":
            nameservers.append(words[1])
        elif words[0] == "search":
            searches = [word.rstrip(".") or "." for word in words[1:]]
        elif words[0] == "options":
            options += words[1:]
    return Resolver(tuple(nameservers), tuple(searches), tuple(options))


def resolver_for(pod: Pod, settings: NodeSettings, host: Resolver) -> Resolver:
    """By dnsPolicy, then dnsConfig on top."""
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    wants_cluster = policy == "ClusterFirstWithHostNet" or (
        policy == "ClusterFirst" and not pod["spec"].get("hostNetwork")
    )
    if policy == "None":
        base = Resolver()
    elif wants_cluster and settings.cluster_dns:
        domain, namespace = settings.cluster_domain, pod["metadata"]["namespace"]
        own = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain)
        base = Resolver(settings.cluster_dns, _unique(own, host.searches), ("ndots:5",))
    else:
        base = host
    config = pod["spec"].get("dnsConfig") or {}
    options = dict(_option(text) for text in base.options)
    options |= {entry["name"]: entry.get("value") for entry in config.get("options") or ()}
    return Resolver(
        _unique(base.nameservers, config.get("nameservers") or ())[:NAMESERVERS_MAX],
        _unique(base.searches, config.get("searches") or ())[:SEARCHES_MAX],
        tuple(name if value is None else f"{name}:{value}" for name, value in options.items()),
    )


def _option(text: str) -> tuple[str, str | None]:
    name, colon, value = text.partition(":")
    return name, value if colon else None


def _unique(first: Iterable[str], then: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *then]))


def resolver_text(resolver: Resolver) -> str:
    lines = []
    if resolver.searches:
        lines.append(f"search {' '.join(resolver.searches)}\n")
    lines += [f"nameserver {address}\n" for address in resolver.nameservers]
    if resolver.options:
        lines.append(f"options {' '.join(resolver.options)}\n")
    return "".join(lines)


class PodFiles:
    """The directory of one pod, and what lies in it beside the volumes."""

    def __init__(self, pod: Pod, settings: NodeSettings) -> None:
        self._pod = pod
        self._settings = settings
        self.root = settings.pods_dir / pod["metadata"]["uid"]
        self.hosts = self.root / "etc-hosts"
        self.hostname = self.root / "etc-hostname"
        self.resolv_conf = self.root / "resolv.conf"

    def write(self, address: str) -> None:
        """Everything that depends on the pod alone and its address."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o750)
        host = self._settings.resolv_conf
        known = parse_resolver(host.read_text()) if host.exists() else Resolver()
        self.hosts.write_text(hosts_text(self._pod, address, self._settings))
        self.hostname.write_text(hostname_of(self._pod, self._settings.node_name) + "\n")
        self.resolv_conf.write_text(resolver_text(resolver_for(self._pod, self._settings, known)))

    def termination_log(self, container: str, attempt: int) -> Path:
        return self.root / f"termination-{container}-{attempt}"

    def make_termination_log(self, container: str, attempt: int) -> Path:
        """An empty file that any user of the container may write."""
        path = self.termination_log(container, attempt)
        self.root.mkdir(parents=True, exist_ok=True, mode=0o750)
        path.write_bytes(b"")
        path.chmod(0o666)
        return path

    def termination_message(self, container: str, attempt: int) -> str:
        """What the container left there, cut to its limit."""
        path = self.termination_log(container, attempt)
        try:
            # The container may have put anything there: never follow a link, never block on a pipe.
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return ""
        with os.fdopen(handle, "rb") as file:
            return file.read(TERMINATION_MESSAGE_MAX).decode("utf-8", "replace")

    def remove_termination_log(self, container: str, attempt: int) -> None:
        self.termination_log(container, attempt).unlink(missing_ok=True)

    def remove(self) -> None:
        """The whole directory; volumes must be unmounted before."""
        if self.root.exists():
            shutil.rmtree(self.root)


def last_lines(lines: Sequence[bytes]) -> str:
    """The tail of a log as a termination message."""
    text = b"".join(lines[-FALLBACK_LINES_MAX:])
    return text[-FALLBACK_MESSAGE_MAX:].decode("utf-8", "replace")

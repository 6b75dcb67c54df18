"""
The node's part of a cluster: network, runtime, agent, its HTTPS server, proxy, DNS and the way in for Ingresses.

Everything that lives on this machine and outlives the process (containers, rules, namespaces) is adopted at start and
left alone at the end.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from tiphys.apiserver.health import version
from tiphys.client.client import Client
from tiphys.client.informer import Informers
from tiphys.cluster import identities, kubelet_dir, reservations
from tiphys.cluster.closing import Closing
from tiphys.cluster.dns_service import publish
from tiphys.cluster.failures import CannotServe
from tiphys.cluster.identities import Identities
from tiphys.cluster.master import Master
from tiphys.cluster.settings import Settings
from tiphys.cluster.way_in import WayIn
from tiphys.dns.server import DnsServer
from tiphys.dns.server import bind as dns_sockets
from tiphys.dns.settings import DnsSettings
from tiphys.network import kept_sockets
from tiphys.network.door import NotPermitted
from tiphys.network.kernel import KernelNetwork
from tiphys.network.settings import NetworkSettings
from tiphys.node.agent import Doors, NodeAgent
from tiphys.node.machine import read_machine
from tiphys.node.server.figures import About, Figures
from tiphys.node.server.handler import NodeHandler
from tiphys.node.settings import NodeSettings
from tiphys.pki import tls
from tiphys.pki.authority import subject_of
from tiphys.proxy.counting import Counting
from tiphys.proxy.proxy import SERVICES, Proxy
from tiphys.proxy.settings import ProxySettings
from tiphys.runtime.crun import CrunRuntime
from tiphys.runtime.settings import RuntimeSettings
from tiphys.runtime.version import runtime_version
from tiphys.wire import server as http
from tiphys.wire.messages import Identity

DNS_PORT = 53


def network_settings(settings: Settings) -> NetworkSettings:
    return NetworkSettings(
        run_dir=settings.run_dir / "network",
        bridge=settings.bridge,
        pod_cidr=settings.pod_cidr,
        service_cidr=settings.service_cidr,
        table=settings.nft_table,
    )


def runtime_settings(settings: Settings) -> RuntimeSettings:
    mirrors: dict[str, tuple[str, ...]] = {}
    for registry, mirror in settings.registry_mirrors:
        mirrors[registry] = (*mirrors.get(registry, ()), mirror)
    return RuntimeSettings(
        data_dir=settings.data_dir / "runtime",
        run_dir=settings.run_dir / "runtime",
        storage_root=settings.storage_root,
        storage_runroot=settings.storage_run,
        cgroup_parent=settings.cgroup,
        mirrors=mirrors,
        insecure_registries=settings.insecure_registries,
    )


def node_settings(settings: Settings, node_ip: str) -> NodeSettings:
    return NodeSettings(
        node_name=settings.node_name,
        node_ip=node_ip,
        data_dir=settings.data_dir / "node",
        run_dir=settings.run_dir / "node",
        log_dir=settings.pod_logs,
        port=settings.node_port,
        cluster_dns=(settings.dns_address,),
        cluster_domain=settings.cluster_domain,
        pod_cidr=settings.pod_cidr,
        image_dir=settings.storage_root,
        system_reserved=reservations.system_reserved(settings.system_reserved),
        eviction_hard=settings.eviction_hard,
        eviction_soft=settings.eviction_soft,
        eviction_soft_grace_period=settings.eviction_soft_grace_period,
        static_pods_dir=settings.static_pods,
        shutdown_seconds=settings.shutdown_grace,
        shutdown_critical_seconds=settings.shutdown_grace_critical,
    )


def identity_of(settings: Settings) -> Identity:
    """As whom the agent speaks: the Node authorizer and NodeRestriction know it."""
    return Identity(f"system:node:{settings.node_name}", ("system:nodes", "system:authenticated"))


async def run(master: Master, informers: Informers, ready: Callable[[str], None], closing: Closing) -> None:
    """Work until cancelled; `ready` is told each step. Raises CannotServe."""
    settings = master.settings
    network = KernelNetwork(network_settings(settings))
    try:
        await network.open()
    except NotPermitted as error:
        raise CannotServe(str(error)) from None
    ready("network")
    runtime = CrunRuntime(runtime_settings(settings))
    node_ip = master.advertised or network_settings(settings).gateway
    own = replace(node_settings(settings, node_ip), kubelet_link=kubelet_dir.link(settings))
    client = Client(master.handle, identity=identity_of(settings), user_agent="kubelet")
    proxy = _proxy(settings, informers)
    way_in = WayIn(master, informers, node_ip)
    counting = Counting(counting_table(settings), informers.of(SERVICES).get, elsewhere=way_in.requests)
    machine = read_machine(own, runtime_version(), version()["gitVersion"])
    withdrawn = way_in.and_withdrawn(proxy.withdrawn)
    doors = Doors(client, runtime, network, machine, withdrawn, proxy.guarded, proxy.released)
    agent = NodeAgent(own, doors)
    try:
        handler = _handler(settings, agent, runtime, counting)
        async with _serving(master.identities, settings, handler), asyncio.TaskGroup() as group:
            group.create_task(proxy.run(), name="proxy")
            group.create_task(counting.run(), name="counting")
            dns = _dns(settings, client, informers)
            group.create_task(dns.run(), name="dns")
            group.create_task(way_in.run(), name="way in")
            # The rules of a process that was killed may lead to pods that are about to end: they are renewed first.
            await proxy.settled.wait()
            await way_in.settled()
            group.create_task(agent.run(), name="node agent")
            await publish(master, network_settings(settings).gateway, DNS_PORT)
            await agent.ready.wait()
            ready("node")
            await closing.asked.wait()
            await agent.shut_down()
            closing.done.set()
    finally:
        await runtime.close()
        await network.close()


def _proxy(settings: Settings, informers: Informers) -> Proxy:
    own = ProxySettings(
        settings.node_name,
        cluster_cidr=settings.pod_cidr,
        service_cidr=settings.service_cidr,
        table=f"{settings.nft_table}-services",
    )
    return Proxy(own, informers.of)


def counting_table(settings: Settings) -> str:
    """The packet rules that count what comes to Services, while somebody asks."""
    return f"{settings.nft_table}-counting"


def _dns(settings: Settings, client: Client, informers: Informers) -> DnsServer:
    own = DnsSettings(
        listen=((network_settings(settings).gateway, DNS_PORT),),
        domain=settings.cluster_domain,
        address=settings.dns_address,
        own_cidrs=(settings.pod_cidr, settings.service_cidr),
    )

    def sockets(host: str, port: int) -> tuple[socket.socket, socket.socket]:
        return kept_sockets.bound(settings.run_dir, (host, port), dns_sockets)

    return DnsServer(client, own, informer_of=informers.of, sockets=sockets)


def _handler(settings: Settings, agent: NodeAgent, runtime: CrunRuntime, counting: Counting) -> NodeHandler:
    """What the agent answers, to the API server alone."""

    def is_api_server(certificate: bytes) -> bool:
        return subject_of(certificate).name == identities.KUBELET_CLIENT

    about = About(settings.node_name, settings.data_dir, settings.storage_root)
    return NodeHandler(agent.here, runtime, is_api_server, figures=Figures(agent.here, about, counting))


@asynccontextmanager
async def _serving(keys: Identities, settings: Settings, handler: NodeHandler) -> AsyncIterator[None]:
    """The agent's HTTPS server."""
    context = tls.server_context(keys.node, client_authorities=keys.authority.bundle)
    try:
        listener = await http.start(handler, host=settings.bind, port=settings.node_port, tls=context)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"port {settings.node_port} (the node agent's) is taken: choose another with --node-port"
            raise CannotServe(text) from None
        raise
    try:
        yield
    finally:
        await listener.close()

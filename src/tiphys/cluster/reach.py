"""How the API server gets to machines: pools of connections to node agents and, for proxies, to anything."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from tiphys.api import errors
from tiphys.apiserver.aggregation.services import Backend
from tiphys.cluster.identities import Identities
from tiphys.pki import tls
from tiphys.wire.messages import Handler
from tiphys.wire.pool import HttpPool

Object = dict[str, Any]

# Pools that are kept; the one that was not used for longest goes first.
POOLS_MAX = 256


class Nodes:
    """The door `Reach`: nodes over TLS, with the API server's own certificate and theirs checked."""

    def __init__(self, keys: Identities) -> None:
        self.keys = keys
        self._to_nodes = tls.client_context(keys.authority.bundle, keys.kubelet_client)
        self._to_anything = tls.unverified_client_context()
        self._pools: OrderedDict[tuple[str, str], HttpPool] = OrderedDict()

    def node(self, node: Object) -> Handler:
        status = node.get("status") or {}
        address = next((a["address"] for a in status.get("addresses") or () if a["type"] == "InternalIP"), "")
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
        if not address or not port:
            raise errors.unavailable(f"node {node['metadata']['name']} has not said where its agent answers")
        return self._pool(f"https://{address}:{port}", node["metadata"]["name"])

    def address(self, host: str, port: int, *, tls: bool) -> Handler:
        return self._pool(f"{'https' if tls else 'http'}://{host}:{port}", "")

    def backend(self, server: Backend) -> Handler:
        """A server of another API group: it is shown the front proxy's certificate, and its own is checked."""
        key = (f"https://{server.host}:{server.port}", repr((server.name, server.authorities)))
        pool = self._pools.pop(key, None)
        if pool is None:
            if server.authorities is None:
                context = tls.unverified_client_context(self.keys.front_client)
            else:  # without any named, those of the system
                context = tls.client_context(server.authorities or None, self.keys.front_client)
            pool = HttpPool(key[0], tls=context, server_name=server.name)
        return self._keep(key, pool)

    def _pool(self, url: str, node_name: str) -> HttpPool:
        pool = self._pools.pop((url, node_name), None)
        if pool is None:
            context = self._to_nodes if node_name else self._to_anything
            pool = HttpPool(url, tls=context, server_name=node_name) if node_name else HttpPool(url, tls=context)
        return self._keep((url, node_name), pool)

    def _keep(self, key: tuple[str, str], pool: HttpPool) -> HttpPool:
        self._pools[key] = pool
        if len(self._pools) > POOLS_MAX:
            self._pools.popitem(last=False)
        return pool

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.close()
        self._pools.clear()

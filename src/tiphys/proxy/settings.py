"""What can be chosen about the proxy of one node."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """
    `cluster_cidr` holds the pods of all nodes: traffic from there keeps its source. `service_cidr` is where virtual
    addresses come from: what is sent to one that no Service has is refused; "" leaves it alone. `zone` is the node's
    topology zone, for endpoint hints. `masquerade_mark` is one bit of the packet mark that rules may set.
    """

    node_name: str
    cluster_cidr: str = "10.42.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    table: str = "tiphys-services"
    zone: str = ""
    masquerade_mark: int = 0x4000

"""
Where network policies are asked, in the table of Services. Pure.

Each packet of a new connection that the node forwards passes `policies`: after the Services' translation, so that it
is judged by the addresses of the pods at both ends. A pod that some policy isolates has an element in one of two maps,
which leads to the chain of the policies that select it; a chain returns for what they allow and drops the rest. Pods
with the same policies share a chain, peers are sets of addresses: a pod that comes or goes changes elements alone.

Two sorts of traffic do not come by: between the node and its own pods (which is not forwarded, and which Kubernetes
always allows: probes), and what belongs to a connection that was allowed once. All of this exists only while there is
a policy.
"""

from __future__ import annotations

from tiphys.network.rules import Chain, Change, Collection, PutChain, PutCollection

INGRESS, EGRESS = "policy-ingress", "policy-egress"
# (address, address) of isolated pods: no policy keeps a pod from reaching itself, as through its own Service.
ITSELF = "policy-itself"
DENY = "drop"
ALLOW = "return"

_HOOK = "type filter hook forward priority 0; policy accept;"
_RULES = (
    "ct state established,related accept",
    f"ip saddr . ip daddr @{ITSELF} accept",
    f"ip saddr vmap @{EGRESS}",
    f"ip daddr vmap @{INGRESS}",
)


def base() -> list[Change]:
    """What is there as soon as there is a policy."""
    return [
        PutCollection(Collection(INGRESS, "ip daddr", "verdict")),
        PutCollection(Collection(EGRESS, "ip saddr", "verdict")),
        PutCollection(Collection(ITSELF, "ip saddr . ip daddr")),
        PutChain(Chain("policies", _RULES, _HOOK)),
    ]


def addresses(name: str) -> PutCollection:
    """A set of pods' addresses."""
    return PutCollection(Collection(name, "ip saddr"))


def ports(name: str) -> PutCollection:
    """A set of pods' addresses with the port that goes by a name there."""
    return PutCollection(Collection(name, "ip daddr . meta l4proto . th dport"))

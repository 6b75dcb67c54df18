"""Generations of the kinds that admission is made of."""

from __future__ import annotations

from tiphys.api.strategy.keeping import keep_all_but_status_proper
from tiphys.api.strategy.strategies import Strategy

_GROUP = "admissionregistration.k8s.io"
_PLAIN = Strategy(has_status=False)
STRATEGIES = {
    (_GROUP, "validatingwebhookconfigurations"): _PLAIN,
    (_GROUP, "mutatingwebhookconfigurations"): _PLAIN,
    (_GROUP, "validatingadmissionpolicies"): Strategy(subresources={"status": keep_all_but_status_proper}),
    (_GROUP, "validatingadmissionpolicybindings"): _PLAIN,
    (_GROUP, "mutatingadmissionpolicies"): _PLAIN,
    (_GROUP, "mutatingadmissionpolicybindings"): _PLAIN,
}

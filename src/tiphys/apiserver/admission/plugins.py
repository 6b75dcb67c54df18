"""The plugins that are on, in Kubernetes' order. The order matters: defaults come before who counts them."""

from __future__ import annotations

from tiphys.apiserver.admission import (
    default_tolerations,
    namespace_lifecycle,
    node_restriction,
    priority,
    runtime_class,
    service_account,
    storage,
    taint_nodes,
)
from tiphys.apiserver.admission.chain import AdmissionChain
from tiphys.apiserver.authz import escalation
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.cache import Cache


def chain(cache: Cache, authorizer: Authorizer) -> AdmissionChain:
    """Every plugin over one cache."""
    return AdmissionChain(
        (
            namespace_lifecycle.plugin(cache),
            service_account.plugin(cache),
            node_restriction.plugin(cache),
            taint_nodes.plugin(),
            priority.plugin(cache),
            default_tolerations.plugin(),
            storage.default_class(cache),
            storage.in_use_protection(),
            storage.resize(cache),
            runtime_class.plugin(cache),
            escalation.plugin(authorizer),
        )
    )

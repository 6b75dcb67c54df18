"""The plugins that are on, in Kubernetes' order. The order matters: defaults come before who counts them."""

from __future__ import annotations

from tiphys.apiserver.admission import (
    certificates,
    default_tolerations,
    ingress_class,
    limit_ranger,
    namespace_lifecycle,
    node_restriction,
    own_annotations,
    pod_security,
    priority,
    resource_quota,
    runtime_class,
    service_account,
    storage,
    taint_nodes,
)
from tiphys.apiserver.admission.chain import AdmissionChain
from tiphys.apiserver.authz import escalation
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.parts import Parts


def chain(parts: Parts, authorizer: Authorizer) -> AdmissionChain:
    """Every plugin over one cache; `parts` is what quotas are counted with."""
    cache = parts.cache
    return AdmissionChain(
        (
            namespace_lifecycle.plugin(cache),
            limit_ranger.plugin(cache),
            service_account.plugin(cache),
            node_restriction.plugin(cache),
            taint_nodes.plugin(),
            pod_security.plugin(cache),
            priority.plugin(cache),
            default_tolerations.plugin(),
            storage.default_class(cache),
            storage.in_use_protection(),
            storage.resize(cache),
            runtime_class.plugin(cache),
            certificates.requester(),
            certificates.approval(authorizer),
            certificates.signing(authorizer),
            certificates.subject_restriction(),
            ingress_class.plugin(cache),
            own_annotations.plugin(cache),
            resource_quota.plugin(parts),
            escalation.plugin(authorizer),
        ),
        cache.caught_up,
    )

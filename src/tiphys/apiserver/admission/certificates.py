"""
CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may approve and sign for which signer,
and that nobody asks for a client certificate of the group that may do everything.
"""

from __future__ import annotations

from tiphys.apiserver.admission.chain import CREATE, UPDATE, Plugin, forbidden, on
from tiphys.apiserver.authn.groups import MASTERS
from tiphys.apiserver.authz.attributes import Access
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.call import Attributes, Object
from tiphys.apiserver.reviews.authentication import user_info
from tiphys.pki.requests import organizations_of

GROUP = "certificates.k8s.io"
REQUESTS = "certificatesigningrequests"
_REQUESTER_FIELDS = ("username", "uid", "groups", "extra")
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


def approval(authorizer: Authorizer) -> Plugin:
    """Who approves needs the right to approve for the signer."""

    def validate(attributes: Attributes) -> None:
        signer = _signer(attributes.old or {})
        if not _may(authorizer, attributes, "approve", signer):
            raise forbidden(attributes, f'user not permitted to approve requests with signerName "{signer}"')

    return Plugin("CertificateApproval", on((UPDATE,), (GROUP, f"{REQUESTS}/approval")), None, validate)


def signing(authorizer: Authorizer) -> Plugin:
    """Who puts a certificate in needs the right to sign for the signer."""

    def validate(attributes: Attributes) -> None:
        old, new = attributes.old or {}, attributes.object or {}
        before, after = old.get("status") or {}, new.get("status") or {}
        if before.get("certificate") == after.get("certificate") and _failed(before) == _failed(after):
            return
        signer = _signer(old)
        if not _may(authorizer, attributes, "sign", signer):
            raise forbidden(attributes, f'user not permitted to sign requests with signerName "{signer}"')

    return Plugin("CertificateSigning", on((UPDATE,), (GROUP, f"{REQUESTS}/status")), None, validate)


def requester() -> Plugin:
    """
    Who asks for a certificate is who sent the request, whatever its body says; what is asked for never changes later.

    Kubernetes does this where it stores the request, which knows no users here.
    """

    def mutate(attributes: Attributes) -> None:
        new, old = attributes.object, attributes.old
        if new is None:
            return
        new["metadata"].pop("managedFields", None)  # nobody manages a request: it is asked once and answered once
        if old is not None:
            new["spec"] = old.get("spec") or {}
            return
        asked = {name: value for name, value in (new.get("spec") or {}).items() if name not in _REQUESTER_FIELDS}
        new["spec"] = asked | user_info(attributes.user)
        new["status"] = {}

    kinds = [(GROUP, name) for name in (REQUESTS, f"{REQUESTS}/approval", f"{REQUESTS}/status")]
    return Plugin("CertificateRequester", on((CREATE, UPDATE), *kinds), mutate)


def subject_restriction() -> Plugin:
    """No client certificate in system:masters."""

    def validate(attributes: Attributes) -> None:
        spec = (attributes.object or {}).get("spec") or {}
        if spec.get("signerName") != CLIENT_SIGNER:
            return
        if MASTERS in organizations_of(spec.get("request", "")):
            why = f'use of {CLIENT_SIGNER} signer with "system:masters" group is not allowed'
            raise forbidden(attributes, why)

    return Plugin("CertificateSubjectRestriction", on((CREATE,), (GROUP, REQUESTS)), None, validate)


def _signer(obj: Object) -> str:
    return str((obj.get("spec") or {}).get("signerName", ""))


def _failed(status: Object) -> bool:
    return any(condition.get("type") == "Failed" for condition in status.get("conditions") or ())


def _may(authorizer: Authorizer, attributes: Attributes, verb: str, signer: str) -> bool:
    """By the signer's name, or by all names of its domain."""
    names = (signer, f"{signer.partition('/')[0]}/*")
    accesses = (Access(attributes.user, verb, GROUP, "v1", "signers", name=name) for name in names)
    return any(authorizer.decide(access)[0] for access in accesses)

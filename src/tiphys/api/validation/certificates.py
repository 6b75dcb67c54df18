"""Is a CertificateSigningRequest valid. The request itself is read by whoever signs it; here only its armour is."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, duplicate, forbidden, invalid, not_supported, required
from tiphys.api.validation.validator import Object, Validator

SECONDS_MIN = 600
USAGES = (
    "signing", "digital signature", "content commitment", "key encipherment", "key agreement", "data encipherment",
    "cert sign", "crl sign", "encipher only", "decipher only", "any", "server auth", "client auth", "code signing",
    "email protection", "s/mime", "ipsec end system", "ipsec tunnel", "ipsec user", "timestamping", "ocsp signing",
    "microsoft sgc", "netscape sgc",
)  # fmt: skip
_VERDICTS = ("Approved", "Denied")
_SIGNER_LENGTH_MAX = 571


def request(obj: Object) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors = []
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in base64.b64decode(spec.get("request") or ""):
        text = "PEM block type must be CERTIFICATE REQUEST"
        errors.append(invalid("spec.request", spec.get("request"), text))
    errors += _usage_errors(spec.get("usages") or ())
    signer = spec.get("signerName", "")
    errors += signer_errors(signer, "spec.signerName") if signer else [required("spec.signerName")]
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < SECONDS_MIN:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.append(invalid("spec.expirationSeconds", seconds, text))
    return errors + _condition_errors((obj.get("status") or {}).get("conditions") or ())


def _usage_errors(usages: Sequence[str]) -> list[FieldError]:
    if not usages:
        return [required("spec.usages")]
    errors = []
    for index, usage in enumerate(usages):
        path = f"spec.usages[{index}]"
        if usage not in USAGES:
            errors.append(not_supported(path, usage, USAGES))
        if usage in usages[:index]:
            errors.append(duplicate(path, usage))
    return errors


def signer_errors(name: str, path: str) -> list[FieldError]:
    """`example.com/signer`."""
    domain, slash, rest = name.partition("/")
    if not slash or "/" in rest:
        return [invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")]
    errors = [invalid(path, domain, f"validating label {domain!r}: {text}") for text in names.dns_subdomain(domain)]
    if "." not in domain:
        errors.append(invalid(path, domain, "should be a domain with at least two segments separated by dots"))
    errors += [invalid(path, rest, text) for text in names.dns_subdomain(rest)]
    if len(name) > _SIGNER_LENGTH_MAX:
        text = f"may not be more than {_SIGNER_LENGTH_MAX} bytes"
        errors.append(FieldError(path, "FieldValueTooLong", f"Too long: {text}"))
    return errors


def _condition_errors(conditions: Sequence[Object]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        path, kind, status = f"status.conditions[{index}]", condition.get("type", ""), condition.get("status", "")
        if not kind:
            errors.append(required(f"{path}.type"))
        elif kind in seen:
            errors.append(duplicate(f"{path}.type", kind))
        if kind in _VERDICTS and len(seen & set(_VERDICTS) - {kind}):
            text = "Approved and Denied conditions are mutually exclusive"
            errors.append(invalid("status.conditions", kind, text))
        seen.add(kind)
        if not status:
            errors.append(required(f"{path}.status"))
        elif kind in (*_VERDICTS, "Failed") and status != "True":
            errors.append(not_supported(f"{path}.status", status, ("True",)))
        elif status not in ("True", "False", "Unknown"):
            errors.append(not_supported(f"{path}.status", status, ("False", "True", "Unknown")))
    return errors


def _kept_errors(new: Object, old: Object) -> list[FieldError]:
    """No verdict is taken back, and a certificate is given once."""
    status, before = new.get("status") or {}, old.get("status") or {}
    kinds = [each.get("type", "") for each in status.get("conditions") or ()]
    errors = [
        forbidden("status.conditions", f'updates may not remove a condition of type "{each["type"]}"')
        for each in before.get("conditions") or ()
        if each.get("type") in (*_VERDICTS, "Failed") and each["type"] not in kinds
    ]
    if before.get("certificate") and status.get("certificate") != before["certificate"]:
        text = "updates may not set certificate content if existing certificate content is present"
        errors.append(forbidden("status.certificate", text))
    return errors


def request_update(new: Object, old: Object) -> list[FieldError]:
    return _kept_errors(new, old) or _condition_errors((new.get("status") or {}).get("conditions") or ())


def request_status(new: Object, old: Object) -> list[FieldError]:
    """What a signer writes is a certificate."""
    errors = request_update(new, old)
    certificate = (new.get("status") or {}).get("certificate")
    is_new = certificate and certificate != (old.get("status") or {}).get("certificate")
    if is_new and b"-----BEGIN CERTIFICATE-----" not in base64.b64decode(certificate or ""):
        text = "must contain at least one CERTIFICATE PEM block"
        errors.append(invalid("status.certificate", "<certificate data>", text))
    return errors


VALIDATORS = {
    ("certificates.k8s.io", "certificatesigningrequests"): Validator(
        request,
        request_update,
        names.path_segment,
        subresources={"approval": request_update, "status": request_status},
    )
}

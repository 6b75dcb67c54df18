"""
A certificate authority in two files, and the certificates it issues.

Keys are EC P-256: small, quick, and understood by every TLS stack. The certificate file may hold several authorities:
the first one issues, all of them are trusted. So a rotation puts a new one in front, everybody learns to trust both,
and the old one is dropped when nothing that it signed is left.

`cryptography` costs about 15 MB; it is imported only where something is made or looked into.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tiphys.pki import files

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 365
# A clock that is a little behind ours must not refuse what was just issued.
BACKDATED = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, PEM. `certificate` may be a chain."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate names. In Kubernetes the name is the user and the organizations are the groups."""

    name: str
    organizations: tuple[str, ...]
    serial: int
    expires_at: float  # Unix seconds


class Authority:
    """Issues certificates. `bundle` (PEM) is what others have to trust."""

    def __init__(self, bundle: bytes, key: bytes) -> None:
        """Raises ValueError if the key is not that of the first certificate."""
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        self.bundle = bundle
        self._key_pem = key
        self._certificate = x509.load_pem_x509_certificates(bundle)[0]
        loaded = load_pem_private_key(key, None)
        if not isinstance(loaded, EllipticCurvePrivateKey) or loaded.public_key() != self._certificate.public_key():
            raise ValueError("the authority's key does not belong to its certificate")
        self._key = loaded

    @property
    def pair(self) -> KeyPair:
        return KeyPair(self.bundle, self._key_pem)

    def issue_server(self, name: str, addresses: Sequence[str], *, days: int = CERTIFICATE_DAYS) -> KeyPair:
        """A certificate for a server that is reached by `addresses`: DNS names and IP addresses."""
        return self._issue(name, (), addresses, days=days, client=False)

    def issue_client(self, name: str, organizations: Sequence[str] = (), *, days: int = CERTIFICATE_DAYS) -> KeyPair:
        """A certificate that says who a client is."""
        return self._issue(name, organizations, (), days=days, client=True)

    def issue_node(self, name: str, addresses: Sequence[str], *, days: int = CERTIFICATE_DAYS) -> KeyPair:
        """A node agent's serving certificate, named as its client certificate is."""
        return self._issue(f"system:node:{name}", ("system:nodes",), addresses, days=days, client=False)

    def rotated(self) -> Authority:
        """A new authority of the same name in front of the ones that are trusted now."""
        name = subject_of_pem(self.bundle).name
        fresh = create(name)
        return Authority(fresh.bundle + self.bundle, fresh._key_pem)

    def issued(self, certificate: bytes) -> bool:
        """Whether the authority that issues now (not an older one) signed this PEM certificate."""
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature

        try:
            x509.load_pem_x509_certificate(certificate).verify_directly_issued_by(self._certificate)
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True

    def _issue(
        self, name: str, organizations: Sequence[str], addresses: Sequence[str], *, days: int, client: bool
    ) -> KeyPair:
        from cryptography import x509
        from cryptography.x509.oid import ExtendedKeyUsageOID

        key = _new_key()
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = _builder(name, organizations, key.public_key(), days)
        # Never beyond the authority's own end: a chain is as valid as its shortest link.
        if _now() + timedelta(days=days) > self._certificate.not_valid_after_utc:
            builder = _builder(name, organizations, key.public_key(), days, until=self._certificate.not_valid_after_utc)
        authority_key = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            builder.issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_key), critical=False
            )
        )
        if addresses:
            builder = builder.add_extension(x509.SubjectAlternativeName(_general_names(addresses)), critical=False)
        return _signed(builder, key, self._key)


def create(name: str, *, days: int = AUTHORITY_DAYS) -> Authority:
    """A new authority."""
    from cryptography import x509

    key = _new_key()
    builder = _builder(name, (), key.public_key(), days)
    builder = (
        builder.issuer_name(_name(name, ()))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
    )
    pair = _signed(builder, key, key)
    return Authority(pair.certificate, pair.key)


def load_or_create(directory: Path, stem: str, name: str) -> Authority:
    """The authority in `stem`.crt and `stem`.key, made when neither exists. Raises FileNotFoundError if one is lost."""
    pair = load_pair(directory, stem)
    if pair is not None:
        return Authority(pair.certificate, pair.key)
    authority = create(name)
    save(directory, stem, authority.pair)
    return authority


def load_pair(directory: Path, stem: str) -> KeyPair | None:
    """What `save` wrote; None if there is nothing. Half a pair raises FileNotFoundError: better than a new identity."""
    certificate, key = directory / f"{stem}.crt", directory / f"{stem}.key"
    if not certificate.exists() and not key.exists():
        return None
    return KeyPair(certificate.read_bytes(), key.read_bytes())


def save(directory: Path, stem: str, pair: KeyPair) -> None:
    """Write `stem`.key, then `stem`.crt."""
    files.write(directory / f"{stem}.key", pair.key)
    files.write(directory / f"{stem}.crt", pair.certificate)


def is_due(pair: KeyPair, authority: Authority, *, now: float, addresses: Iterable[str] = ()) -> bool:
    """Whether to issue again: a third of the life is left, another authority issues now, or an address is missing."""
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(pair.certificate)
    begins, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    if now > ends - (ends - begins) / 3 or not authority.issued(pair.certificate):
        return True
    return not set(addresses) <= set(addresses_of(pair.certificate))


def addresses_of(certificate: bytes) -> tuple[str, ...]:
    """The DNS names and IP addresses in a PEM certificate."""
    from cryptography import x509

    try:
        extensions = x509.load_pem_x509_certificate(certificate).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in names)


@lru_cache(maxsize=1024)
def subject_of(certificate: bytes) -> Subject:
    """Whom a DER certificate names. Kept for certificates seen before: every request of a connection asks."""
    from cryptography import x509

    return _subject(x509.load_der_x509_certificate(certificate))


def subject_of_pem(certificate: bytes) -> Subject:
    """Whom the first PEM certificate names."""
    from cryptography import x509

    return _subject(x509.load_pem_x509_certificates(certificate)[0])


def _subject(certificate: x509.Certificate) -> Subject:
    from cryptography.x509.oid import NameOID

    names = [str(item.value) for item in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = tuple(str(item.value) for item in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    ends = certificate.not_valid_after_utc.timestamp()
    return Subject(names[0] if names else "", groups, certificate.serial_number, ends)


# building blocks


def _now() -> datetime:
    return datetime.now(timezone.utc)  # noqa: UP017 - one spelling for every supported Python


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _name(name: str, organizations: Sequence[str]) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    name: str,
    organizations: Sequence[str],
    public_key: EllipticCurvePublicKey,
    days: int,
    *,
    until: datetime | None = None,
) -> x509.CertificateBuilder:
    from cryptography import x509

    now = _now()
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name, organizations))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(until or now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_names(addresses: Sequence[str]) -> list[x509.GeneralName]:
    from cryptography import x509

    names: list[x509.GeneralName] = []
    for address in dict.fromkeys(addresses):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(address)))
        except ValueError:
            names.append(x509.DNSName(address))
    return names


def _signed(builder: x509.CertificateBuilder, key: EllipticCurvePrivateKey, signer: EllipticCurvePrivateKey) -> KeyPair:
    from cryptography.hazmat.primitives import hashes, serialization

    certificate = builder.sign(signer, hashes.SHA256())
    return KeyPair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )

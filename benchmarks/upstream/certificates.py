"""Certificates made at run time: right, or wrong in one way each."""

import shutil
import ssl
import tempfile
import weakref
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a server shows of itself."""

    says: str
    names: tuple[str, ...] = ("localhost",)
    addresses: tuple[str, ...] = ("127.0.0.1", "::1")
    ended: timedelta = -_DAY
    """How long ago it expired."""
    self_signed: bool = False


CERTIFICATES: dict[str, Certificate] = {
    "valid": Certificate(says="for this host, signed by the authority in `ca_file`"),
    "expired": Certificate(says="out of date since yesterday", ended=_DAY),
    "wrong_host": Certificate(says="for another host", names=("elsewhere.invalid",), addresses=()),
    "self_signed": Certificate(
        says="signed by itself; the authority in `ca_file` has never heard of it", self_signed=True
    ),
}


class Credentials:
    """A key, its certificate and an authority, in files of their own that go when this goes."""

    def __init__(self, kind: str) -> None:
        """`kind` is a name from CERTIFICATES; ValueError for any other."""
        if kind not in CERTIFICATES:
            raise ValueError(f"no certificate {kind!r}; there are: {', '.join(CERTIFICATES)}")
        folder = Path(tempfile.mkdtemp(prefix="upstream-tls-"))
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.ca_file = folder / "ca.pem"
        """What a client trusts, in `SSL_CERT_FILE` for one."""
        self._server_file = folder / "server.pem"
        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        authority = _authority(ca_key)
        certificate = _certificate(CERTIFICATES[kind], key, ca_key)
        self.ca_file.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
        self._server_file.write_bytes(_in_clear(key) + certificate.public_bytes(serialization.Encoding.PEM))

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._server_file)
        return context


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    now, name = datetime.now(UTC), _name("Simulated authority")
    usage = _usage(signs_certificates=True)
    return (
        _builder(subject=name, issuer=name, key=key, issuer_key=key, begin=now - 9 * _DAY, end=now + 9 * _DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _certificate(
    kind: Certificate, key: ec.EllipticCurvePrivateKey, ca_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    now, name = datetime.now(UTC), _name("Simulated upstream")
    issuer, issuer_key = (name, key) if kind.self_signed else (_name("Simulated authority"), ca_key)
    names: list[x509.GeneralName] = [x509.DNSName(host) for host in kind.names]
    names += [x509.IPAddress(ip_address(address)) for address in kind.addresses]
    end = now - kind.ended
    return (
        _builder(subject=name, issuer=issuer, key=key, issuer_key=issuer_key, begin=end - 3 * _DAY, end=end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _builder(
    *,
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    begin: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    """What every certificate has; the key identifiers because Python 3.13 and later insist on them."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _in_clear(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Nothing is protected by this key."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

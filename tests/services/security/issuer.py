"""An identity provider with real keys, the tokens that it signs, and those that somebody forges."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from services.security.permissions import Role
from services.security.refusals import Reason
from services.security.tokens import TokenPolicy

ISSUER = "https://login.example.com/realms/acme"
AUDIENCE = "mainstay"
START = datetime(2026, 11, 22, tzinfo=UTC)
NOW = START.timestamp()
POLICY = TokenPolicy(
    issuer=ISSUER,
    audience=AUDIENCE,
    algorithms=frozenset({"RS256", "PS384", "ES256", "ES512", "EdDSA"}),
    role_claim=("realm_access", "roles"),
    roles={"mainstay-operators": Role.OPERATOR, "mainstay-admins": Role.ADMIN},
)
ALGORITHM_OF = {"rsa": "RS256", "pss": "PS384", "ec": "ES256", "ec-521": "ES512", "ed": "EdDSA"}
"""By the `kid` of each of the provider's keys."""


@cache
def private_key(kid: str) -> Any:
    """Made once for all tests: an RSA key takes a tenth of a second."""
    if kid == "ed":
        return ed25519.Ed25519PrivateKey.generate()
    if kid.startswith("ec"):
        return ec.generate_private_key(ec.SECP521R1() if kid == "ec-521" else ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def jwk(kid: str, /, **changes: Any) -> dict[str, Any]:
    """The public part of a key as the provider publishes it."""
    key = private_key(kid).public_key()
    reader = {"e": ECAlgorithm if kid.startswith("ec") else OKPAlgorithm}.get(kid[0], RSAAlgorithm)
    return {
        **reader.to_jwk(key, as_dict=True),
        "kid": kid,
        "use": "sig",
        "alg": ALGORITHM_OF.get(kid, "RS256"),
    } | changes


def key_set(*jwks: Mapping[str, Any]) -> bytes:
    """A key set; without arguments the provider's."""
    return json.dumps({"keys": list(jwks or map(jwk, ALGORITHM_OF))}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """What a good token says; a claim that is changed to None is left out."""
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "tenant": "acme",
        "iat": int(NOW),
        "exp": int(NOW) + 600,
    }
    return {name: value for name, value in (said | changes).items() if value is not None}


def token(kid: str = "ec", header: Mapping[str, Any] | None = None, **changes: Any) -> str:
    """A token that the provider has signed."""
    return jwt.encode(claims(**changes), private_key(kid), ALGORITHM_OF[kid], {"kid": kid, **(header or {})})


def part(value: object) -> str:
    """A part of a token, of bytes or of what is written as JSON."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(header: object, said: object, sign: Callable[[bytes], bytes] = lambda signed: b"") -> str:
    """A token of these parts, signed as somebody likes."""
    signed = f"{part(header)}.{part(said)}"
    return f"{signed}.{part(sign(signed.encode()))}"


def with_secret(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda signed: hmac.digest(secret, signed, hashlib.sha256)


def pem(kid: str) -> bytes:
    key = private_key(kid).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(serialization.Encoding.PEM, form))


def _tampered(whole: str, **changes: Any) -> str:
    """The same head and signature round other claims."""
    head, body, signature = whole.split(".")
    said = json.loads(urlsafe_b64decode(body + "=="))
    return f"{head}.{part(said | changes)}.{signature}"


def _cut(whole: str) -> str:
    """Without the last bytes of its signature."""
    signed, _, signature = whole.rpartition(".")
    return f"{signed}.{part(urlsafe_b64decode(signature + '==')[:-3])}"


def _strangers(header: Mapping[str, Any]) -> str:
    """Signed by a key of the forger's own."""
    return jwt.encode(claims(), private_key("ec-of-somebody-else"), "ES256", dict(header))


FORGED: Mapping[str, tuple[Callable[[], str], Reason]] = {
    "alg none": (lambda: forged({"alg": "none", "kid": "ec"}, claims()), Reason.TOKEN_ALGORITHM),
    "alg None": (lambda: forged({"alg": "None", "kid": "ec"}, claims(), lambda _: b"x"), Reason.TOKEN_ALGORITHM),
    "no alg": (lambda: forged({"kid": "ec"}, claims()), Reason.TOKEN_ALGORITHM),
    "alg is a list": (lambda: forged({"alg": ["ES256"], "kid": "ec"}, claims()), Reason.TOKEN_ALGORITHM),
    "HS256 by the public key": (
        lambda: forged({"alg": "HS256", "kid": "rsa"}, claims(), with_secret(pem("rsa"))),
        Reason.TOKEN_ALGORITHM,
    ),
    "HS256 by an empty secret": (
        lambda: forged({"alg": "HS256", "kid": "rsa"}, claims(), with_secret(b"")),
        Reason.TOKEN_ALGORITHM,
    ),
    "RS256 that is an HMAC by the public key": (
        lambda: forged({"alg": "RS256", "kid": "rsa"}, claims(), with_secret(pem("rsa"))),
        Reason.TOKEN_SIGNATURE,
    ),
    "an algorithm that is not taken": (
        lambda: jwt.encode(claims(), private_key("rsa"), "RS512", {"kid": "rsa"}),
        Reason.TOKEN_ALGORITHM,
    ),
    "an algorithm that is another key's": (
        lambda: jwt.encode(claims(), private_key("rsa"), "PS384", {"kid": "rsa"}),
        Reason.TOKEN_SIGNER_UNKNOWN,
    ),
    "unknown kid": (lambda: token(header={"kid": "nobody"}), Reason.TOKEN_SIGNER_UNKNOWN),
    "no kid": (lambda: jwt.encode(claims(), private_key("ec"), "ES256"), Reason.TOKEN_SIGNER_UNKNOWN),
    "empty kid": (lambda: token(header={"kid": ""}), Reason.TOKEN_SIGNER_UNKNOWN),
    "endless kid": (lambda: token(header={"kid": "k" * 300}), Reason.TOKEN_SIGNER_UNKNOWN),
    "kid is a number": (lambda: forged({"alg": "ES256", "kid": 1}, claims()), Reason.TOKEN_UNREADABLE),
    "kid is a path": (
        lambda: forged({"alg": "ES256", "kid": "../../../../dev/null"}, claims(), with_secret(b"")),
        Reason.TOKEN_SIGNER_UNKNOWN,
    ),
    "kid is SQL": (lambda: token(header={"kid": "x' UNION SELECT 'secret"}), Reason.TOKEN_SIGNER_UNKNOWN),
    "kid is a URL": (lambda: token(header={"kid": "http://127.0.0.1:1/keys"}), Reason.TOKEN_SIGNER_UNKNOWN),
    "jku elsewhere": (
        lambda: _strangers({"kid": "theirs", "jku": "http://127.0.0.1:1/jwks.json", "x5u": "http://127.0.0.1:1/x"}),
        Reason.TOKEN_SIGNER_UNKNOWN,
    ),
    "jwk in the header": (
        lambda: _strangers({"kid": "ec", "jwk": jwk("ec-of-somebody-else", alg="ES256")}),
        Reason.TOKEN_SIGNATURE,
    ),
    "signed by somebody else": (lambda: _strangers({"kid": "ec"}), Reason.TOKEN_SIGNATURE),
    "tampered user": (lambda: _tampered(token(), sub="eve"), Reason.TOKEN_SIGNATURE),
    "tampered tenant": (lambda: _tampered(token(), tenant="other"), Reason.TOKEN_SIGNATURE),
    "tampered role": (
        lambda: _tampered(token(), realm_access={"roles": ["mainstay-admins"]}),
        Reason.TOKEN_SIGNATURE,
    ),
    "signature stripped": (lambda: token().rpartition(".")[0] + ".", Reason.TOKEN_SIGNATURE),
    "signature cut": (lambda: _cut(token("rsa")), Reason.TOKEN_SIGNATURE),
    "signature of zeros": (lambda: token().rpartition(".")[0] + "." + part(bytes(64)), Reason.TOKEN_SIGNATURE),
    "unknown crit": (lambda: token(header={"crit": ["exp"], "exp": 1}), Reason.TOKEN_UNREADABLE),
    "expired": (lambda: token(iat=int(NOW) - 900, exp=int(NOW) - 30), Reason.TOKEN_EXPIRED),
    "not yet": (lambda: token(nbf=int(NOW) + 31), Reason.TOKEN_EARLY),
    "issued tomorrow": (lambda: token(iat=int(NOW) + 31, exp=int(NOW) + 600), Reason.TOKEN_EARLY),
    "issued tomorrow, and good since yesterday": (
        lambda: token(iat=int(NOW) + 31, nbf=int(NOW) - 86_400, exp=int(NOW) + 600),
        Reason.TOKEN_EARLY,
    ),
    "lasts too long": (lambda: token(exp=int(NOW) + 86_401), Reason.TOKEN_LIFETIME),
    "another audience": (lambda: token(aud="another"), Reason.TOKEN_AUDIENCE),
    "audiences without ours": (lambda: token(aud=["another", AUDIENCE + "x"]), Reason.TOKEN_AUDIENCE),
    "another issuer": (lambda: token(iss=ISSUER + "/"), Reason.TOKEN_ISSUER),
    **{f"no {name}": (lambda name=name: token(**{name: None}), Reason.TOKEN_CLAIMS) for name in claims()},
    "exp is text": (lambda: token(exp=str(int(NOW) + 600)), Reason.TOKEN_CLAIMS),
    "exp is true": (lambda: token(exp=True), Reason.TOKEN_CLAIMS),
    "exp is endless": (lambda: token(exp=float("inf")), Reason.TOKEN_CLAIMS),
    "exp is no number": (lambda: token(exp=float("nan")), Reason.TOKEN_CLAIMS),
    "exp is beyond floats": (lambda: token(exp=10**400), Reason.TOKEN_CLAIMS),
    "nbf is text": (lambda: token(nbf="now"), Reason.TOKEN_CLAIMS),
    "sub is a number": (lambda: token(sub=7), Reason.TOKEN_CLAIMS),
    "tenant is a list": (lambda: token(tenant=["acme"]), Reason.TOKEN_CLAIMS),
    "tenant is empty": (lambda: token(tenant=""), Reason.TOKEN_CLAIMS),
    "tenant cannot be printed": (lambda: token(tenant="ac\x00me"), Reason.TOKEN_CLAIMS),
    "sub is half a character": (lambda: token(sub="\ud800"), Reason.TOKEN_CLAIMS),
    "sub is too long": (lambda: token(sub="a" * 129), Reason.TOKEN_CLAIMS),
    "sub is the operators'": (lambda: token(sub="operations"), Reason.TOKEN_CLAIMS),
    "header is a list": (lambda: forged([], claims()), Reason.TOKEN_UNREADABLE),
    "header is no JSON": (lambda: forged(b"alg", claims()), Reason.TOKEN_UNREADABLE),
    "header without an end": (lambda: forged(b"[" * 5_000, {}), Reason.TOKEN_UNREADABLE),
    "header is no text": (lambda: forged(b"\xff\xfe", claims()), Reason.TOKEN_UNREADABLE),
    "payload in its own form": (
        lambda: forged({"alg": "ES256", "kid": "ec", "b64": False}, {}),
        Reason.TOKEN_UNREADABLE,
    ),
}
"""Every token that opens nothing, and why. None of them depends on the order of the checks but that of the signature."""

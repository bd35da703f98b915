"""The public keys of an identity provider (RFC 7517), each bound to the algorithms that it may verify.

A token chooses among these by name and by algorithm, and can choose nothing else: what a JWK's type, curve, `alg`, `use` or
`key_ops` rule out is not in the map, and neither is any secret. So a public key is never taken for an HMAC's.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey
SigningKeys = Mapping[tuple[str, str], PublicKey]
"""By `kid` and algorithm."""

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"},
)
"""The asymmetric ones of RFC 7518, 3.1, and RFC 8037."""
MAX_KID_CHARS = 256
MIN_RSA_BITS = 2_048  # RFC 7518, 3.3
MAX_RSA_BITS = 8_192

_RSA = frozenset(name for name in ALGORITHMS if name.startswith(("RS", "PS")))
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_READERS = {"RSA": RSAAlgorithm.from_jwk, "EC": ECAlgorithm.from_jwk, "OKP": OKPAlgorithm.from_jwk}


def signing_keys(body: bytes) -> SigningKeys:
    """Return the keys of a key set in JSON. Keys that cannot be used here are passed over.

    Raises ValueError, in words that repeat nothing of the set, for what is no key set, and for one without a usable key.
    """
    try:
        listed = orjson.loads(body)["keys"]
        jwks = [jwk for jwk in listed if isinstance(jwk, dict)]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ValueError("the answer is no key set") from None
    keys = {(jwk["kid"], algorithm): key for jwk in jwks for algorithm, key in _usable(jwk).items()}
    if not keys:
        raise ValueError("the key set has no key that can be used")
    return keys


def _usable(jwk: dict[str, Any]) -> Mapping[str, PublicKey]:
    """Return the key by each algorithm that it may verify."""
    if not _is_for_verifying(jwk):
        return {}
    try:
        key = _READERS[jwk["kty"]](jwk)
    except (InvalidKeyError, ValueError, TypeError):
        return {}
    if not isinstance(key, PublicKey):  # a private one, which whoever publishes it has lost
        return {}
    fitting = _algorithms_of(key)
    if "alg" in jwk:
        fitting = fitting.intersection({str(jwk["alg"])})
    return dict.fromkeys(fitting, key)


def _is_for_verifying(jwk: dict[str, Any]) -> bool:
    kid, operations = jwk.get("kid"), jwk.get("key_ops", ["verify"])
    return (
        isinstance(kid, str)
        and 0 < len(kid) <= MAX_KID_CHARS
        and isinstance(jwk.get("kty"), str)
        and jwk["kty"] in _READERS
        and jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )


def _algorithms_of(key: PublicKey) -> frozenset[str]:
    if isinstance(key, RSAPublicKey):
        return _RSA if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS else frozenset()
    if isinstance(key, EllipticCurvePublicKey):
        return frozenset({_CURVES[key.curve.name]} if key.curve.name in _CURVES else ())
    return frozenset({"EdDSA"})

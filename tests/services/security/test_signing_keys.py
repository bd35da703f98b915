"""A provider's key set: which keys are taken from it, each for which algorithms, and that nothing in it ends a replica."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from services.security.signing_keys import ALGORITHMS, signing_keys
from tests.services.security.issuer import ALGORITHM_OF, jwk, key_set, private_key

GOOD = jwk("ec")


def without(name: str, **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in jwk("ec", **changes).items() if key != name}


def test_each_key_is_bound_to_its_algorithm() -> None:
    """What the provider says that a key is for, is what it is for."""
    assert signing_keys(key_set()).keys() == set(ALGORITHM_OF.items())


@pytest.mark.parametrize(
    ("kid", "algorithms"),
    [
        ("rsa", {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        ("ec", {"ES256"}),
        ("ec-521", {"ES512"}),
        ("ed", {"EdDSA"}),
    ],
)
def test_a_key_that_says_nothing_is_bound_by_its_kind(kid: str, algorithms: set[str]) -> None:
    """By its type and curve: never to an algorithm with a secret, and no curve to another's hash."""
    silent = {name: value for name, value in jwk(kid).items() if name not in ("alg", "use")}
    assert signing_keys(key_set(silent)).keys() == {(kid, algorithm) for algorithm in algorithms}
    assert algorithms <= ALGORITHMS


def test_the_other_curve_of_edwards() -> None:
    """Ed448 is EdDSA as well."""
    other = OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key(), as_dict=True) | {"kid": "448"}
    assert signing_keys(key_set(other)).keys() == {("448", "EdDSA")}


UNUSABLE: dict[str, dict[str, Any]] = {
    "a secret": {"kty": "oct", "kid": "hs", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlYw", "alg": "HS256"},
    "a secret that says RS256": {"kty": "oct", "kid": "hs", "k": "c2VjcmV0", "alg": "RS256"},
    "a private key": ECAlgorithm.to_jwk(private_key("ec"), as_dict=True) | {"kid": "ec"},
    "for encryption": jwk("ec", use="enc"),
    "for signing only": jwk("ec", key_ops=["sign"]),
    "operations that are no list": jwk("ec", key_ops="verify"),
    "another key's algorithm": jwk("ec", alg="ES512"),
    "an algorithm with a secret": jwk("rsa", alg="HS256"),
    "no algorithm": jwk("rsa", alg="none"),
    "an algorithm that is no text": jwk("rsa", alg=["RS256"]),
    "no kid": without("kid"),
    "an empty kid": jwk("ec", kid=""),
    "a kid that is no text": jwk("ec", kid=1),
    "an endless kid": jwk("ec", kid="k" * 257),
    "no type": without("kty"),
    "a type that is no text": jwk("ec", kty=["EC"]),
    "an unknown type": jwk("ec", kty="ML-DSA"),
    "an unknown curve": jwk("ec", crv="P-1"),
    "a curve of coins": ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256K1()).public_key(), as_dict=True)
    | {"kid": "k1"},
    "no point of its curve": jwk("ec", x=jwk("ec")["y"]),
    "half a point": without("y"),
    "a point that is no text": jwk("ec", x=7),
    "a point that is not base64": jwk("ec", x="!"),
    "a short RSA key": RSAAlgorithm.to_jwk(
        rsa.generate_private_key(public_exponent=65_537, key_size=1_024).public_key(), as_dict=True
    )
    | {"kid": "short"},
    "an endless RSA key": jwk("rsa", n="f" * 3_000),
    "an RSA key with an even exponent": jwk("rsa", e="AAAC"),
}


@pytest.mark.parametrize("unusable", UNUSABLE.values(), ids=UNUSABLE)
def test_a_key_that_cannot_be_used_is_passed_over(unusable: dict[str, Any]) -> None:
    """The others of the set are there all the same; alone it is no key set."""
    beside = jwk("ed")
    assert signing_keys(key_set(unusable, beside)).keys() == {("ed", "EdDSA")}
    with pytest.raises(ValueError, match="no key that can be used"):
        signing_keys(key_set(unusable))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"null", b"[]", b"7", b'"keys"', b"{}", b'{"keys": 7}', b'{"keys": null}', b"[" * 10_000, b"\xff"],
)
def test_what_is_no_key_set(body: bytes) -> None:
    """An HTML page, another shape, brackets without an end: one error that repeats nothing of it."""
    with pytest.raises(ValueError, match=r"^the answer is no key set$"):
        signing_keys(body)


def test_what_is_no_key_in_a_set_is_passed_over() -> None:
    """As is a set of nothing else, which is one without a key."""
    assert signing_keys(json.dumps({"keys": [7, None, GOOD]}).encode()).keys() == {("ec", "ES256")}
    with pytest.raises(ValueError, match="no key that can be used"):
        signing_keys(b'{"keys": []}')


def test_two_keys_of_one_name_are_told_apart_by_their_algorithm() -> None:
    """As RFC 7517, 4.5, allows."""
    assert signing_keys(key_set(jwk("ec"), jwk("ed", kid="ec"))).keys() == {("ec", "ES256"), ("ec", "EdDSA")}

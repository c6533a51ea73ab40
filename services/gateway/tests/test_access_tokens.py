"""Attacks on access tokens, by name. The tokens are made by hand, so that no library refuses to make them."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edgecore_gateway.domain.access_tokens import BadToken, Claims, SigningKey, issue, verify

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
KEY = SigningKey("sig_1", Ed25519PrivateKey.generate(), NOW)
KEYS = {KEY.id: KEY}
CLAIMS = Claims("user_1", "ses_1")
GOOD: dict[str, Any] = {
    "iss": "edgecore",
    "aud": "edgecore",
    "sub": "user_1",
    "sid": "ses_1",
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 60,
}


def encoded(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def signed_by_us(claims: dict[str, Any], **header: Any) -> str:
    return jwt.encode(claims, KEY.private, "EdDSA", headers={"kid": KEY.id, "typ": "at+jwt"} | header)


def with_signature(header: dict[str, Any], signature: bytes | None = None, secret: bytes = b"") -> str:
    """A token with this header, and either this signature or an HMAC by `secret`."""
    body = encoded(header) + b"." + encoded(GOOD)
    if signature is None:
        signature = hmac.digest(secret, body, hashlib.sha256)
    return (body + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def refuse(token: str, why: str, at: datetime = NOW) -> None:
    with pytest.raises(BadToken, match=why):
        verify(token, KEYS, at)


def test_what_we_issue_we_accept_until_it_expires() -> None:
    token = issue(CLAIMS, KEY, NOW, 60)
    assert verify(token, KEYS, NOW) == CLAIMS
    assert verify(token, KEYS, NOW + timedelta(seconds=59)) == CLAIMS
    assert verify(signed_by_us(GOOD), KEYS, NOW) == CLAIMS


def test_expired() -> None:
    refuse(issue(CLAIMS, KEY, NOW, 60), "expired", NOW + timedelta(seconds=60))


def test_from_the_future() -> None:
    refuse(issue(CLAIMS, KEY, NOW + timedelta(minutes=2), 60), "times")


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", ""])
def test_algorithm_none(algorithm: str) -> None:
    refuse(with_signature({"alg": algorithm, "typ": "at+jwt", "kid": KEY.id}, b""), "algorithm|malformed")


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.Raw])
def test_hs256_with_the_public_key_as_the_secret(encoding: Encoding) -> None:
    shape = PublicFormat.Raw if encoding is Encoding.Raw else PublicFormat.SubjectPublicKeyInfo
    secret = KEY.public.public_bytes(encoding, shape)
    refuse(with_signature({"alg": "HS256", "typ": "at+jwt", "kid": KEY.id}, secret=secret), "algorithm")
    # The same under the name of our own algorithm.
    refuse(with_signature({"alg": "EdDSA", "typ": "at+jwt", "kid": KEY.id}, secret=secret), "signature")


def test_rs256_by_a_key_of_the_attackers() -> None:
    theirs = rsa.generate_private_key(65537, 2048)
    refuse(jwt.encode(GOOD, theirs, "RS256", headers={"kid": KEY.id, "typ": "at+jwt"}), "algorithm")


def test_a_key_that_comes_with_the_token_is_not_looked_at() -> None:
    theirs = Ed25519PrivateKey.generate()
    header = {
        "kid": KEY.id,
        "typ": "at+jwt",
        "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        "jku": "http://x",
    }
    refuse(jwt.encode(GOOD, theirs, "EdDSA", headers=header), "signature")


@pytest.mark.parametrize("kid", ["sig_2", "../../dev/null", "' OR 1=1 --", ""])
def test_unknown_kid(kid: str) -> None:
    refuse(signed_by_us(GOOD, kid=kid), "unknown or retired")


@pytest.mark.parametrize("typ", ["JWT", "id+jwt", "refresh", ""])
def test_wrong_typ(typ: str) -> None:
    refuse(signed_by_us(GOOD, typ=typ), "not an access token")


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "somebody"},
        {"aud": "somebody"},
        {"aud": ["edgecore", "somebody"]},
        {"iss": None},
        {"aud": None},
        {"sub": None},
        {"sub": 5},
        {"sid": None},
        {"exp": None},
        {"iat": None},
    ],
)
def test_wrong_or_missing_claims(change: dict[str, Any]) -> None:
    claims = {name: value for name, value in (GOOD | change).items() if value is not None}
    refuse(signed_by_us(claims), "signature or its claims")


@pytest.mark.parametrize("times", [{"exp": "9999999999"}, {"exp": 1e30}, {"iat": "now"}])
def test_times_that_are_not_whole_numbers(times: dict[str, Any]) -> None:
    refuse(signed_by_us(GOOD | times), "times")


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "e30.e30.e30", "é.é.é", "x" * 5000, "\ud800"])
def test_what_is_no_token_at_all(text: str) -> None:
    refuse(text, "malformed|algorithm")


def test_a_changed_body() -> None:
    head, _, tail = issue(CLAIMS, KEY, NOW, 60).split(".")
    refuse(f"{head}.{encoded(GOOD | {'sub': 'user_2'}).decode()}.{tail}", "signature")

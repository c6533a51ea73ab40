"""Access tokens: JWTs (RFC 9068) signed with Ed25519, good for minutes.

Nothing that a token says of itself decides how it is checked: the algorithm is fixed, and the key is looked up by
`kid` among our own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALGORITHM = "EdDSA"
ISSUER = AUDIENCE = "edgecore"
TYPE = "at+jwt"
REQUIRED = ("iss", "aud", "exp", "iat", "sub", "sid")
SKEW_SECONDS = 30
"""How far the clocks of two replicas may differ."""
TEXT_MOST = 4096


class BadToken(ValueError):
    """Not one of our tokens, or no longer valid; the text says why."""


@dataclass(frozen=True)
class SigningKey:
    """One key pair; `id` is the `kid` of the tokens signed with it."""

    id: str
    private: Ed25519PrivateKey
    created_at: datetime

    @property
    def public(self) -> Ed25519PublicKey:
        return self.private.public_key()


@dataclass(frozen=True)
class Claims:
    """Whose session a valid token belongs to."""

    user_id: str
    session_id: str


def issue(claims: Claims, key: SigningKey, now: datetime, seconds: int) -> str:
    """A token that is valid from `now` for so many seconds."""
    issued = int(now.timestamp())
    body = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": claims.user_id,
        "sid": claims.session_id,
        "iat": issued,
        "exp": issued + seconds,
    }
    return jwt.encode(body, key.private, ALGORITHM, headers={"kid": key.id, "typ": TYPE})


def key_id(text: str) -> str:
    """The `kid` that the token names. Raises BadToken when it cannot be one of ours."""
    if len(text) > TEXT_MOST or not text.isascii():
        raise BadToken("it is malformed")
    try:
        header = jwt.get_unverified_header(text)
    except jwt.PyJWTError as error:
        raise BadToken("it is malformed") from error
    if header.get("alg") != ALGORITHM:
        raise BadToken("its algorithm is not ours")
    if header.get("typ") != TYPE:
        raise BadToken("it is not an access token")
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise BadToken("it names no key")
    return kid


def verify(text: str, keys: Mapping[str, SigningKey], now: datetime) -> Claims:
    """Raises BadToken unless one of `keys` signed the token, for us, and it is valid at `now`."""
    key = keys.get(key_id(text))
    if key is None:
        raise BadToken("its key is unknown or retired")
    try:
        body = jwt.decode(
            text,
            key.public,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            # The times are checked below, by the clock that we were given.
            options={
                "require": list(REQUIRED),
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
                "strict_aud": True,
            },
        )
    except jwt.PyJWTError as error:
        raise BadToken("its signature or its claims are not ours") from error
    issued, expires = body["iat"], body["exp"]
    if not isinstance(issued, int) or not isinstance(expires, int) or issued > now.timestamp() + SKEW_SECONDS:
        raise BadToken("its times are not ours")
    if expires <= now.timestamp():
        raise BadToken("it has expired")
    if not isinstance(body["sid"], str):
        raise BadToken("it names no session")
    return Claims(str(body["sub"]), body["sid"])

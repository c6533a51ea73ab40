"""Who a request comes from, and what it may do."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    USER = "user"
    ADMIN = "admin"


class Scope(StrEnum):
    """What a credential may be used for, whatever its user may do besides."""

    GENERATE = "generate"
    """Anything that changes something of one's own: submit, cancel."""
    READ = "read"
    ADMIN = "admin"
    """Keys, and, for users whose role is admin, what concerns everybody."""


DEFAULT_SCOPES = frozenset({Scope.GENERATE, Scope.READ})
ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True)
class Principal:
    """The user behind a valid credential. `credential` is the id of the API key or of the session."""

    user_id: str
    role: Role
    scopes: frozenset[Scope]
    credential: str
    by_key: bool

    @property
    def is_admin(self) -> bool:
        """The user's role and the credential's scope both have to allow it."""
        return self.role is Role.ADMIN and Scope.ADMIN in self.scopes

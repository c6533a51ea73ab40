"""What an account is made of, and the rules for what people type into it."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edgecore_contracts.errors import FieldProblem, InvalidInput
from edgecore_gateway.domain.job import moment
from edgecore_gateway.domain.principal import Role

EMAIL_MOST = 320
"""64 for the local part, `@`, 255 for the domain (RFC 5321, 4.5.3.1)."""
PASSWORD_LEAST, PASSWORD_MOST = 12, 256
NAME_MOST = 200

_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@\x00-\x1f\x7f]{1,255}")


@dataclass(frozen=True)
class User:
    """One account. Without an email or a password nobody can sign in to it; its keys work all the same."""

    id: str
    name: str
    email: str | None
    role: Role
    created_at: datetime
    disabled_at: datetime | None
    password_hash: str | None

    def shown(self) -> dict[str, Any]:
        """To its owner."""
        return {"id": self.id, "email": self.email, "name": self.name, "role": self.role.value}

    def shown_to_admin(self) -> dict[str, Any]:
        return self.shown() | {"created_at": moment(self.created_at), "disabled_at": moment(self.disabled_at)}


def normal_email(text: str) -> str | None:
    """The address as it is stored and compared, or None when the text cannot be one."""
    email = text.strip().lower()
    return email if len(email) <= EMAIL_MOST and _EMAIL.fullmatch(email) else None


def checked_email(text: str) -> str:
    """Raises InvalidInput."""
    email = normal_email(text)
    if email is None:
        raise InvalidInput([FieldProblem("email", "must be an email address, like name@example.org")])
    return email


def checked_password(text: str) -> str:
    """Raises InvalidInput. Length is the only rule, as NIST SP 800-63B-4 asks for."""
    if not PASSWORD_LEAST <= len(text) <= PASSWORD_MOST:
        rule = f"must have {PASSWORD_LEAST} to {PASSWORD_MOST} characters"
        raise InvalidInput([FieldProblem("password", rule)])
    return text

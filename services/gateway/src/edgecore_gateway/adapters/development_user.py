"""The administrator of a laptop: made on first start; key and password are in files for their owner alone."""

import asyncio
import secrets
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_gateway.adapters import users
from edgecore_gateway.adapters.keys import add_key, find_owner
from edgecore_gateway.adapters.password_hashes import PasswordHashes
from edgecore_gateway.adapters.secret_file import read_secret, write_secret
from edgecore_gateway.domain.api_keys import new_key, parse_key
from edgecore_gateway.domain.principal import ALL_SCOPES, Role
from edgecore_runtime import logs
from edgecore_runtime.database import Database

USER_ID, USER_NAME, EMAIL = "user_dev", "Development", "dev@edgecore.local"
KEY_NAME = "development"

log = logs.get(__name__)


class DevelopmentUser:
    """A component that ends its work in `start`: afterwards each file that is named holds a valid secret."""

    def __init__(
        self, database: Database, passwords: PasswordHashes, key_file: Path | None, password_file: Path | None
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._key_file = key_file
        self._password_file = password_file

    async def start(self) -> None:
        """Keep what the files hold if the database knows it; otherwise make another."""
        async with self._database.transaction() as session:
            await users.add_missing(session, USER_ID, name=USER_NAME)
            await users.change(session, USER_ID, email=EMAIL, role=Role.ADMIN, disabled_at=None)
            if self._key_file is not None:
                await self._have_key(session, self._key_file)
            if self._password_file is not None:
                await self._have_password(session, self._password_file)

    async def stop(self) -> None:
        """Nothing runs."""

    async def wait_failed(self) -> None:
        await asyncio.Event().wait()

    async def _have_key(self, session: AsyncSession, path: Path) -> None:
        known = parse_key(read_secret(path) or "")
        owner = await find_owner(session, known) if known is not None else None
        if owner is not None and owner.user_id == USER_ID:
            return
        key = new_key()
        await add_key(session, USER_ID, KEY_NAME, key, ALL_SCOPES)
        write_secret(path, key.text)
        log.info("made a development key", path=str(path), shown=key.shown)

    async def _have_password(self, session: AsyncSession, path: Path) -> None:
        user = await users.find(session, USER_ID)
        known = read_secret(path)
        if known and user is not None and await self._passwords.fits(known, user.password_hash):
            return
        password = secrets.token_urlsafe(18)
        await users.change(session, USER_ID, password_hash=await self._passwords.of(password))
        write_secret(path, password)
        log.info("made a development password", path=str(path), email=EMAIL)

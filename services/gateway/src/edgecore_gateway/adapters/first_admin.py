"""The first administrator of a cluster, as the settings name him: made when missing, and then left alone."""

import asyncio

from edgecore_gateway.adapters import users
from edgecore_gateway.adapters.keys import add_key, key_exists
from edgecore_gateway.adapters.password_hashes import PasswordHashes
from edgecore_gateway.domain.accounts import checked_email, checked_password
from edgecore_gateway.domain.api_keys import ApiKey, parse_key
from edgecore_gateway.domain.principal import ALL_SCOPES, Role
from edgecore_runtime import logs
from edgecore_runtime.database import Database, is_transient
from edgecore_runtime.ids import new_id

NAME = "Administrator"
KEY_NAME = "first key"
RETRY_SECONDS = 2.0

log = logs.get(__name__)


class FirstAdmin:
    """Raises InvalidInput or ValueError for settings that cannot be used, which ends the start."""

    def __init__(
        self, database: Database, passwords: PasswordHashes, email: str, password: str, api_key: str
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._email = checked_email(email)
        self._password = checked_password(password)
        self._key: ApiKey | None = parse_key(api_key) if api_key else None
        if api_key and self._key is None:
            raise ValueError("setting EDGECORE_ADMIN_API_KEY is not a well-formed API key")

    async def run(self) -> None:
        """Try until the database has answered, then wait for the end of the process."""
        while not await self._made():
            await asyncio.sleep(RETRY_SECONDS)
        await asyncio.Event().wait()

    async def _made(self) -> bool:
        try:
            await self._make()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("the first administrator waits for the database", error=repr(error))
            return False
        return True

    async def _make(self) -> None:
        async with self._database.reading() as session:
            known = await users.find_by_email(session, self._email)
        hashed = await self._passwords.of(self._password) if known is None else None
        async with self._database.transaction() as session:
            if hashed is not None:
                values = {"email": self._email, "name": NAME, "role": Role.ADMIN, "password_hash": hashed}
                await users.add_missing(session, new_id("user"), **values)
            admin = await users.find_by_email(session, self._email)
            if admin is None or (locked := await users.lock(session, admin.id)) is None:
                return
            # Under the lock, so that replicas that start together do not register the key twice.
            if self._key is not None and not await key_exists(session, self._key):
                await add_key(session, locked.id, KEY_NAME, self._key, ALL_SCOPES)
                log.info("registered the administrator's key", shown=self._key.shown)

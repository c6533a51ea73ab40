"""Runs inside a new child before the real program: `launcher.py SIGNAL PARENT UID GID PROGRAM ARG...`

Does what cannot be done safely between fork and exec of a threaded parent: gives up root (UID, GID not -1),
asks the kernel to send SIGNAL when the parent (pid PARENT) dies, and becomes PROGRAM. Standard library
only, and run with `python -I -S`, so that it costs milliseconds.
"""

# All imports up here: after give_up_root the standard library may lie in a folder that is closed to us.
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def give_up_root(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    # The parent's folder may be closed to the new user.
    os.chdir("/")


def die_with_parent(number: int, parent: int) -> None:
    """Must come after give_up_root: a change of credentials clears the setting."""
    if sys.platform == "linux":
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("the parent died before its child had started")


def main(arguments: list[str]) -> None:
    number, parent, uid, gid = (int(value) for value in arguments[:4])
    command = arguments[4:]
    if uid != -1:
        give_up_root(uid, gid)
    die_with_parent(number, parent)
    # Python ignores these two, and an ignored signal would stay ignored in the program.
    for name in ("SIGPIPE", "SIGXFSZ"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execv(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""The engine's end of the pipes to its agent.

Standard output is moved away before anything else can print to it, so that a library's prints land on
standard error and the channel stays clean. A thread reads commands: it sets the cancel flag and the share of
previews at once, and ends the process when the agent is gone, whatever the model is doing.
"""

import ctypes
import os
import queue
import select
import signal
import sys
import threading
import traceback
from collections.abc import Iterator

from edgecore_inference.domain import engine_messages as messages
from edgecore_inference.domain.engine_messages import Cancel, Encode, Generate, Preview, Previews

PR_SET_PDEATHSIG = 1


class Channel:
    """Take over standard input and output; make one, first thing in the process."""

    def __init__(self) -> None:
        self._in = os.fdopen(os.dup(0), "rb")
        self._out = os.dup(1)
        os.set_blocking(self._out, False)
        self._unsent = b""
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)
        self.preview_share = 0.0
        # At most two wait: the agent sends a command only after the answer to the one before.
        self._commands: queue.Queue[Generate | Encode] = queue.Queue(maxsize=2)
        self._cancelled = threading.Event()
        threading.Thread(target=self._read, name="commands", daemon=True).start()

    def send(self, message: messages.Message) -> None:
        """Blocks only if the agent does not read; ends the process if it is gone."""
        self._unsent += messages.dump(message)
        while self._unsent:
            select.select([], [self._out], [])
            self._push()

    def offer(self, preview: Preview, picture: bytes) -> bool:
        """Send a preview, or drop it while the agent has not taken the one before; False then. Never blocks."""
        self._push()
        if self._unsent:
            return False
        self._unsent = messages.dump(preview) + picture
        self._push()
        return True

    def commands(self) -> Iterator[Generate | Encode]:
        """Never ends: the process does."""
        while True:
            yield self._commands.get()

    def should_stop(self) -> bool:
        """True when the command that runs now was cancelled."""
        return self._cancelled.is_set()

    def _push(self) -> None:
        """Write as much as the pipe takes now; what is left goes before whatever is said next."""
        try:
            self._unsent = self._unsent[os.write(self._out, self._unsent) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            os._exit(0)

    def _read(self) -> None:
        for line in self._in:
            try:
                command = messages.load(line)
            except messages.BadMessage:
                traceback.print_exc()
                os._exit(2)
            if isinstance(command, Cancel):
                self._cancelled.set()
            elif isinstance(command, Previews):
                self.preview_share = command.share
            elif isinstance(command, Generate | Encode):
                # Set here, where commands are still in order: a late Cancel must not hit the next job.
                self._cancelled.clear()
                self.preview_share = command.preview_share if isinstance(command, Generate) else 0.0
                self._commands.put(command)
        os._exit(0)


def die_with_agent() -> None:
    """Let the kernel end this process when the agent's main thread ends, also when the process is stopped.

    Where there is no such thing, and if the agent died before this call, the end of standard input does it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def ignore_terminal() -> None:
    """Ctrl-C reaches the whole process group, and the agent decides what becomes of its engine."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

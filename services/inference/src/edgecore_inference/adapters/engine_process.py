"""One engine process, and the pipes to it. It is killed when it does not do what it should in time."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from edgecore_inference.domain import engine_messages as messages
from edgecore_inference.domain.engine_messages import (
    LINE_MAX,
    BadMessage,
    Cancel,
    Command,
    Encode,
    Encoded,
    Failed,
    Generate,
    Generated,
    Preview,
    Previews,
    Progress,
    Ready,
    Reply,
    Stopped,
    Unusable,
)
from edgecore_inference.domain.outcome import FailureKind, describe_exit, engine_ended, engine_said
from edgecore_runtime import logs

OnProgress = Callable[[Progress], None]
OnPreview = Callable[[Preview, bytes], None]
Expected = TypeVar("Expected", Generated, Encoded)

log = logs.get(__name__)


class CheckpointUnusable(Exception):
    """The engine says that the model cannot be loaded; trying again would not help."""


class EngineNotStarted(Exception):
    """The engine ended, or was killed for slowness, before it was ready."""


class EngineProcess:
    """A process that is ready; `launch` makes one. It takes one command at a time."""

    def __init__(self, process: Process, grace_seconds: float) -> None:
        self.pid = process.pid
        self.ready: Ready
        self.peak_memory_bytes = 0
        self.completed = 0
        self._process = process
        self._grace_seconds = grace_seconds
        self._reply: asyncio.Future[Reply] | None = None
        self._on_progress: OnProgress = _ignore
        self._on_preview: OnPreview = _ignore
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def launch(cls, command: Sequence[str], start_seconds: float, grace_seconds: float) -> "EngineProcess":
        """Start the program and wait until it is ready. Raises CheckpointUnusable or EngineNotStarted."""
        # From the event loop's thread, the main one: the kernel ends the engine with its parent *thread*.
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=LINE_MAX)
        engine = cls(process, grace_seconds)
        try:
            async with asyncio.timeout(start_seconds):
                engine.ready = await engine._first_message()
        except BaseException as error:
            engine.kill()
            await engine.exited()
            if isinstance(error, TimeoutError):
                raise EngineNotStarted(f"the engine was not ready after {start_seconds:g} s") from None
            raise
        engine._reading = asyncio.create_task(engine._read(), name=f"engine-{engine.pid}")
        return engine

    async def generate(
        self, request: Generate, on_progress: OnProgress, on_preview: OnPreview | None = None
    ) -> Generated:
        """Make a video, which the engine keeps for `encode`. Raises AttemptFailed. The callbacks must not block.

        Being cancelled stops the engine at its next step, or kills it after the grace, before this returns.
        """
        self._on_progress, self._on_preview = on_progress, on_preview or _ignore
        try:
            return await self._ask(request, Generated)
        finally:
            self._on_progress = self._on_preview = _ignore

    def allow_previews(self, share: float) -> None:
        """What previews of the running `generate` may take from now on, as a share of sampling."""
        self._send(Previews(share))

    async def encode(self, folder: Path, fps: float, formats: Sequence[str]) -> Encoded:
        """Write the video into the folder in every format, and a thumbnail. Raises AttemptFailed.

        Being cancelled waits for the end of the running format, or kills the engine after the grace.
        """
        encoded = await self._ask(Encode(str(folder), fps, tuple(formats)), Encoded)
        self.completed += 1
        return encoded

    def kill(self) -> None:
        """SIGKILL; does not wait."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def exited(self) -> int:
        """Wait for the end; the exit code, negative for a signal."""
        code = await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._reading is not None:
            await self._reading
        return code

    async def stop(self) -> None:
        """Close the engine's input, which ends it; kill it after the grace."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(self._grace_seconds):
                await self._process.wait()
        except TimeoutError:
            self.kill()
        await self.exited()

    async def _ask(self, command: Command, expected: type[Expected]) -> Expected:
        if self._reply is not None:
            raise RuntimeError("the engine takes one command at a time")
        if self._reading is None or self._reading.done():
            raise engine_ended(await self._process.wait())
        reply = self._reply = asyncio.get_running_loop().create_future()
        try:
            self._send(command)
            # Not awaited directly: our own cancellation must not cancel the answer that settling waits for.
            await asyncio.wait({reply})
        except asyncio.CancelledError:
            await self._settle(reply)
            raise
        finally:
            self._reply = None
        answer = reply.result()
        if isinstance(answer, Failed):
            raise engine_said(answer.kind, answer.detail)
        if not isinstance(answer, expected):
            raise engine_said(FailureKind.ERROR, f"the engine answered with {type(answer).__name__}")
        return answer

    async def _settle(self, reply: "asyncio.Future[Reply]") -> None:
        try:
            self._send(Cancel())
            await asyncio.wait({reply}, timeout=self._grace_seconds)
        finally:
            if not reply.done():
                log.warning("engine killed: it did not stop in time", pid=self.pid, grace=self._grace_seconds)
                self.kill()
            await asyncio.wait({reply})
            reply.exception()  # looked at: whoever asked is gone

    def _send(self, command: Command) -> None:
        # Commands are a few kilobytes and one is under way at a time, so the pipe's buffer always has room.
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(messages.dump(command))

    async def _first_message(self) -> Ready:
        try:
            line = await self._line()
            if not line:
                end = describe_exit(await self._process.wait())
                raise EngineNotStarted(f"the engine {end} before it was ready")
            message = messages.load(line)
        except BadMessage as error:
            raise EngineNotStarted(f"the engine broke the protocol: {error}") from error
        if isinstance(message, Unusable):
            raise CheckpointUnusable(message.detail)
        if not isinstance(message, Ready):
            raise EngineNotStarted(f"the engine's first word was {message!r}")
        return message

    async def _read(self) -> None:
        try:
            while line := await self._line():
                message = messages.load(line)
                if isinstance(message, Preview):
                    self._on_preview(message, await self._bytes(message.size))
                else:
                    self._heard(message)
        except BadMessage as error:
            log.error("engine killed: it broke the protocol", pid=self.pid, detail=str(error))
            self.kill()
        code = await self._process.wait()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(engine_ended(code))

    def _heard(self, message: messages.Message) -> None:
        if isinstance(message, Progress):
            self._on_progress(message)
        elif isinstance(message, Generated | Encoded | Stopped | Failed):
            self.peak_memory_bytes = message.peak_memory_bytes
            if self._reply is not None and not self._reply.done():
                self._reply.set_result(message)

    async def _line(self) -> bytes:
        if (output := self._process.stdout) is None:
            return b""
        try:
            return await output.readline()
        except ValueError as error:
            raise BadMessage(f"a line over {LINE_MAX} bytes") from error

    async def _bytes(self, count: int) -> bytes:
        try:
            return await self._process.stdout.readexactly(count) if self._process.stdout else b""
        except asyncio.IncompleteReadError as error:
            raise BadMessage(f"{len(error.partial)} bytes of a picture of {count}") from error


def _ignore(*_unasked: object) -> None:
    """Progress and previews that nobody asked for."""

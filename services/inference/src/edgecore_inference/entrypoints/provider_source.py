"""Videos from a paid provider: place the order once, wait for the verdict, fetch, and transcode.

An order is never placed twice for a job, and is never given up without a verdict: what may have been made may be
billed, so `PROVIDER_UNCLEAR` ends the job where falling back would pay twice.
"""

import asyncio
import random
from pathlib import Path

from edgecore.scheduler.v1.scheduler_pb2 import Assign, Stage
from edgecore_contracts.own_only import own_only
from edgecore_contracts.states import Reason
from edgecore_inference.adapters.link import fetch
from edgecore_inference.adapters.providers import Away, Look, Provider, Refused, TaskState, Unclear
from edgecore_inference.adapters.task_book import PLACING, Placed, TaskBook
from edgecore_inference.adapters.transcoder import transcode
from edgecore_inference.domain.gate import Expected
from edgecore_inference.domain.offers import order
from edgecore_inference.domain.outcome import AttemptFailed
from edgecore_inference.entrypoints.source import Account, Made
from edgecore_runtime import logs

WITHDRAW_SECONDS = 10.0
"""How long a cancelled attempt waits for the provider's last word."""

log = logs.get(__name__)


class ProviderSource:
    """A Source. `poll_seconds` between two looks, with jitter."""

    def __init__(self, name: str, provider: Provider, book: TaskBook, poll_seconds: float, insecure: bool) -> None:
        self.device = name
        self._provider = provider
        self._book = book
        self._poll_seconds = poll_seconds
        self._insecure = insecure

    async def make(self, assign: Assign, formats: list[str], folder: Path, account: Account) -> Made:
        if field := own_only(assign.spec):
            raise AttemptFailed(Reason.INVALID_SPEC, f"{field}: not to be had from {self.device}")
        account.used.provider_model = self._provider.model
        with account.stage("generate"):
            placed = await self._placed(assign, account)
            try:
                look = await self._verdict(placed.task, account)
            except asyncio.CancelledError:
                await self._withdraw(assign.job_id, placed, account)
                raise
            self._settle(assign.job_id, placed, look, account)
            original = folder / "original"
            await fetch(look.url, original, insecure=self._insecure)
        account.all_steps_done(Stage.STAGE_ENCODING)
        with account.stage("encode"):
            done = await transcode(original, folder, formats)
        original.unlink()
        made = next(iter(done.probes.values()))
        account.used.frames = made.frames
        return Made(
            done.probes,
            done.thumbnail_width,
            done.thumbnail_height,
            Expected(made.width, made.height, made.frames, made.fps),
        )

    async def _placed(self, assign: Assign, account: Account) -> Placed:
        """The order, new or from before a restart. Raises AttemptFailed."""
        known = self._book.of(assign.job_id)
        if known is not None and known.task != PLACING:
            log.info("an order from before is waited for", task=known.task)
            return known
        wanted = order(assign.spec, self._provider.offer)
        if known is not None:
            account.used.provider_seconds = known.seconds
            raise AttemptFailed(Reason.PROVIDER_UNCLEAR, "the node was restarted while it placed the order")
        self._book.note(assign.job_id, Placed(PLACING, wanted.seconds))
        try:
            task = await self._provider.submit(wanted)
        except Refused as refused:
            self._book.forget(assign.job_id)
            raise AttemptFailed(Reason.PROVIDER_ERROR, f"{self.device}: {refused}") from refused
        except Unclear as unclear:
            account.used.provider_seconds = wanted.seconds
            raise AttemptFailed(Reason.PROVIDER_UNCLEAR, f"{self.device}: {unclear}") from unclear
        except asyncio.CancelledError:
            account.used.provider_seconds = wanted.seconds
            words = f"{self.device}: stopped while the order was placed"
            raise AttemptFailed(Reason.PROVIDER_UNCLEAR, words) from None
        placed = Placed(task, wanted.seconds)
        self._book.note(assign.job_id, placed)
        return placed

    async def _verdict(self, task: str, account: Account) -> Look:
        """Ask until the task is over; the attempt's time limit ends it otherwise."""
        while True:
            try:
                look = await self._provider.look(task)
            except Away as away:
                log.warning("the provider does not answer", task=task, detail=str(away))
            else:
                if look.state.over:
                    return look
                account.progress(Stage.STAGE_SAMPLING, round(100 * look.fraction), 100)
            await asyncio.sleep(self._poll_seconds * random.uniform(0.75, 1.25))

    def _settle(self, job_id: str, placed: Placed, look: Look, account: Account) -> None:
        """The verdict is known: what it means for the bill and for the attempt. Raises AttemptFailed."""
        self._book.forget(job_id)
        if look.state is not TaskState.SUCCEEDED:
            why = look.detail or f"the task ended as {look.state}"
            raise AttemptFailed(Reason.PROVIDER_ERROR, f"{self.device}: {why}")
        account.used.provider_seconds = placed.seconds
        account.bought()

    async def _withdraw(self, job_id: str, placed: Placed, account: Account) -> None:
        """Stop the order and hear how it ended. Raises AttemptFailed when nobody says."""
        look: Look | None = None
        try:
            async with asyncio.timeout(WITHDRAW_SECONDS):
                await self._provider.cancel(placed.task)
                look = await self._verdict(placed.task, account)
        except (Away, TimeoutError, asyncio.CancelledError) as error:
            log.warning("the provider does not say how the order ended", task=placed.task, detail=repr(error))
        if look is None or look.state is TaskState.SUCCEEDED:
            account.used.provider_seconds = placed.seconds
        if look is None:
            words = f"{self.device}: task {placed.task} could not be stopped"
            raise AttemptFailed(Reason.PROVIDER_UNCLEAR, words)
        self._book.forget(job_id)

"""Videos from the engine of this node, with previews on the way."""

from pathlib import Path

from edgecore.common.v1.common_pb2 import GenerationSpec
from edgecore.preview.v1.preview_pb2 import Frame
from edgecore.scheduler.v1.scheduler_pb2 import Assign, Stage
from edgecore_contracts.cloudevents import timestamp
from edgecore_contracts.states import Reason
from edgecore_inference.adapters.engine_process import EngineProcess
from edgecore_inference.adapters.engine_supervisor import EngineSupervisor
from edgecore_inference.adapters.inputs import Fetched, Inputs
from edgecore_inference.adapters.preview_stream import PreviewStream
from edgecore_inference.domain.engine_messages import Generate, Preview, Progress
from edgecore_inference.domain.formats import JPEG_TYPE
from edgecore_inference.domain.gate import Expected
from edgecore_inference.domain.outcome import AttemptFailed
from edgecore_inference.entrypoints.source import Account, Made
from edgecore_runtime.clock import Clock

STAGES = {
    "text": Stage.STAGE_LOADING,
    "sample": Stage.STAGE_SAMPLING,
    "upscale": Stage.STAGE_SAMPLING,
    "decode": Stage.STAGE_DECODING,
}
"""The engine's stages as the scheduler knows them."""

NUMBERS_PER_ATTEMPT = 2**20
"""Frame numbers grow over all attempts of a job: attempt · 2^20 + count."""


class EngineSource:
    """A Source; one video at a time. `preview_share` is what previews may take, as a share of sampling."""

    def __init__(
        self,
        engines: EngineSupervisor,
        inputs: Inputs,
        previews: PreviewStream,
        preview_share: float,
        clock: Clock,
    ) -> None:
        self._engines = engines
        self._inputs = inputs
        self._previews = previews
        self._preview_share = preview_share
        self._clock = clock

    @property
    def device(self) -> str:
        return self._engines.ready.device

    async def make(self, assign: Assign, formats: list[str], folder: Path, account: Account) -> Made:
        """As Source says; the engine is this attempt's alone meanwhile."""
        model = self._engines.ready.model
        if assign.spec.model != model:
            raise AttemptFailed(Reason.INVALID_SPEC, f"model: this node runs {model}, not {assign.spec.model!r}")
        waiting_since = self._clock.monotonic()
        inputs = await self._inputs.fetch(assign.spec, folder)
        async with self._engines.exclusive() as engine:
            account.used.load_seconds = self._clock.monotonic() - waiting_since
            try:
                await self._generate(engine, assign, inputs, account)
                return await self._encode(engine, assign.spec, formats, folder, account)
            finally:
                account.used.peak_memory_bytes = engine.peak_memory_bytes

    async def _generate(self, engine: EngineProcess, assign: Assign, inputs: Fetched, account: Account) -> None:
        frames = _Frames(assign, self._previews, self._clock)

        def progressed(progress: Progress) -> None:
            stage = STAGES.get(progress.stage, Stage.STAGE_UNSPECIFIED)
            account.progress(stage, progress.step, progress.steps)

        def connected(now: bool) -> None:
            engine.allow_previews(self._preview_share if now else 0.0)

        share = self._preview_share if self._previews.connected else 0.0
        with account.stage("generate"), self._previews.watched(connected):
            made = await engine.generate(_request(assign.spec, inputs, share), progressed, frames.made)
        # The engine's own measure, free of the pipe; ours stands where it could not report.
        account.used.generate_seconds = made.seconds
        account.used.frames = assign.spec.frames
        account.used.tokens = made.tokens

    async def _encode(
        self, engine: EngineProcess, spec: GenerationSpec, formats: list[str], folder: Path, account: Account
    ) -> Made:
        account.all_steps_done(Stage.STAGE_ENCODING)
        with account.stage("encode"):
            encoded = await engine.encode(folder, spec.fps, formats)
        account.used.encode_seconds = encoded.seconds
        scale = 2 if spec.upscale else 1
        expected = Expected(scale * spec.width, scale * spec.height, spec.frames, spec.fps)
        return Made(encoded.probes, encoded.thumbnail_width, encoded.thumbnail_height, expected)


class _Frames:
    """The engine's previews of one attempt, numbered, on their way to the preview service."""

    def __init__(self, assign: Assign, previews: PreviewStream, clock: Clock) -> None:
        self._job_id = assign.job_id
        self._token = assign.lease.token
        self._previews = previews
        self._clock = clock
        self._count = 0

    def made(self, preview: Preview, picture: bytes) -> None:
        self._count += 1
        self._previews.offer(
            Frame(
                job_id=self._job_id,
                attempt=self._token,
                number=self._token * NUMBERS_PER_ATTEMPT + self._count,
                step=preview.step,
                steps=preview.steps,
                frame=preview.frame,
                frames=preview.frames,
                width=preview.width,
                height=preview.height,
                media_type=JPEG_TYPE,
                data=picture,
                made_at=timestamp(self._clock.now()),
            )
        )


def _request(spec: GenerationSpec, inputs: Fetched, preview_share: float) -> Generate:
    flow = spec.flow_guidance
    return Generate(
        prompt=spec.prompt,
        negative_prompt=spec.negative_prompt,
        width=spec.width,
        height=spec.height,
        frames=spec.frames,
        steps=spec.steps,
        guidance=spec.guidance,
        seed=spec.seed,
        preview_share=preview_share,
        variant=spec.variant or "standard",
        upscale=spec.upscale,
        image=inputs.image,
        motion=(flow.right, flow.down) if spec.HasField("flow_guidance") else None,
        motion_strength=flow.strength,
        adapters=inputs.adapters,
    )

"""One attempt at one job: generate, encode, gate, upload, and what it used on the way."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.trace import SpanKind

from edgecore.common.v1.common_pb2 import Artifact, GenerationSpec, Measurements
from edgecore.jobs.v1.events_pb2 import AttemptOutcome
from edgecore.scheduler.v1.scheduler_pb2 import Assign, Finished, Progress, Stage
from edgecore_contracts.states import Reason
from edgecore_inference import metrics
from edgecore_inference.adapters.artifacts import MEDIA_TYPE, Artifacts, video_key
from edgecore_inference.adapters.engine_process import EngineProcess
from edgecore_inference.adapters.engine_supervisor import EngineSupervisor
from edgecore_inference.adapters.scratch import Scratch
from edgecore_inference.domain import engine_messages, gate
from edgecore_inference.domain.outcome import DETAIL_MAX, AttemptFailed
from edgecore_runtime import logs, telemetry
from edgecore_runtime.clock import Clock
from edgecore_runtime.objects import Stored

STAGES = {"text": Stage.STAGE_LOADING, "sample": Stage.STAGE_SAMPLING, "decode": Stage.STAGE_DECODING}
"""The engine's stages as the scheduler knows them."""

log = logs.get(__name__)


@dataclass(frozen=True)
class Workshop:
    """What every attempt of this node works with."""

    engines: EngineSupervisor
    artifacts: Artifacts
    scratch: Scratch
    clock: Clock


class Attempt:
    """`run` once. `on_progress` must not block."""

    def __init__(self, assign: Assign, workshop: Workshop, on_progress: Callable[[Progress], None]) -> None:
        self._assign = assign
        self._workshop = workshop
        self._on_progress = on_progress
        self._key = video_key(assign.job_id, assign.attempt, assign.lease.token)
        self._used = Measurements(device=workshop.engines.ready.device)

    async def run(self) -> Finished:
        """The report, whatever happens. Only being cancelled gets through, and leaves nothing behind."""
        assign = self._assign
        with (
            logs.bind(job_id=assign.job_id, attempt=assign.attempt),
            telemetry.span("attempt", assign.trace_context, SpanKind.CONSUMER, job_id=assign.job_id) as span,
        ):
            limit = asyncio.timeout(self._limit_seconds)
            try:
                async with limit:
                    artifact = await self._make()
                report = self.report(AttemptOutcome.ATTEMPT_OUTCOME_SUCCEEDED, Reason.COMPLETED, "")
                report.artifact.CopyFrom(artifact)
            except Exception as error:
                report = self._explain(error, limit.expired())
            span.set_attribute("outcome", AttemptOutcome.Name(report.outcome))
            log.info("attempt finished", outcome=AttemptOutcome.Name(report.outcome), detail=report.detail)
        return report

    @property
    def _limit_seconds(self) -> float | None:
        assign = self._assign
        return assign.time_limit.ToTimedelta().total_seconds() if assign.HasField("time_limit") else None

    def _explain(self, error: Exception, expired: bool) -> Finished:
        if isinstance(error, AttemptFailed):
            return self.failed(error.reason, error.detail)
        if expired and isinstance(error, TimeoutError):
            return self.failed(Reason.TIMEOUT, f"not done after {self._limit_seconds:g} s")
        # A bug of ours: the attempt fails, the node lives, and the log has the trace.
        log.exception("attempt failed in an unforeseen way")
        return self.failed(Reason.ENGINE_FAILED, f"{type(error).__name__}: {error}"[:DETAIL_MAX])

    def failed(self, reason: Reason, detail: str) -> Finished:
        return self.report(AttemptOutcome.ATTEMPT_OUTCOME_FAILED, reason, detail)

    def report(self, outcome: AttemptOutcome.ValueType, reason: Reason, detail: str) -> Finished:
        """A report with what was used so far."""
        return Finished(
            lease=self._assign.lease,
            outcome=outcome,
            reason=reason.to_proto(),
            detail=detail,
            measurements=self._used,
        )

    async def _make(self) -> Artifact:
        spec = self._assign.spec
        model = self._workshop.engines.ready.model
        if spec.model != model:
            raise AttemptFailed(Reason.INVALID_SPEC, f"model: this node runs {model}, not {spec.model!r}")
        self._progress(Stage.STAGE_LOADING, 0, spec.steps)
        with self._folder() as folder:
            path = folder / "video.mp4"
            probe = await self._produce(path)
            expected = gate.Expected(spec.width, spec.height, spec.frames, spec.fps)
            if problems := gate.problems(probe, expected):
                raise AttemptFailed(Reason.QUALITY, "the video " + "; ".join(problems))
            return self._describe(await self._upload(path))

    async def _produce(self, path: Path) -> gate.Probe:
        """The encoded video at `path`, made under the engine's lock."""
        waiting_since = self._workshop.clock.monotonic()
        async with self._workshop.engines.exclusive() as engine:
            self._used.load_seconds = self._workshop.clock.monotonic() - waiting_since
            try:
                return await self._drive(engine, path)
            finally:
                self._used.peak_memory_bytes = engine.peak_memory_bytes

    async def _drive(self, engine: EngineProcess, path: Path) -> gate.Probe:
        spec = self._assign.spec
        with self._stage("generate"):
            made = await engine.generate(_request(spec), self._engine_progress)
        # The engine's own measure, free of the pipe; ours stands where it could not report.
        self._used.generate_seconds = made.seconds
        self._used.frames = spec.frames
        self._progress(Stage.STAGE_ENCODING, spec.steps, spec.steps)
        with self._stage("encode"):
            encoded = await engine.encode(path, spec.fps)
        self._used.encode_seconds = encoded.seconds
        return encoded.probe

    async def _upload(self, path: Path) -> Stored:
        spec = self._assign.spec
        self._progress(Stage.STAGE_UPLOADING, spec.steps, spec.steps)
        with self._stage("upload"):
            stored = await self._workshop.artifacts.upload(self._key, path)
        self._used.artifact_bytes = stored.size
        return stored

    def _describe(self, stored: Stored) -> Artifact:
        spec = self._assign.spec
        return Artifact(
            key=self._key,
            size_bytes=stored.size,
            sha256=stored.sha256,
            media_type=MEDIA_TYPE,
            width=spec.width,
            height=spec.height,
            frames=spec.frames,
            fps=spec.fps,
        )

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        try:
            with self._workshop.scratch.folder() as folder:
                yield folder
        except OSError as error:
            raise AttemptFailed(Reason.STORAGE, f"scratch folder: {error.strerror or error}") from error

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        """A span, and seconds under `<name>_seconds`, also for a stage that is cut short."""
        started = self._workshop.clock.monotonic()
        try:
            with telemetry.tracer.start_as_current_span(name):
                yield
        finally:
            seconds = self._workshop.clock.monotonic() - started
            setattr(self._used, f"{name}_seconds", seconds)
            metrics.STAGE_SECONDS.labels(name).observe(seconds)

    def _engine_progress(self, progress: engine_messages.Progress) -> None:
        self._progress(STAGES.get(progress.stage, Stage.STAGE_UNSPECIFIED), progress.step, progress.steps)

    def _progress(self, stage: Stage.ValueType, step: int, steps: int) -> None:
        self._on_progress(Progress(lease=self._assign.lease, stage=stage, step=step, steps=steps))


def _request(spec: GenerationSpec) -> engine_messages.Generate:
    return engine_messages.Generate(
        prompt=spec.prompt,
        negative_prompt=spec.negative_prompt,
        width=spec.width,
        height=spec.height,
        frames=spec.frames,
        steps=spec.steps,
        guidance=spec.guidance,
        seed=spec.seed,
    )

"""One attempt at one job: have the files made, gate, upload, and report what it used on the way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.trace import SpanKind

from edgecore.common.v1.common_pb2 import Artifact
from edgecore.jobs.v1.events_pb2 import AttemptOutcome
from edgecore.scheduler.v1.scheduler_pb2 import Assign, Finished, Progress, Stage
from edgecore_contracts.states import Reason
from edgecore_inference.adapters.artifacts import Artifacts, folder_key
from edgecore_inference.adapters.scratch import Scratch
from edgecore_inference.domain import formats, gate
from edgecore_inference.domain.outcome import DETAIL_MAX, AttemptFailed
from edgecore_inference.entrypoints.source import Account, Made, Source
from edgecore_runtime import logs, telemetry
from edgecore_runtime.clock import Clock
from edgecore_runtime.objects import Stored

log = logs.get(__name__)


@dataclass(frozen=True)
class Workshop:
    """What every attempt of this node works with."""

    source: Source
    artifacts: Artifacts
    scratch: Scratch
    clock: Clock


class Attempt:
    """`run` once. `on_progress` must not block."""

    def __init__(self, assign: Assign, workshop: Workshop, on_progress: Callable[[Progress], None]) -> None:
        self._assign = assign
        self._workshop = workshop
        self._account = Account(assign, workshop.source.device, on_progress, workshop.clock)

    async def run(self) -> Finished:
        """The report, whatever happens. Only being cancelled gets through, and leaves nothing behind."""
        assign = self._assign
        with (
            logs.bind(job_id=assign.job_id, attempt=assign.attempt),
            telemetry.span("attempt", assign.trace_context, SpanKind.CONSUMER, job_id=assign.job_id) as span,
        ):
            limit = self._account.limit
            try:
                async with limit:
                    first, *others = await self._make()
                report = self.report(AttemptOutcome.ATTEMPT_OUTCOME_SUCCEEDED, Reason.COMPLETED, "")
                report.artifact.CopyFrom(first)
                report.other_artifacts.extend(others)
            except Exception as error:
                report = self._explain(error, limit.expired())
            span.set_attribute("outcome", AttemptOutcome.Name(report.outcome))
            log.info("attempt finished", outcome=AttemptOutcome.Name(report.outcome), detail=report.detail)
        return report

    def _explain(self, error: Exception, expired: bool) -> Finished:
        if isinstance(error, AttemptFailed):
            return self.failed(error.reason, error.detail)
        if expired and isinstance(error, TimeoutError):
            seconds = self._assign.time_limit.ToTimedelta().total_seconds()
            return self.failed(Reason.TIMEOUT, f"not done after {seconds:g} s")
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
            measurements=self._account.used,
        )

    async def _make(self) -> list[Artifact]:
        """The uploaded files, the first format's first, the thumbnail last."""
        spec = self._assign.spec
        try:
            wanted = formats.wanted(list(spec.formats))
        except ValueError as error:
            raise AttemptFailed(Reason.INVALID_SPEC, str(error)) from error
        self._account.progress(Stage.STAGE_LOADING, 0, spec.steps)
        with self._folder() as folder:
            made = await self._workshop.source.make(self._assign, wanted, folder, self._account)
            self._judge(made)
            return await self._upload(folder, made)

    def _judge(self, made: Made) -> None:
        """The gates, for every file. Raises AttemptFailed with all that failed."""
        found = []
        for name, probe in made.probes.items():
            self._account.used.quality.update(gate.measured(name, probe))
            found += [f"{name} {problem}" for problem in gate.problems(name, probe, made.expected)]
        if found:
            raise AttemptFailed(Reason.QUALITY, "; ".join(found))

    async def _upload(self, folder: Path, made: Made) -> list[Artifact]:
        assign = self._assign
        self._account.all_steps_done(Stage.STAGE_UPLOADING)
        under = folder_key(assign.job_id, assign.attempt, assign.lease.token)
        keys = {name: f"{under}/{formats.file_name(name)}" for name in (*made.probes, formats.THUMBNAIL)}
        with self._account.stage("upload"):
            stored = await self._workshop.artifacts.upload(
                {key: folder / formats.file_name(name) for name, key in keys.items()}
            )
        self._account.used.artifact_bytes = sum(one.size for one in stored.values())
        return [self._describe(name, key, stored[key], made) for name, key in keys.items()]

    def _describe(self, name: str, key: str, stored: Stored, made: Made) -> Artifact:
        artifact = Artifact(
            key=key,
            size_bytes=stored.size,
            sha256=stored.sha256,
            media_type=formats.media_type(name),
            format=name,
        )
        if name == formats.THUMBNAIL:
            artifact.width, artifact.height, artifact.frames = made.thumbnail_width, made.thumbnail_height, 1
        else:
            of = made.expected
            artifact.width, artifact.height, artifact.frames, artifact.fps = of.width, of.height, of.frames, of.fps
        return artifact

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        try:
            with self._workshop.scratch.folder() as folder:
                yield folder
        except OSError as error:
            raise AttemptFailed(Reason.STORAGE, f"scratch folder: {error.strerror or error}") from error

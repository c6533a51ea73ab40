"""Every file that a node reports is in the event that says the job is delivered, and in no other."""

from edgecore.common.v1.common_pb2 import Artifact
from edgecore.jobs.v1.events_pb2 import JobStateChanged
from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore_contracts.states import JobState

from .conftest import Scheduler


async def test_other_artifacts_travel_with_the_delivery(scheduler: Scheduler) -> None:
    node = scheduler.node()
    await node.register()
    job_id = await scheduler.generate()
    assign = await node.receive("assign")
    finished = pb.Finished(lease=assign.lease, outcome="ATTEMPT_OUTCOME_SUCCEEDED", reason="REASON_COMPLETED")
    finished.artifact.CopyFrom(Artifact(key="jobs/x/1-1/video.mp4", format="mp4"))
    finished.other_artifacts.append(Artifact(key="jobs/x/1-1/video.webm", format="webm"))
    finished.other_artifacts.append(Artifact(key="jobs/x/1-1/thumbnail.jpg", format="thumbnail"))
    node.send(finished=finished)
    await node.receive("accepted")

    changes = [one for one in await scheduler.events(job_id) if isinstance(one, JobStateChanged)]
    [delivered] = [one for one in changes if one.to == JobState.DELIVERED.to_proto()]
    assert [one.format for one in delivered.other_artifacts] == ["webm", "thumbnail"]
    assert not any(one.other_artifacts for one in changes if one is not delivered)

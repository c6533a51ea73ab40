"""The node as a process: how it starts, how it is stopped, and that it leaves nothing behind."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from edgecore.common.v1.common_pb2 import Reason
from edgecore_inference.provider.settings import Settings as ProviderSettings
from edgecore_inference.settings import Settings
from edgecore_runtime.settings import table
from edgecore_runtime.testing import eventually

from .conftest import EXIT_SECONDS, StartAgent, ended, engine_of, running
from .test_work import FAILED, SUCCEEDED, report_of

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("engine_state", ["working", "stopped"])
async def test_no_engine_outlives_a_killed_agent(start_agent, scheduler, tmp_path, engine_state) -> None:
    agent = await start_agent()
    await eventually(lambda: scheduler.connected, EXIT_SECONDS)
    prompt = "stop" if engine_state == "stopped" else f"deaf:{tmp_path}/never"
    lease = scheduler.assign("job-1", prompt=prompt)
    await eventually(lambda: scheduler.sampling(lease))
    engine = engine_of(agent)
    if engine_state == "stopped":
        await eventually(lambda: psutil.Process(engine).status() == psutil.STATUS_STOPPED)
    agent.kill()
    await eventually(lambda: not running(engine))


def test_no_child_dies_before_it_begins() -> None:
    """Engines and transcoders are started while gRPC's threads are at work."""
    program = Path(__file__).with_name("forking_program.py")
    command = [sys.executable, str(program), "200"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert json.loads(done.stdout) == {"0": 200}, done.stderr


async def test_sigterm_finishes_the_job_and_exits_cleanly(start_agent, scheduler, tmp_path) -> None:
    agent = await start_agent()
    await eventually(lambda: scheduler.connected, EXIT_SECONDS)
    lease = scheduler.assign("job-1", prompt=f"hold:{tmp_path}/go")
    await eventually(lambda: scheduler.sampling(lease))
    engine = engine_of(agent)
    agent.send_signal(signal.SIGTERM)
    (tmp_path / "go").touch()
    status, _ = await ended(agent)
    assert status == 0
    assert (await report_of(scheduler, lease)).outcome == SUCCEEDED
    assert not running(engine)


async def test_ctrl_c_reaches_the_agent_alone(start_agent, scheduler, tmp_path) -> None:
    """The terminal signals the whole process group; the engine must still finish its job."""
    agent = await start_agent()
    await eventually(lambda: scheduler.connected, EXIT_SECONDS)
    lease = scheduler.assign("job-1", prompt=f"hold:{tmp_path}/go")
    await eventually(lambda: scheduler.sampling(lease))
    os.kill(engine_of(agent), signal.SIGINT)
    agent.send_signal(signal.SIGINT)
    (tmp_path / "go").touch()
    status, _ = await ended(agent)
    assert status == 0
    assert (await report_of(scheduler, lease)).outcome == SUCCEEDED


async def test_corrupt_checkpoint_is_one_clear_line(start_agent: StartAgent) -> None:
    status, lines = await ended(await start_agent(EDGECORE_CHECKPOINT="corrupt"))
    assert status == 3
    assert lines == ["inference: checkpoint: corrupt/model.safetensors: its SHA-256 is not the one in config.json"]


async def test_engine_that_never_starts_ends_the_node(start_agent: StartAgent) -> None:
    status, lines = await ended(await start_agent(EDGECORE_CHECKPOINT="absent"))
    assert status == 1
    assert lines[-1] == "inference: the engine exited with code 9 before it was ready"
    failures = [json.loads(line) for line in lines[:-1] if "engine did not start" in line]
    assert [one["attempt"] for one in failures] == [1, 2, 3, 4, 5]


async def test_bad_setting_is_one_clear_line(start_agent: StartAgent) -> None:
    status, [line] = await ended(await start_agent(EDGECORE_SCHEDULER_ADDRESS="localhost"))
    assert status == 2
    assert line.startswith("setting EDGECORE_SCHEDULER_ADDRESS (host:port: its gRPC)")


@pytest.mark.parametrize(
    "point", ["assigned", "upload.before", "upload.after", "finished.before", "finished.after"]
)
async def test_crash_points_of_the_agent(start_agent, scheduler, tmp_path, point) -> None:
    armed = tmp_path / "crash" / f"inference.{point}"
    armed.parent.mkdir()
    armed.write_text("0")
    agent = await start_agent(EDGECORE_CRASH_DIRECTORY=str(armed.parent))
    await eventually(lambda: scheduler.connected, EXIT_SECONDS)
    engine = engine_of(agent)
    scheduler.assign("job-1")
    status, _ = await ended(agent)
    assert status == -signal.SIGKILL
    await eventually(lambda: not running(engine))


@pytest.mark.parametrize("point", ["step", "encode"])
async def test_crash_points_of_the_engine(start_agent, scheduler, tmp_path, point) -> None:
    armed = tmp_path / "crash" / f"engine.{point}"
    armed.parent.mkdir()
    armed.write_text("0")
    await start_agent(EDGECORE_CRASH_DIRECTORY=str(armed.parent))
    await eventually(lambda: scheduler.connected, EXIT_SECONDS)
    report = await report_of(scheduler, scheduler.assign("job-1"))
    assert report.detail == "the engine was ended by SIGKILL"
    assert (await report_of(scheduler, scheduler.assign("job-2"))).outcome == SUCCEEDED


async def test_the_jobs_trace_goes_on_here(start_agent, scheduler, tmp_path) -> None:
    agent = await start_agent()
    await eventually(lambda: scheduler.connected, EXIT_SECONDS)
    parent = f"00-{TRACE_ID}-b7ad6b7169203331-01"
    await report_of(scheduler, scheduler.assign("job-1", trace_context={"traceparent": parent}))
    agent.send_signal(signal.SIGTERM)
    _, lines = await ended(agent)

    spans = [json.loads(line) for line in (tmp_path / "traces.jsonl").read_text().splitlines()]
    named = {span["name"]: span for span in spans}
    assert {"attempt", "generate", "encode", "upload"} <= set(named)
    assert {span["context"]["trace_id"] for span in named.values()} == {f"0x{TRACE_ID}"}
    assert named["attempt"]["parent_id"] == "0xb7ad6b7169203331"
    for child in ("generate", "encode", "upload"):
        assert named[child]["parent_id"] == named["attempt"]["context"]["span_id"]

    [finished] = [json.loads(line) for line in lines if "attempt finished" in line]
    assert (finished["job_id"], finished["trace_id"]) == ("job-1", TRACE_ID)


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
@pytest.mark.parametrize("full", ["artifacts", "scratch"])
async def test_full_disk(start_agent, scheduler, tmp_path, full) -> None:
    """A file-size limit stands for the full disk: the agent's, which uploads, or the engine's, which encodes."""
    agent = await start_agent()
    await eventually(lambda: scheduler.connected, EXIT_SECONDS)
    limited = agent.pid if full == "artifacts" else engine_of(agent)
    resource.prlimit(limited, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    report = await report_of(scheduler, scheduler.assign("job-1", prompt="wide", width=128, height=128))
    assert (report.outcome, report.reason) == (FAILED, Reason.REASON_STORAGE)
    assert "File too large" in report.detail
    assert "\n" not in report.detail
    assert not [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    assert not list((tmp_path / "scratch" / "inference-node-1").iterdir())

    resource.prlimit(limited, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert (await report_of(scheduler, scheduler.assign("job-2", prompt="wide"))).outcome == SUCCEEDED


def test_the_readme_has_the_settings() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert table(Settings) in readme
    assert table(ProviderSettings) in readme

"""The operator against a real cluster: a pool that grows, shrinks and survives.

Pods run on simulated nodes (kwok's label and taint) where there are some, and wait unscheduled otherwise: what is
tested is who is made, marked and removed.
"""

import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
import yaml

from edgecore.scheduler.v1 import scheduler_pb2_grpc
from edgecore_runtime.embedded.parts import EmbeddedParts, embedded_parts
from edgecore_runtime.grpc_server import GrpcServer
from edgecore_runtime.testing import eventually

from .cluster import kubectl
from .operators import SPEC, Operators, Scheduler, kubeconfig, pool

pytestmark = pytest.mark.timeout(300)
together = pytest.mark.asyncio(loop_scope="module")
"""One loop for the tests that tell one pool's story, in order."""

TEMPLATE = {
    "metadata": {"labels": {"app.kubernetes.io/component": "inference"}},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "nodeSelector": {"type": "kwok"},
        "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [{"name": "inference", "image": "edgecore/inference"}],
    },
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedParts]:
    with embedded_parts(tmp_path_factory.mktemp("operator-parts")) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operators(
    pools_namespace: str, parts: EmbeddedParts, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Operators]:
    folder = tmp_path_factory.mktemp("operator")
    (folder / "pod.yaml").write_text(yaml.safe_dump(TEMPLATE))
    scheduler = Scheduler()
    server = GrpcServer(
        "127.0.0.1", 0, [], lambda one: scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server(scheduler, one)
    )
    await server.start()
    environment = dict(os.environ) | {
        "KUBECONFIG": str(kubeconfig(pools_namespace, folder)),
        "EDGECORE_DATABASE_URL": parts.database_url("operator"),
        "EDGECORE_KAFKA_BOOTSTRAP": parts.kafka_bootstrap,
        "EDGECORE_KAFKA_SESSION_TIMEOUT": "2",
        "EDGECORE_MIGRATE_ON_START": "true",
        "EDGECORE_HTTP_PORT": "0",
        "EDGECORE_RECONCILE_INTERVAL": "0.5",
        "EDGECORE_KUBERNETES": "true",
        "EDGECORE_KUBERNETES_NAMESPACE": pools_namespace,
        "EDGECORE_POD_TEMPLATE": str(folder / "pod.yaml"),
        "EDGECORE_SCHEDULER_ADDRESS": f"127.0.0.1:{server.port}",
    }
    made = Operators(pools_namespace, environment, scheduler, server, parts.kafka_bootstrap, folder)
    made.start()
    try:
        yield made
    finally:
        for process in made.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        await made.server.stop()


@together
async def test_a_pool_gets_its_nodes(operators: Operators) -> None:
    kubectl("-n", operators.namespace, "apply", "-f", "-", document=pool("gpus", SPEC))
    await operators.until_replicas(2)
    made = await operators.json("get", "deployment", "inference-gpus", "--show-managed-fields")
    assert made["metadata"]["ownerReferences"][0]["kind"] == "GPUPool"
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "EDGECORE_POOL", "value": "gpus"} in container["env"]
    managers = {one["manager"]: one["operation"] for one in made["metadata"]["managedFields"]}
    assert managers["edgecore-autoscaler"] == "Apply"
    operators.scheduler.running |= dict.fromkeys(await operators.until_pods(2), 0)


@together
async def test_it_grows_with_its_queue_and_says_why(operators: Operators) -> None:
    await operators.say(queued=14, queued_seconds=35.0)
    await operators.until_replicas(3)
    status = await operators.until_reason("3: queue of 14 jobs (35 s of work) over 2 nodes; floor 2")
    assert (status["desired"], status["floor"], status["ceiling"]) == (3, 2, 4)
    assert "ScaledOut" in await operators.events()
    table = kubectl("-n", operators.namespace, "get", "gpupool", "gpus")
    assert "queue of 14 jobs" in table
    operators.scheduler.running |= dict.fromkeys(
        set(await operators.until_pods(3)) - set(operators.scheduler.running), 0
    )


@together
async def test_the_deployment_is_its_own(operators: Operators) -> None:
    """Whoever changes by hand what it applies is corrected, by the same small steps."""
    kubectl("-n", operators.namespace, "scale", "deployment", "inference-gpus", "--replicas=4")
    await operators.say(queued=14, queued_seconds=35.0)
    labels = json.dumps({"metadata": {"labels": {"edgecore.dev/pool": "mine"}}})
    kubectl("-n", operators.namespace, "patch", "deployment", "inference-gpus", "-p", labels)

    async def corrected() -> bool:
        made = await operators.json("get", "deployment", "inference-gpus")
        label = made["metadata"]["labels"]["edgecore.dev/pool"]
        return bool(made["spec"]["replicas"] == 3 and label == "gpus")

    await eventually(corrected, 60)

    async def settled() -> Any:
        made = await operators.json("get", "deployment", "inference-gpus")
        pods = await operators.pods()
        marked = [name for name, notes in pods.items() if "edgecore.dev/draining-since" in notes]
        return made["status"].get("observedGeneration") == made["metadata"]["generation"] and (
            len(pods) == 3 and not marked and pods
        )

    operators.scheduler.draining.clear()
    operators.scheduler.running = dict.fromkeys(await eventually(settled, 90), 0)


@together
async def test_a_node_is_drained_before_it_goes(operators: Operators) -> None:
    """Two nodes work. The third gets a job in the moment before its drain, and is waited for."""
    first, second, third = sorted(operators.scheduler.running)
    operators.scheduler.running |= {first: 1, second: 1}
    operators.scheduler.busy_on_drain = True
    await operators.say(running=2)

    async def draining() -> bool:
        return operators.scheduler.draining == {third}

    await eventually(draining, 60)
    assert await operators.replicas() == 3
    notes = (await operators.pods())[third]
    assert notes["controller.kubernetes.io/pod-deletion-cost"] == "-1"
    conditions = {one["type"]: one for one in (await operators.status())["conditions"]}
    assert third in conditions["Draining"]["message"]

    operators.scheduler.running[third] = 0
    await operators.until_replicas(2)
    assert set(await operators.until_pods(2)) == {first, second}
    assert {"Draining", "ScaledIn"} <= await operators.events()
    del operators.scheduler.running[third]
    operators.scheduler.draining.clear()


@together
async def test_demand_that_returns_takes_the_node_back(operators: Operators) -> None:
    kubectl(
        "-n", operators.namespace, "patch", "gpupool", "gpus", "--type=merge", "-p", '{"spec": {"minReplicas": 1}}'
    )
    first, second = sorted(operators.scheduler.running)
    operators.scheduler.running |= {first: 1, second: 0}
    await operators.say(running=1)

    async def draining() -> bool:
        return operators.scheduler.draining == {second}

    await eventually(draining, 60)
    await operators.say(running=1, queued=10, queued_seconds=22.0)

    async def taken_back() -> bool:
        return not operators.scheduler.draining and not (await operators.pods())[second].get(
            "edgecore.dev/draining-since"
        )

    await eventually(taken_back, 60)
    assert await operators.replicas() == 2
    assert "Undrained" in await operators.events()


@together
async def test_nothing_is_removed_while_the_scheduler_is_away(operators: Operators) -> None:
    operators.scheduler.busy_on_drain = False
    port = operators.server.port
    await operators.server.stop()
    await operators.say(running=0)
    await operators.until_reason("the scheduler is away")
    assert await operators.replicas() == 2
    operators.server = GrpcServer(
        "127.0.0.1",
        port,
        [],
        lambda one: scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server(operators.scheduler, one),
    )
    await operators.server.start()
    operators.scheduler.running = dict.fromkeys(operators.scheduler.running, 0)
    await operators.until_replicas(1)


@together
async def test_of_two_operators_one_acts_and_the_other_takes_over(operators: Operators) -> None:
    operators.scheduler.running = dict.fromkeys(await operators.until_pods(1), 0)
    leader = operators.processes[0]
    operators.start()

    async def follows() -> bool:
        lease = await operators.json("get", "lease", "edgecore-autoscaler")
        return f"-{leader.pid}-" in lease["spec"]["holderIdentity"] and '"started"' in operators.log(1)

    await eventually(follows, 60)
    leader.send_signal(signal.SIGKILL)
    leader.wait()
    await operators.say(queued=14, queued_seconds=35.0)
    await operators.until_replicas(3, seconds=90)
    assert "leading" in operators.log(1)
    assert "tick failed" not in operators.log(1)


@together
async def test_a_pool_can_be_deleted_while_no_operator_runs(operators: Operators) -> None:
    """No finalizer holds it; its nodes go with it."""
    for process in operators.processes:
        process.send_signal(signal.SIGTERM)
    assert operators.processes[1].wait(30) == 0
    kubectl("-n", operators.namespace, "delete", "gpupool", "gpus", "--timeout=30s")

    async def gone() -> bool:
        return await operators.replicas() is None and not await operators.pods()

    await eventually(gone, 60)

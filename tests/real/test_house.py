"""The whole house as processes on Apache Kafka, PostgreSQL and Redis: the end-to-end suite, once more."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecore_cli.process import StackProcess, stack_process
from edgecore_runtime.embedded.parts import EmbeddedParts, embedded_parts
from tests.e2e.suite import end_to_end_suite

pytestmark = pytest.mark.skipif(not os.environ.get("EDGECORE_TEST_REAL"), reason="make test-real")


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[EmbeddedParts]:
    """Of its own: a log full of other suites' events would be a flood of dead letters here."""
    with embedded_parts(tmp_path / "parts") as running:
        yield running


@pytest.fixture
def house(parts: EmbeddedParts, tmp_path: Path) -> Iterator[StackProcess]:
    """`edgecore up` on parts that run elsewhere; with a real Kafka, producers are idempotent."""
    options = [
        *("--database-url", parts.database_url("house")),
        *("--kafka", parts.kafka_bootstrap),
        *("--redis-url", parts.redis_url),
    ]
    environment = {"EDGECORE_KAFKA_IDEMPOTENCE": "true", "EDGECORE_KAFKA_SESSION_TIMEOUT": "10"}
    with stack_process(tmp_path / "var", options, environment, output=subprocess.DEVNULL) as stack:
        yield stack


@pytest.mark.timeout(900)
def test_the_end_to_end_suite_passes(house: StackProcess) -> None:
    end_to_end_suite(house.url, house.api_key, Path(house.record.password_file).read_text().strip())

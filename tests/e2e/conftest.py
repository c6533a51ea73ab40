"""Runs against EDGECORE_E2E_URL with EDGECORE_E2E_KEY, else against a local stack of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecore_cli.process import StackProcess, stack_process
from edgecore_sdk import Client


@pytest.fixture(scope="session")
def local_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """Started when a test needs it, once for all. A test that needs its files or processes runs nowhere else."""
    if "EDGECORE_E2E_URL" in os.environ:
        pytest.skip("looks into a local stack's files and processes")
    with stack_process(tmp_path_factory.mktemp("stack"), output=subprocess.DEVNULL) as stack:
        yield stack


@pytest.fixture(scope="session")
def base_url(request: pytest.FixtureRequest) -> str:
    url = os.environ.get("EDGECORE_E2E_URL")
    return url or str(request.getfixturevalue("local_stack").url)


@pytest.fixture(scope="session")
def api_key(request: pytest.FixtureRequest) -> str:
    if "EDGECORE_E2E_URL" in os.environ:
        return os.environ["EDGECORE_E2E_KEY"]
    return str(request.getfixturevalue("local_stack").api_key)


@pytest.fixture(scope="session")
def password(request: pytest.FixtureRequest) -> str:
    """Of dev@edgecore.local."""
    if "EDGECORE_E2E_URL" in os.environ:
        return os.environ["EDGECORE_E2E_PASSWORD"]
    return Path(request.getfixturevalue("local_stack").record.password_file).read_text().strip()


@pytest.fixture
def client(base_url: str, api_key: str) -> Iterator[Client]:
    with Client(base_url, api_key) as connected:
        yield connected


@pytest.fixture
def edgecore(base_url: str, api_key: str, tmp_path: Path) -> "Command":
    return Command(base_url, api_key, tmp_path)


class Command:
    """The `edgecore` command as a user types it."""

    def __init__(self, url: str, key: str, directory: Path) -> None:
        self._environment = os.environ | {"EDGECORE_URL": url, "EDGECORE_API_KEY": key, "COLUMNS": "200"}
        self._directory = directory

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edgecore_cli", *arguments],
            env=self._environment,
            cwd=self._directory,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

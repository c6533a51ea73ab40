"""Parts of the runtime's own: what its tests leave in the log is nonsense to the services'."""

from collections.abc import Iterator

import pytest

from edgecore_runtime.embedded.parts import EmbeddedParts, embedded_parts


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedParts]:
    with embedded_parts(tmp_path_factory.mktemp("runtime-parts")) as parts:
        yield parts

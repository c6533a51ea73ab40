"""Whole objects or none, under a file: URL."""

import hashlib
from pathlib import Path

import pytest

from edgecore_runtime.objects import CHUNK, ObjectNotFound, ObjectStore, StorageFailed


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore((tmp_path / "store").as_uri())


async def test_what_is_put_is_read_in_parts(store: ObjectStore, tmp_path: Path) -> None:
    content = bytes(range(256)) * 3000
    (tmp_path / "file").write_bytes(content)
    stored = await store.put("a/b.bin", tmp_path / "file")
    assert (stored.size, stored.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert await store.size("a/b.bin") == len(content)
    chunks = [chunk async for chunk in store.read("a/b.bin", 10, len(content) - 10)]
    assert b"".join(chunks) == content[10:-10]
    assert max(map(len, chunks)) <= CHUNK


async def test_a_missing_object_and_a_store_that_cannot_be_written(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFound):
        await store.size("nothing")
    await store.delete("nothing")
    (tmp_path / "store" / "taken").write_text("a file where a folder should be")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(StorageFailed):
        await store.put("taken/b.bin", tmp_path / "file")
    left = [path.name for path in (tmp_path / "store").rglob("*")]
    assert left == ["taken"], "nothing half-written"

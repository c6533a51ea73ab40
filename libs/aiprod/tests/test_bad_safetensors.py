"""Bytes that are no weights, as a part of a model and as an adapter: the error names the file."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgecore_aiprod import CheckpointError
from edgecore_aiprod.adapter import read_file
from edgecore_aiprod.checkpoint import load_model

from .conftest import sign


def with_header(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def one_tensor(data: bytes = bytes(8), **facts: object) -> bytes:
    return with_header({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | facts}, data)


NO_WEIGHTS = {
    "nothing": b"",
    "another format": b"PK\x03\x04 a zip file of another format",
    "endless header": struct.pack("<Q", 2**63),
    "header that is not JSON": struct.pack("<Q", 9) + b"not json!",
    "header that is a list": with_header([]),
    "tensor that is a number": with_header({"x": 3}),
    "no data": one_tensor(b""),
    "less data than its shape": one_tensor(shape=[3]),
    "negative side": one_tensor(shape=[-2]),
    "unknown type": one_tensor(dtype="F99"),
    "complex numbers": one_tensor(dtype="C64", shape=[1]),
    "a type that torch has none for": one_tensor(dtype="F8_E8M0", shape=[8]),
    "a type of half a byte": one_tensor(dtype="F4", shape=[16]),
    "a type of six bits": one_tensor(bytes(6), dtype="F6_E2M3", shape=[8], data_offsets=[0, 6]),
}


@pytest.mark.parametrize("name", NO_WEIGHTS)
def test_bytes_that_are_no_weights_are_refused(tiny_folder: Path, name: str) -> None:
    (tiny_folder / "text.safetensors").write_bytes(NO_WEIGHTS[name])
    sign(tiny_folder, "text.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_model(tiny_folder)
    assert caught.value.file == "text.safetensors"


@pytest.mark.parametrize("name", NO_WEIGHTS)
def test_bytes_that_are_no_weights_are_no_adapter(tmp_path: Path, name: str) -> None:
    path = tmp_path / "one.safetensors"
    path.write_bytes(NO_WEIGHTS[name])
    with pytest.raises(CheckpointError) as caught:
        read_file(path)
    assert caught.value.file == path.name


def with_faults(whole: bytes) -> Iterator[bytes]:
    """Sixty times the file with one to three random bytes in its header."""
    header = struct.unpack("<Q", whole[:8])[0]
    rng = np.random.default_rng(20)
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, 8 + header, size=int(rng.integers(1, 4))):
            data[place] = int(rng.integers(256))
        yield bytes(data)


def test_a_header_with_random_faults_never_raises_anything_else(tiny_folder: Path) -> None:
    path = tiny_folder / "text.safetensors"
    for data in with_faults(path.read_bytes()):
        path.write_bytes(data)
        sign(tiny_folder, path.name)
        try:
            load_model(tiny_folder)
        except CheckpointError as error:
            assert error.file == path.name  # noqa: PT017  (a fault may also hit what does not matter)


def test_an_adapters_header_with_random_faults_never_raises_anything_else(adapter_path: Path) -> None:
    for data in with_faults(adapter_path.read_bytes()):
        adapter_path.write_bytes(data)
        try:
            read_file(adapter_path)
        except CheckpointError as error:
            assert error.file == adapter_path.name  # noqa: PT017  (a fault may also undo another)

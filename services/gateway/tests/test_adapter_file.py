"""Adapter files: what the model's own library writes is read, and what it would refuse is refused here."""

import hashlib
import json
import struct
from typing import Any

import pytest
import torch

from edgecore_aiprod.adapter import Adapter, LowRank, save_adapter
from edgecore_gateway.domain.adapter_file import AdapterFile, read_adapter
from edgecore_gateway.domain.fields import Refused

BASES = ["nano"]
LAYERS = {"text.0": (8, 12), "backbone.blocks.0.qkv": (16, 48)}
RANK = 4


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("lora") / "style.safetensors"
    weights = {
        name: LowRank(torch.randn(RANK, into), torch.randn(out, RANK)) for name, (into, out) in LAYERS.items()
    }
    save_adapter(Adapter("style", RANK, 8.0, "nano", "ab" * 32, weights, ("zorp",), "a zorp circle"), path)
    return path.read_bytes()


def parts(data: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Header, config and tensors."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["config"]), data[8 + length :]


def joined(header: dict[str, Any], config: Any, tensors: bytes) -> bytes:
    text = json.dumps(header | {"__metadata__": {"config": json.dumps(config)}}).encode()
    return struct.pack("<Q", len(text)) + text + tensors


def signed(header: dict[str, Any], config: dict[str, Any], tensors: bytes) -> bytes:
    """With a hash that is right for a config that may not be."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(set(header) - {"__metadata__"}):
        start, end = header[name]["data_offsets"]
        digest.update(f"{name} torch.float16 {tuple(header[name]['shape'])}".encode())
        digest.update(tensors[start:end])
    return joined(header, config | {"sha256": digest.hexdigest()}, tensors)


def test_what_the_model_writes_is_read(written: bytes) -> None:
    assert read_adapter(written, BASES) == AdapterFile("style", "nano", RANK, 8.0, ("zorp",), "a zorp circle")


def test_the_hash_is_the_librarys(written: bytes) -> None:
    header, config, tensors = parts(written)
    del config["sha256"]
    assert read_adapter(signed(header, config, tensors), BASES).name == "style"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"format": "other/1"}, "must be an adapter of the format edgecore-aiprod-lora/1"),
        ({"name": "../x"}, '"name" of its config'),
        ({"base": "large"}, '"base" of its config must be one of nano'),
        ({"base_sha256": None}, '"base_sha256" of its config'),
        ({"rank": 5}, "must have matrices of rank 5"),
        ({"rank": 0}, '"rank" of its config'),
        ({"rank": "4"}, '"rank" of its config'),
        ({"alpha": -1}, '"alpha" of its config'),
        ({"alpha": 10**400}, '"alpha" of its config'),
        ({"triggers": "zorp"}, '"triggers" of its config'),
        ({"triggers": ["zorp"] * 65}, '"triggers" of its config'),
        ({"triggers": ["a\0b"]}, '"triggers" of its config'),
        ({"hint": "x" * 2001}, '"hint" of its config'),
        ({"hint": 5}, '"hint" of its config'),
        ({"layers": []}, '"layers" of its config'),
        ({"layers": [5]}, '"layers" of its config'),
        ({"layers": ["\ud800"]}, '"layers" of its config'),
        ({"layers": ["text.0"]}, "must have a down and an up matrix"),
    ],
)
def test_a_config_that_describes_no_adapter(written: bytes, change: dict[str, Any], rule: str) -> None:
    header, config, tensors = parts(written)
    del config["sha256"]
    with pytest.raises(Refused) as refused:
        read_adapter(signed(header, config | change, tensors), BASES)
    assert rule in refused.value.rule


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ({"shape": [4, 9]}, "has the wrong number of bytes"),
        ({"shape": [32]}, "must be a matrix of floats"),
        ({"shape": [4, 8.0]}, "must be a matrix of floats"),
        ({"dtype": "I16"}, "must be a matrix of floats"),
        ({"dtype": ["F16"]}, "must be a matrix of floats"),
        ({"data_offsets": [0, -64]}, "must be a matrix of floats"),
        ({"data_offsets": [10**30, 10**30 + 64]}, "its tensors have gaps"),
    ],
)
def test_tensors_that_are_not_where_they_should_be(written: bytes, entry: dict[str, Any], rule: str) -> None:
    header, config, tensors = parts(written)
    header["text.0.down"] |= entry
    with pytest.raises(Refused) as refused:
        read_adapter(joined(header, config, tensors), BASES)
    assert rule in refused.value.rule


def test_bytes_that_are_no_adapter(written: bytes) -> None:
    header, config, tensors = parts(written)
    flipped = bytearray(written)
    flipped[-1] ^= 1
    nested = joined({}, {}, b"")
    broken = {
        "must be a safetensors file": [b"", b"x", bytes(8), b"\xff" * 100, struct.pack("<Q", 2) + b"[]"],
        "must be a safetensors file: its header is not JSON": [struct.pack("<Q", 2) + b"{x"],
        "must be a whole safetensors file": [written[:-2], written + b"x"],
        'must have JSON under "config" of its header': [nested.replace(b"{}", b"{x")],
        "must be an adapter of the format": [nested, struct.pack("<Q", 2) + b"{}", joined(header, ["x"], tensors)],
        "is damaged": [bytes(flipped), joined(header, config | {"hint": "another"}, tensors)],
    }
    for rule, files in broken.items():
        for data in files:
            with pytest.raises(Refused) as refused:
                read_adapter(data, BASES)
            assert refused.value.rule.startswith(rule), data[:20]

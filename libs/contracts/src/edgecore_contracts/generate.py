"""Generate everything that is derived from proto/ and topics/: `make proto`; `--check` compares instead.

Output: protobuf and gRPC modules, the topic catalogue, the AsyncAPI document, the state diagram.
"""

import argparse
import filecmp
import json
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.descriptor import FieldDescriptor
from grpc_tools import protoc

CONTRACTS = Path("libs/contracts/src")
JSON_TYPES: dict[int, dict[str, Any]] = {
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "minimum": 0},
    # ProtoJSON writes 64-bit integers as strings.
    FieldDescriptor.CPPTYPE_INT64: {"type": "string"},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "string"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if a committed file differs")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the checkout's root")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch)
        generate(arguments.root, output)
        if arguments.check:
            sys.exit(compare(output, arguments.root))
        shutil.rmtree(arguments.root / CONTRACTS / "edgecore", ignore_errors=True)
        shutil.copytree(output, arguments.root, dirs_exist_ok=True)


def generate(root: Path, output: Path) -> None:
    """Write every derived file below `output`, at its place in the checkout."""
    python = output / CONTRACTS
    (python / "edgecore_contracts").mkdir(parents=True)
    (output / "docs").mkdir()
    compile_protos(root / "proto", python)
    # The catalogue and the documents describe the messages just compiled, not those of the last run.
    sys.path.insert(0, str(python))
    topics = [yaml.safe_load(path.read_text()) for path in sorted((root / "topics").glob("*.yaml"))]
    (python / "edgecore_contracts" / "catalogue.json").write_text(json.dumps(topics, indent=1) + "\n")
    from edgecore_contracts.states import mermaid

    (output / "docs" / "asyncapi.yaml").write_text(yaml.safe_dump(asyncapi(topics), sort_keys=False))
    (output / "docs" / "job-states.md").write_text(
        f"# The eight states of a job\nGenerated from the transition table.\n\n```mermaid\n{mermaid()}```\n"
    )


def compile_protos(protos: Path, output: Path) -> None:
    """Compile to Python with type stubs."""
    well_known = str(resources.files("grpc_tools").joinpath("_proto"))
    services = [str(path) for path in protos.rglob("*.proto") if "\nservice " in path.read_text()]
    everything = sorted(str(path) for path in protos.rglob("*.proto"))
    common = ["protoc", f"-I{protos}", f"-I{well_known}"]
    run_protoc([*common, f"--python_out={output}", f"--mypy_out=quiet:{output}", *everything])
    run_protoc([*common, f"--grpc_python_out={output}", f"--mypy_grpc_out=quiet:{output}", *services])


def run_protoc(arguments: list[str]) -> None:
    if protoc.main(arguments) != 0:
        sys.exit("protoc failed; its message is above")


def asyncapi(topics: list[dict[str, Any]]) -> dict[str, Any]:
    """The topics as one AsyncAPI 3.0 document."""
    from edgecore_contracts.topics import MESSAGES

    messages = {message["name"]: message for topic in topics for message in topic["messages"]}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "EDGECORE events",
            "version": "1.0.0",
            "description": "CloudEvents 1.0 in binary mode on Kafka, protobuf bodies, shown here as ProtoJSON.",
            "license": {"name": "Apache-2.0"},
        },
        "channels": {topic["topic"]: _channel(topic) for topic in topics},
        "operations": {f"read-{topic['topic']}": _operation(topic) for topic in topics},
        "components": {
            "messages": {
                name: {
                    "name": message["type"],
                    "summary": message["summary"],
                    "contentType": "application/protobuf",
                    "payload": _schema(MESSAGES[message["type"]].DESCRIPTOR),
                    "examples": [{"payload": message["example"]}],
                }
                for name, message in messages.items()
            }
        },
    }


def _channel(topic: dict[str, Any]) -> dict[str, Any]:
    return {
        "address": topic["topic"],
        "description": topic["description"],
        "messages": {m["name"]: {"$ref": f"#/components/messages/{m['name']}"} for m in topic["messages"]},
        "bindings": {"kafka": {"partitions": topic["partitions"], "bindingVersion": "0.5.0"}},
    }


def _operation(topic: dict[str, Any]) -> dict[str, Any]:
    reference = "#/channels/" + topic["topic"]
    return {"action": "receive", "channel": {"$ref": reference}, "summary": f"Owner: {topic['owner']}."}


def _schema(message: Any) -> dict[str, Any]:
    """JSON Schema of a message as ProtoJSON writes it."""
    if message.full_name == "google.protobuf.Timestamp":
        return {"type": "string", "format": "date-time"}
    return {"type": "object", "properties": {field.json_name: _field(field) for field in message.fields}}


def _field(field: FieldDescriptor) -> dict[str, Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return {"type": "object", "additionalProperties": _field(field.message_type.fields_by_name["value"])}
    if field.message_type is not None:
        single = _schema(field.message_type)
    elif field.enum_type is not None:
        single = {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    else:
        single = dict(JSON_TYPES[field.cpp_type])
    return {"type": "array", "items": single} if field.is_repeated else dict(single)


def compare(expected: Path, actual: Path) -> int:
    """0 when every generated file equals the committed one; else names the different ones and returns 1."""
    stale = [
        str(path.relative_to(expected))
        for path in sorted(expected.rglob("*"))
        if path.is_file() and not _same(path, actual / path.relative_to(expected))
    ]
    if stale:
        print(  # noqa: T201
            "differs from what `make proto` generates:", *stale, sep="\n  ", file=sys.stderr
        )
    return 1 if stale else 0


def _same(left: Path, right: Path) -> bool:
    return right.is_file() and filecmp.cmp(left, right, shallow=False)


if __name__ == "__main__":
    main()

"""kubectl, helm and the release that the tests look at."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "edgecore"
RELEASE = "edgecore"
INSTALL_SECONDS = 420
RESTRICTED = {
    f"pod-security.kubernetes.io/{mode}": level
    for mode, level in (("enforce", "restricted"), ("warn", "restricted"), ("audit", "restricted"))
}


def run(
    *command: str, document: Any = None, seconds: float = 60.0, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """`document` goes to standard input as JSON, which is YAML too."""
    text = None if document is None else json.dumps(document)
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=seconds, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done


def kubectl(*arguments: str, document: Any = None, seconds: float = 60.0, check: bool = True) -> str:
    return run("kubectl", *arguments, document=document, seconds=seconds, check=check).stdout


def get(*arguments: str) -> Any:
    return json.loads(kubectl("get", *arguments, "-o", "json"))


def helm(*arguments: str, seconds: float = 60.0, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run("helm", *arguments, seconds=seconds, check=check)


def rendered(*options: str) -> list[Any]:
    """The chart's objects, with a trial's parts unless the options say otherwise."""
    text = helm("template", RELEASE, str(CHART), "--kube-version", "1.34.0", *options).stdout
    return [one for one in yaml.safe_load_all(text) if one]


@contextmanager
def namespace(prefix: str) -> Iterator[str]:
    """A namespace of its own, gone afterwards."""
    name = f"{prefix}-{os.getpid()}"
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
    kubectl("apply", "-f", "-", document=document)
    try:
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=true", seconds=180, check=False)


@contextmanager
def objects_volume(namespace: str, folder: Path) -> Iterator[None]:
    """Where the cluster makes no volumes by itself, a folder of this machine, which then must be the node."""
    if get("storageclass")["items"]:
        yield
        return
    # The pods' user is not the folder's owner, and every folder above it must let that user through.
    folder.chmod(0o777)
    for parent in folder.parents:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    name = f"{namespace}-objects"
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder)},
            "claimRef": {"namespace": namespace, "name": f"{RELEASE}-objects"},
        },
    }
    kubectl("apply", "-f", "-", document=volume)
    try:
        yield
    finally:
        kubectl("delete", "persistentvolume", name, "--wait=false", check=False)


def image_options() -> list[str]:
    """What the environment says of images, as options of helm."""
    options = [
        f"image.repository={os.environ.get('EDGECORE_IMAGE_REPOSITORY', 'edgecore')}",
        f"image.tag={os.environ.get('EDGECORE_IMAGE_TAG', 'dev')}",
    ]
    for part in ("postgres", "kafka", "redis"):
        if image := os.environ.get(f"EDGECORE_{part.upper()}_IMAGE"):
            options.append(f"trial.{part}.image={image}")
        if user := os.environ.get(f"EDGECORE_{part.upper()}_USER"):
            options.append(f"trial.{part}.user={user}")
    return [word for option in options for word in ("--set", option)]


@dataclass
class House:
    """An installed release."""

    namespace: str
    api_key: str
    password: str
    url: str = ""
    options: list[str] = field(default_factory=lambda: ["--values", str(Path(__file__).with_name("values.yaml"))])

    def install(self, *options: str) -> None:
        """Install or upgrade, and wait until every pod is ready."""
        if not get("storageclass")["items"]:
            options = ("--set", "objectStore.volume.storageClass=-", *options)
        wait = ["--wait", "--timeout", f"{INSTALL_SECONDS}s"]
        # The CRD is the whole cluster's, and stays when a release goes.
        command = ["upgrade", "--install", RELEASE, str(CHART), "-n", self.namespace, "--take-ownership"]
        helm(*command, *self.options, *image_options(), *options, *wait, seconds=INSTALL_SECONDS + 30)

    def uninstall(self) -> None:
        helm("uninstall", RELEASE, "-n", self.namespace, "--wait", "--timeout", "120s", seconds=150, check=False)

    @contextmanager
    def forwarded(self) -> Iterator[None]:
        """`url` reaches the gateway inside the block."""
        command = ["kubectl", "-n", self.namespace, "port-forward", f"svc/{RELEASE}-gateway", ":80"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as forward:
            try:
                assert forward.stdout is not None
                told = re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline())
                assert told is not None, "kubectl port-forward said nothing"
                self.url = f"http://127.0.0.1:{told[1]}"
                yield
            finally:
                forward.terminate()

    def pods(self, selector: str) -> list[Any]:
        """Those that are not on their way out."""
        found = get("pods", "-n", self.namespace, "-l", selector)["items"]
        return [one for one in found if "deletionTimestamp" not in one["metadata"]]

    def describe(self) -> None:
        """What a person would look at first; pytest shows it when a test failed."""
        for command in (["get", "pods"], ["get", "events", "--sort-by=.lastTimestamp"]):
            print(kubectl("-n", self.namespace, *command, check=False), file=sys.stderr)
        for pod in get("pods", "-n", self.namespace)["items"]:
            name = pod["metadata"]["name"]
            restarts = sum(one["restartCount"] for one in pod["status"].get("containerStatuses", []))
            ready = all(one["ready"] for one in pod["status"].get("containerStatuses", [{"ready": False}]))
            if restarts or not ready:
                log = ["logs", name, "--all-containers", "--tail=30"]
                print(name, kubectl("-n", self.namespace, *log, check=False), file=sys.stderr)
                log.append("--previous")
                print(name, kubectl("-n", self.namespace, *log, check=False), file=sys.stderr)

"""What the chart renders, and what the API server says to it."""

import json
from typing import Any

import pytest
import yaml

from .cluster import CHART, RELEASE, helm, image_options, rendered, run

SERVICES = ("gateway", "scheduler", "inference", "preview", "cost", "analytics", "autoscaler")
TRIAL = ("--set", "trial.enabled=true")
OUTSIDE = (
    "--set",
    "database.existingSecret=db,kafka.bootstrap=kafka.example:9092,redis.existingSecret=redis,objectStore.url=s3://videos",
)


def alone(service: str) -> list[str]:
    return [word for one in SERVICES for word in ("--set", f"{one}.enabled={str(one == service).lower()}")]


def pod_specs(objects: list[Any]) -> dict[str, Any]:
    """By kind/name, of everything that makes a pod; the autoscaler's template is one too."""
    found = {}
    for one in objects:
        name = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "Pod":
            found[name] = one["spec"]
        elif one["kind"] in ("Deployment", "StatefulSet"):
            found[name] = one["spec"]["template"]["spec"]
        elif one["kind"] == "ConfigMap" and "pod.yaml" in one["data"]:
            found[name] = yaml.safe_load(one["data"]["pod.yaml"])["spec"]
    return found


def test_lint_finds_nothing() -> None:
    assert "0 chart(s) failed" in helm("lint", str(CHART), "--strict", *TRIAL).stdout


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("gateway.replicas=many", "/gateway/replicas"),
        ("scheduler.replicas=2", "/scheduler/replicas"),
        ("gatway.enabled=false", "gatway"),
        ("kafka.bootstrap=kafka", "/kafka/bootstrap"),
        ("database.url=postgresql://host/db", "/database/url"),
        ("telemetry.logLevel=LOUD", "/telemetry/logLevel"),
        ("trial.kafka.user=0", "/trial/kafka/user"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(option: str, told: str) -> None:
    command = ("template", RELEASE, str(CHART), "--kube-version", "1.34.0", "--set", option)
    done = helm(*command, check=False)
    assert done.returncode != 0
    assert told in done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_is_deployable_alone(service: str) -> None:
    objects = rendered(*alone(service), *OUTSIDE)
    deployments = [one["metadata"]["name"] for one in objects if one["kind"] == "Deployment"]
    assert deployments == [f"{RELEASE}-{service}"]
    assert not [one for one in objects if one["kind"] == "StatefulSet"]


def test_every_pod_says_that_it_is_restricted() -> None:
    specs = pod_specs(rendered(*TRIAL))
    assert len(specs) == len(SERVICES) + 3 + 2, sorted(specs)
    for name, spec in specs.items():
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"] + spec.get("initContainers", []):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"]["limits"]["memory"], name
            assert not any("hostPath" in volume for volume in spec.get("volumes", [])), name


def test_a_service_account_each_and_a_token_for_the_autoscaler_alone() -> None:
    specs = {name: spec for name, spec in pod_specs(rendered(*TRIAL)).items() if name.startswith("Deployment/")}
    accounts = {spec["serviceAccountName"] for spec in specs.values()}
    assert accounts == {f"{RELEASE}-{service}" for service in SERVICES}
    with_token = [name for name, spec in specs.items() if spec["automountServiceAccountToken"]]
    assert with_token == [f"Deployment/{RELEASE}-autoscaler"]


def test_the_autoscalers_rights_are_of_its_namespace_and_few() -> None:
    objects = rendered(*TRIAL)
    assert not [one for one in objects if one["kind"] in ("ClusterRole", "ClusterRoleBinding")]
    (role,) = (one for one in objects if one["kind"] == "Role")
    for rule in role["rules"]:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        assert "secrets" not in rule["resources"]
        assert not {"delete", "deletecollection", "escalate", "bind"} & set(rule["verbs"])


def test_what_is_not_named_does_not_pass() -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in rendered(*TRIAL) if one["kind"] == "NetworkPolicy"}
    deny = policies[f"{RELEASE}-deny"]
    assert deny["podSelector"] == {"matchLabels": {"app.kubernetes.io/instance": RELEASE}}
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in deny
    assert "egress" not in deny
    scheduler = policies[f"{RELEASE}-scheduler"]["ingress"]
    callers = {
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for rule in scheduler
        if rule["ports"] == [{"port": "grpc"}]
        for peer in rule["from"]
    }
    assert callers == {"gateway", "inference", "autoscaler"}
    for name, policy in policies.items():
        for rule in policy.get("egress") or []:
            assert rule.get("to") or rule.get("ports"), f"{name} may go anywhere"


def test_probes_disruption_budgets_and_memory_limits() -> None:
    objects = rendered(*TRIAL)
    budgets = {one["metadata"]["name"] for one in objects if one["kind"] == "PodDisruptionBudget"}
    for service in SERVICES:
        name = f"{RELEASE}-{service}"
        assert name in budgets
        (container,) = pod_specs(objects)[f"Deployment/{name}"]["containers"]
        assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
        assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"


def test_the_api_server_takes_it_all_without_a_warning(restricted: str) -> None:
    """Defaults, fields and Pod Security, checked by the real admission; nothing is made."""
    provider = ["--set", "providers[0].name=runway,providers[0].existingSecret=r"]
    options = [*TRIAL, *provider, "--set", "gateway.autoscaling.enabled=true", *image_options(), "-n", restricted]
    objects = {"apiVersion": "v1", "kind": "List", "items": rendered(*options)}
    done = run(
        "kubectl", "-n", restricted, "apply", "--server-side", "--dry-run=server", "-f", "-", document=objects
    )
    assert "Warning" not in done.stderr, done.stderr
    assert f"deployment.apps/{RELEASE}-gateway serverside-applied (server dry run)" in done.stdout


def test_a_provider_is_one_pod_that_remembers_its_orders() -> None:
    providers = [{"name": "runway", "existingSecret": "r"}, {"name": "replicate", "existingSecret": "p"}]
    objects = rendered(*TRIAL, "--set-json", f"providers={json.dumps(providers)}")
    sets = {one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] == "StatefulSet"}
    spec = sets[f"{RELEASE}-provider-runway"]
    assert spec["replicas"] == 1
    assert [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]] == ["orders"]
    for service in ("scheduler", "cost"):
        (container,) = pod_specs(objects)[f"Deployment/{RELEASE}-{service}"]["containers"]
        assert {"name": "EDGECORE_FALLBACK_BACKENDS", "value": "runway,replicate"} in container["env"]

"""Removing nodes: marked, drained, waited for, let go; one step a tick, from any state that a crash leaves."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from edgecore_autoscaler.domain.drain import Node, Plan, Pod, plan

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
LIMIT = timedelta(minutes=16)


def pod(name: str, marked: float | None = None) -> Pod:
    """`marked`: seconds ago."""
    return Pod(name, None if marked is None else NOW - timedelta(seconds=marked))


def nodes(**running: int) -> dict[str, Node]:
    """Connected nodes; `x_draining=0` drains."""
    found = {}
    for key, jobs in running.items():
        name = key.removesuffix("_draining")
        found[name] = Node(name, jobs, name != key, connected=True)
    return found


def step_of(replicas: int, desired: int, pods: list[Pod], known: dict[str, Node], released: str = "") -> Plan:
    return plan(replicas, desired, pods, frozenset(released), known, NOW, LIMIT)


def test_idle_nodes_go_first() -> None:
    step = step_of(3, 2, [pod("a"), pod("b"), pod("c")], nodes(a=1, b=0, c=1))
    assert step == Plan(3, mark=("b",), drain=("b",), waiting=("b",))


def test_a_pod_that_never_connected_goes_before_a_working_one() -> None:
    assert step_of(2, 1, [pod("a"), pod("b")], nodes(a=0)).mark == ("b",)


def test_a_drained_node_is_let_go_and_a_busy_one_waited_for() -> None:
    pods = [pod("a", 30), pod("b", 30), pod("c")]
    step = step_of(3, 1, pods, nodes(a_draining=0, b_draining=1, c=1))
    assert step == Plan(2, waiting=("b",), released=("a",))


def test_a_pod_still_listed_is_not_counted_twice() -> None:
    """The size was lowered to 2 for `a`, which is still there: `b` runs a job and must not go for it."""
    pods = [pod("a", 30), pod("b", 30), pod("c")]
    step = step_of(2, 1, pods, nodes(a_draining=0, b_draining=1, c=1), released="a")
    assert step == Plan(2, waiting=("b",), released=("a",))


def test_a_pod_that_was_let_go_and_stayed_is_taken_back() -> None:
    """The ReplicaSet removed another one."""
    step = step_of(2, 2, [pod("a", 30), pod("c")], nodes(a_draining=0, c=1), released="a")
    assert step == Plan(2, undrain=("a",))


def test_spare_pods_of_an_upgrade_do_not_count() -> None:
    """A pod more than there should be, of a new template that does not start: one still goes for one."""
    pods = [pod("a", 30), pod("b"), pod("c"), pod("new")]
    assert step_of(3, 2, pods, nodes(a_draining=0, b=1, c=1)) == Plan(2, released=("a",))


def test_demand_that_returns_takes_nodes_back() -> None:
    pods = [pod("a", 30), pod("b", 30), pod("c")]
    step = step_of(3, 2, pods, nodes(a_draining=0, b_draining=1, c=1))
    assert step.undrain == ("b",)
    assert step.replicas == 2
    step = step_of(3, 5, pods, nodes(a_draining=0, b_draining=1, c=1))
    assert set(step.undrain) == {"a", "b"}
    assert step.replicas == 5


def test_a_mark_without_a_drain_is_made_good() -> None:
    """The operator died between the two."""
    step = step_of(2, 1, [pod("a", 5), pod("b")], nodes(a=0, b=1))
    assert step == Plan(2, drain=("a",), waiting=("a",))


def test_no_node_is_waited_for_for_ever() -> None:
    step = step_of(2, 1, [pod("a", 961), pod("b")], nodes(a_draining=1, b=1))
    assert step.replicas == 1


def test_pods_that_do_not_exist_yet_are_taken_back_first() -> None:
    step = step_of(5, 2, [pod("a"), pod("b")], nodes(a=1, b=1))
    assert step == Plan(2)


names = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[Pod], frozenset[str], dict[str, Node]]:
    pods = [pod(name, draw(st.one_of(st.none(), st.floats(0, 900)))) for name in draw(names)]
    released = frozenset(one.name for one in pods if one.marked_at and draw(st.booleans()))
    known = {
        one.name: Node(one.name, draw(st.integers(0, 2)), draw(st.booleans()), draw(st.booleans()))
        for one in pods
        if draw(st.booleans())
    }
    return pods, released, known


@given(clusters(), st.integers(0, 9), st.integers(0, 9))
def test_no_node_at_work_is_let_go(
    cluster: tuple[list[Pod], frozenset[str], dict[str, Node]], replicas: int, desired: int
) -> None:
    """The size is lowered by one for a pod that is not there, or marked and empty; for no other, and once."""
    pods, released, known = cluster
    step = plan(replicas, desired, pods, released, known, NOW, LIMIT)
    assert min(replicas, desired) <= step.replicas <= max(replicas, desired)
    newly = set(step.released) - released
    for name in newly:
        assert name not in known or known[name].running == 0
        assert any(one.name == name and one.marked_at for one in pods)
    counted = {one.name for one in pods} - (set(step.released) & released)
    missing = max(0, replicas - len(counted))
    assert step.replicas >= replicas - missing - len(newly)
    assert not set(step.mark) & {one.name for one in pods if one.marked_at}
    assert not set(step.undrain) & (set(step.drain) | set(step.waiting) | set(step.released))

"""Who gives way, and who is not let in."""

from node_builders import container, new_pod
from tiphys.node.pressure import ranking, thresholds
from tiphys.node.pressure.ranking import Consumer, refusal, victim
from tiphys.node.pressure.thresholds import Observation


def using(name, used, requested=0, priority=0, resource="memory", **fields):
    wanted = [container(resources={"requests": {resource: str(requested)}} if requested else {})]
    pod = new_pod(name, wanted, priority=priority, **fields)
    return Consumer(pod, {resource: used}, {"c": {resource: used}})


def test_who_uses_more_than_it_asked_for_goes_first():
    modest, greedy = using("modest", 500, requested=600), using("greedy", 100, requested=50, priority=9)
    assert victim([modest, greedy], "memory") is greedy


def test_then_the_lowest_priority_and_the_largest_excess():
    high, low, larger = using("high", 900, priority=5), using("low", 100), using("larger", 200)
    assert victim([high, low, larger], "memory") is larger
    assert victim([], "memory") is None


def test_process_ids_are_taken_from_the_lowest_priority():
    many, low = using("many", 900, priority=5, resource="pids"), using("low", 1, resource="pids")
    assert victim([many, low], "pids") is low


def test_what_the_node_needs_itself_never_gives_way():
    critical = using("critical", 900, priority=2_000_001_000)
    static = using("static", 900)
    static.pod["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    assert victim([critical, static], "memory") is None


def test_an_eviction_says_what_was_short_and_who_used_more_than_it_asked_for():
    (rule,) = thresholds.parse("memory.available<100Mi")
    text = ranking.message(rule, Observation(2048, 8 << 30), using("web", 200 << 20, requested=1024))
    assert text == (
        "The node was low on resource: memory. Threshold quantity: 102400Ki, available: 2Ki. "
        "Container c was using 204800Ki, request is 1024, has larger consumption of memory. "
    )


def test_under_memory_pressure_only_best_effort_pods_are_refused():
    modest = using("modest", 0, requested=600)
    assert refusal(new_pod(), frozenset({"memory"})) == "The node had condition: [MemoryPressure]. "
    assert refusal(modest.pod, frozenset({"memory"})) == ""
    assert (
        refusal(modest.pod, frozenset({"disk", "memory"})) == "The node had condition: [DiskPressure MemoryPressure]. "
    )
    assert refusal(new_pod(priority=2_000_000_000), frozenset({"disk"})) == refusal(new_pod(), frozenset()) == ""


def test_a_pod_that_tolerates_memory_pressure_is_let_in():
    tolerant = new_pod(tolerations=[{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}])
    assert refusal(tolerant, frozenset({"memory"})) == ""

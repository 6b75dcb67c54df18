"""Services find the pods behind them: slices, legacy Endpoints, and slices that mirror hand-made Endpoints."""

from builders import pod
from service_builders import service
from tiphys.controllers.endpoints.plan import plan as plan_endpoints
from tiphys.controllers.endpointslice.plan import ENDPOINTS_PER_SLICE_MAX
from tiphys.controllers.endpointslice.plan import plan as plan_slices
from tiphys.controllers.endpointslicemirroring.plan import plan as plan_mirror
from tiphys.reconcile.commands import Create, Delete, Update


def web(**options):
    made = service("web", {"port": 80, "protocol": "TCP", "targetPort": 8080}, selector={"app": "web"}, **options)
    made |= {"apiVersion": "v1", "kind": "Service"}
    made["metadata"]["uid"] = "uid-svc"
    return made


def at(name, address, **options):
    made = pod(name, **options)
    made["status"]["podIP"] = address
    return made


def stored(command, name="web-1"):
    made = dict(command.object)
    return {**made, "metadata": {**made["metadata"], "name": name, "namespace": "shop", "uid": "u"}}


def test_ready_pods_become_endpoints_of_one_slice():
    (create,) = plan_slices(web(), [at("a", "10.0.0.1"), at("b", "10.0.0.2", ready=False)], [])
    ready = {e["addresses"][0]: e["conditions"]["ready"] for e in create.object["endpoints"]}
    assert ready == {"10.0.0.1": True, "10.0.0.2": False}
    assert create.object["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]


def test_settled_slices_mean_no_commands():
    pods = [at("a", "10.0.0.1")]
    held = stored(plan_slices(web(), pods, [])[0])
    assert plan_slices(web(), pods, [held]) == []


def test_a_pod_that_terminates_still_serves():
    (create,) = plan_slices(web(), [at("a", "10.0.0.1", deleting=True)], [])
    assert create.object["endpoints"][0]["conditions"] == {"ready": False, "serving": True, "terminating": True}


def test_one_changed_pod_rewrites_one_slice():
    pods = [at(f"p{n:03}", f"10.0.1.{n}") for n in range(ENDPOINTS_PER_SLICE_MAX + 20)]
    created = plan_slices(web(), pods, [])
    held = [stored(c, f"web-{n}") for n, c in enumerate(created)]
    assert [len(c.object["endpoints"]) for c in created] == [ENDPOINTS_PER_SLICE_MAX, 20]
    commands = plan_slices(web(), [*pods[:-1], at("p119", "10.0.9.9")], held)
    assert [type(c) for c in commands] == [Update]


def test_the_last_pod_leaves_an_empty_slice():
    held = stored(plan_slices(web(), [at("a", "10.0.0.1")], [])[0])
    commands = plan_slices(web(), [], [held])
    assert [e for c in commands if not isinstance(c, Delete) for e in c.object["endpoints"]] == []


def test_legacy_endpoints_keep_ready_and_waiting_apart():
    (create,) = plan_endpoints(web(), [at("a", "10.0.0.1"), at("b", "10.0.0.2", ready=False)], None)
    (subset,) = create.object["subsets"]
    assert [a["ip"] for a in subset["addresses"]] == ["10.0.0.1"]
    assert [a["ip"] for a in subset["notReadyAddresses"]] == ["10.0.0.2"]


def test_settled_endpoints_mean_no_commands():
    pods = [at("a", "10.0.0.1")]
    held = stored(plan_endpoints(web(), pods, None)[0], "web")
    assert plan_endpoints(web(), pods, held) == []


def test_hand_made_endpoints_are_mirrored():
    bare = service("db", 5432)
    meta = {"name": "db", "namespace": "shop", "uid": "e"}
    subsets = [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 5432, "protocol": "TCP"}]}]
    endpoints = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": subsets}
    (create,) = plan_mirror(bare, endpoints, [])
    assert isinstance(create, Create)
    assert create.object["endpoints"] == [{"addresses": ["192.0.2.7"], "conditions": {"ready": True}}]

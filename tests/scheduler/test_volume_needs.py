"""Where a pod can go with its claims, and what Kubernetes says if it cannot."""

import pytest

from builders import node, pod
from scheduler_builders import Cluster
from tiphys.scheduler import volume_needs

HOST = "kubernetes.io/hostname"
LOST = 'persistentvolumeclaim "data" bound to non-existent persistentvolume "pv"'
WAITING = {"metadata": {"name": "late"}, "provisioner": "csi.example", "volumeBindingMode": "WaitForFirstConsumer"}
LOCAL = {**WAITING, "metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner"}


def using(*claims, name="web"):
    volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims]
    return pod(name, node="", volumes=volumes)


def claim(name, *, klass="late", volume="", size="1Gi", modes=("ReadWriteOnce",), annotations=None, phase="Pending"):
    said = {**({"pv.kubernetes.io/bind-completed": "yes"} if volume else {}), **(annotations or {})}
    meta = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "annotations": said}
    spec = {"storageClassName": klass, "accessModes": list(modes), "resources": {"requests": {"storage": size}}}
    return {
        "metadata": meta,
        "spec": {**spec, **({"volumeName": volume} if volume else {})},
        "status": {"phase": phase},
    }


def volume(name, *, on=None, size="1Gi", klass="local", labels=None, claim_ref=None, driver=None):
    spec = {"storageClassName": klass, "accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}}
    if on is not None:
        here = {"matchExpressions": [{"key": HOST, "operator": "In", "values": [on]}]}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [here]}}
    spec |= {"claimRef": claim_ref} if claim_ref else {}
    spec |= {"csi": {"driver": driver}} if driver else {}
    meta = {"name": name, "uid": f"uid-{name}", "labels": labels or {}}
    return {"metadata": meta, "spec": spec, "status": {"phase": "Available"}}


def cluster(*objects, nodes=("a", "b"), classes=(WAITING, LOCAL)):
    found = Cluster(*(each if isinstance(each, dict) else node(each) for each in nodes))
    for each in classes:
        found.state.volumes.classes[each["metadata"]["name"]] = each
    for each in objects:
        if "capacity" in each["spec"]:
            found.state.volumes.put_volume(each)
        else:
            found.state.volumes.claims[("shop", each["metadata"]["name"])] = each
    return found


def choices(found, obj, name):
    asks = found.state.asks(obj)
    made = asks.volumes.choices_on(found.state.table.row_of[name])
    return made and [(c.key[1], c.volume and c.volume["metadata"]["name"]) for c in made]


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (None, 'persistentvolumeclaim "data" not found'),
        (claim("data", klass="now"), volume_needs.UNBOUND),
        (claim("data", volume="pv", phase="Lost"), LOST),
    ],
)
def test_a_claim_that_cannot_be_used_is_said_once_for_all_nodes(held, said):
    refusal = cluster(*([held] if held else [])).choice(using("data"))
    assert refusal.message == f"0/2 nodes are available: {said}."


def test_a_bound_claim_draws_its_pod_to_its_volume():
    found = cluster(claim("data", volume="pv"), volume("pv", on="b"))
    assert found.choice(using("data")) == "b"


def test_a_volume_on_a_node_that_is_full_is_a_conflict_with_the_others():
    found = cluster(claim("data", volume="pv"), volume("pv", on="c"))
    assert found.choice(using("data")).message == f"0/2 nodes are available: 2 {volume_needs.ELSEWHERE}."


def test_a_bound_claim_without_its_volume_is_nowhere():
    assert volume_needs.NO_VOLUME in cluster(claim("data", volume="gone")).choice(using("data")).kinds


def test_the_smallest_volume_that_is_large_enough_is_taken():
    volumes = [volume(f"pv-{size}", on="a", size=size) for size in ("512Mi", "20Gi", "2Gi")]
    found = cluster(claim("data", klass="local"), *volumes)
    assert choices(found, using("data"), "a") == [("data", "pv-2Gi")]
    assert found.choice(using("data")) == "a"


def test_two_claims_do_not_get_the_same_volume():
    found = cluster(claim("x", klass="local"), claim("y", klass="local"), volume("one", on="a"))
    assert found.choice(using("x", "y")).kinds == {volume_needs.NOTHING_TO_BIND}
    found.state.volumes.put_volume(volume("two", on="a"))
    assert choices(found, using("x", "y"), "a") == [("x", "one"), ("y", "two")]


def test_a_volume_that_was_promised_is_not_given_again():
    found = cluster(claim("x", klass="local"), claim("y", klass="local"), volume("one", on="a"))
    made = found.state.asks(using("x")).volumes.choices_on(found.state.table.row_of["a"])
    found.state.volumes.promise(made, "a")
    assert found.choice(using("y")).kinds == {volume_needs.NOTHING_TO_BIND}
    found.state.volumes.withdraw(made)
    assert found.choice(using("y")) == "a"


def test_a_volume_made_for_a_claim_waits_for_it():
    theirs = volume("theirs", on="a", size="9Gi", claim_ref={"namespace": "shop", "name": "x"})
    found = cluster(claim("x", klass="local"), claim("y", klass="local"), theirs, volume("free", on="b"))
    assert choices(found, using("x"), "a") == [("x", "theirs")] and found.choice(using("y")) == "b"


def test_a_volume_can_be_made_where_its_class_allows():
    zones = [{"matchLabelExpressions": [{"key": HOST, "values": ["b"]}]}]
    found = cluster(claim("data"), classes=[{**WAITING, "allowedTopologies": zones}])
    assert found.choice(using("data")) == "b" and choices(found, using("data"), "b") == [("data", None)]


def test_a_claim_that_is_being_made_for_a_node_stays_there():
    found = cluster(claim("data", annotations={"volume.kubernetes.io/selected-node": "b"}))
    assert found.choice(using("data")) == "b"


def test_a_volume_in_another_zone_is_refused_but_by_nodes_without_zones():
    zoned = node("b", labels={"topology.kubernetes.io/zone": "south"})
    labels = {"topology.kubernetes.io/zone": "north__west"}
    found = cluster(claim("data", volume="pv"), volume("pv", labels=labels), nodes=[zoned])
    assert found.choice(using("data")).kinds == {volume_needs.OTHER_ZONE}
    found.state.table.put(node("c"))
    assert found.choice(using("data")) == "c"


def test_a_claim_for_one_pod_is_used_by_one():
    found = cluster(claim("data", volume="pv", modes=["ReadWriteOncePod"]), volume("pv"))
    found.put(using("data", name="first"), "a")
    assert found.choice(using("data")).kinds == {volume_needs.IN_USE}
    found.state.ledger.remove("uid-first")
    assert found.choice(using("data")) in ("a", "b")


def test_a_driver_takes_so_many_volumes_on_a_node():
    held = [claim(name, volume=f"pv-{name}") for name in ("x", "y")]
    found = cluster(*held, *(volume(f"pv-{name}", driver="csi.example") for name in ("x", "y")), nodes=["a"])
    driver = {"name": "csi.example", "allocatable": {"count": 1}}
    found.world.attached.put_csi_node({"metadata": {"name": "a"}, "spec": {"drivers": [driver]}})
    found.put(using("x", name="first"), "a")
    assert found.choice(using("x", name="second")) == "a"
    assert found.choice(using("y")).kinds == {volume_needs.TOO_MANY}


def test_an_ephemeral_claim_is_waited_for_and_has_to_be_the_pods_own():
    template = {"name": "tmp", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}
    incoming, found = pod("web", node="", volumes=[template]), cluster()
    waits = 'waiting for ephemeral volume controller to create the persistentvolumeclaim "web-tmp"'
    assert found.choice(incoming).at_all == waits
    found.state.volumes.claims[("shop", "web-tmp")] = claim("web-tmp")
    assert "was not created for pod shop/web" in found.choice(incoming).at_all


def test_a_driver_that_tells_its_space_makes_volumes_where_it_has_some():
    found = cluster(claim("data", size="5Gi"))
    found.state.volumes.drivers["csi.example"] = {"spec": {"storageCapacity": True}}
    assert found.choice(using("data")).kinds == {volume_needs.NO_SPACE}
    for name, size in (("a", "1Gi"), ("b", "9Gi")):
        here = {"matchLabels": {HOST: name}}
        told = {"storageClassName": "late", "nodeTopology": here, "capacity": size}
        found.state.volumes.capacities[("kube-system", name)] = told
    assert found.choice(using("data")) == "b"

"""A ServiceCIDR is ready at once, and goes when nobody needs its addresses."""

from builders import EPOCH
from tiphys.api.objects import condition_of, parse_timestamp
from tiphys.controllers.servicecidr.controller import ServiceCidrController
from tiphys.controllers.servicecidr.plan import FINALIZER, IN_USE_TEXT, READY_TEXT, plan
from tiphys.reconcile.commands import Requeue

NOW = parse_timestamp(EPOCH)


def cidr(*ranges, name="more", deleting=False, finalizers=(FINALIZER,), conditions=()):
    meta = {"name": name, "uid": f"uid-{name}", "finalizers": list(finalizers)}
    meta |= {"deletionTimestamp": EPOCH} if deleting else {}
    return {"metadata": meta, "spec": {"cidrs": list(ranges)}, "status": {"conditions": list(conditions)}}


def test_a_new_range_is_protected_and_then_ready():
    (guarded,) = plan(cidr("10.7.0.0/24", finalizers=()), [], [], NOW)
    assert guarded.object["metadata"]["finalizers"] == [FINALIZER]
    (told,) = plan(guarded.object, [], [], NOW)
    assert condition_of(told.object, "Ready")["message"] == READY_TEXT
    assert plan(told.object, [], [], NOW + 5) == []


def test_settled_means_no_commands():
    (told,) = plan(cidr("10.7.0.0/24", deleting=True), [], ["10.7.0.9"], NOW + 60)
    assert plan(told.object, [], ["10.7.0.9"], NOW + 90) == []
    assert plan(cidr("10.7.0.0/24", deleting=True, finalizers=()), [], ["10.7.0.9"], NOW) == []


def test_a_range_in_use_stays():
    (told,) = plan(cidr("10.7.0.0/24", deleting=True), [], ["10.7.0.9"], NOW + 60)
    ready = condition_of(told.object, "Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "Terminating", IN_USE_TEXT)


def test_a_range_that_nobody_uses_goes_after_a_while():
    going = cidr("10.7.0.0/24", "2001:db8::/64", deleting=True)
    assert plan(going, [], ["10.8.0.9"], NOW + 4) == [Requeue(6.0)]
    (freed,) = plan(going, [], ["10.8.0.9", "fd00::1"], NOW + 10)
    assert freed.object["metadata"]["finalizers"] == []


def test_a_range_goes_when_others_have_its_addresses():
    going = cidr("10.7.0.0/24", deleting=True)
    (freed,) = plan(going, [cidr("10.7.0.0/16", name="wide")], ["10.7.0.9"], NOW + 10)
    assert freed.object["metadata"]["finalizers"] == []
    (freed,) = plan(going, [cidr("10.7.0.0/28", name="part")], ["10.7.0.9"], NOW + 10)
    assert freed.object["metadata"]["finalizers"] == []
    (told,) = plan(going, [cidr("10.7.0.0/16", name="going", deleting=True)], ["10.7.0.9"], NOW + 10)
    assert condition_of(told.object, "Ready")["status"] == "False"


async def test_the_last_service_lets_its_range_go(plane):
    await plane.start(ServiceCidrController)
    more = await plane.create("networking.k8s.io/v1", "ServiceCIDR", "more", spec={"cidrs": ["10.7.0.0/24"]})

    async def state():
        held = await plane.get("ServiceCIDR", "more", version="networking.k8s.io/v1")
        return "gone" if held is None else (condition_of(held, "Ready") or {}).get("status")

    async def is_now(wanted):
        return await state() == wanted

    await plane.until(lambda: is_now("True"))
    web = await plane.create("v1", "Service", "web", spec={"clusterIP": "10.7.0.9", "ports": [{"port": 80}]})
    await plane.settled()
    await plane.delete(more)
    await plane.until(lambda: is_now("False"))
    await plane.delete(web)
    await plane.until(lambda: is_now("gone"))

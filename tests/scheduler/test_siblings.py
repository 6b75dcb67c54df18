"""Which selector finds a pod's siblings."""

from builders import pod, replicaset
from tiphys.scheduler.siblings import Siblings


def service(**selector):
    return {"kind": "Service", "metadata": {"name": "svc", "namespace": "shop"}, "spec": {"selector": selector}}


def finds(siblings, obj, **labels):
    return siblings.selector_of(obj).matches(labels)


def test_a_pod_of_nobody_has_no_siblings():
    siblings = Siblings()
    assert siblings.selector_of(pod("web")) is None
    siblings.put(service(app="other"))
    assert siblings.selector_of(pod("web")) is None


def test_services_and_controllers_are_taken_together():
    siblings, owned = Siblings(), pod("web", labels={"app": "web", "tier": "front"}, owner=replicaset(1))
    siblings.put(service(tier="front"))
    siblings.put(replicaset(1))
    assert finds(siblings, owned, app="web", tier="front") and not finds(siblings, owned, app="web")


def test_a_selector_that_changes_or_goes_is_seen():
    siblings = Siblings()
    siblings.put(service(app="web"))
    assert siblings.selector_of(pod("web")) is not None
    siblings.put(service(app="other"))
    assert siblings.selector_of(pod("web")) is None
    siblings.put(service(app="web"))
    siblings.remove(service(app="web"))
    assert siblings.selector_of(pod("web")) is None


def test_a_replication_controller_selects_by_plain_labels():
    owner = {**replicaset(1), "kind": "ReplicationController", "apiVersion": "v1"}
    owner["spec"] = {"selector": {"app": "web"}}
    siblings = Siblings()
    siblings.put(owner)
    assert finds(siblings, pod("web", owner=owner), app="web")

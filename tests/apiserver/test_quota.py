"""What a namespace may use: quotas and limits."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import pytest

from apiserver.security_builders import World, attributes
from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.quota import is_in_scope, unsaid, usage_of
from tiphys.apiserver.admission import limit_ranger, resource_quota
from tiphys.apiserver.cache import Cache
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.records import encode
from tiphys.store.memory import MemoryStore

PODS = resources.get("", "v1", "pods")


def pod(requests=None, limits=None, **spec):
    quantities = {"requests": requests or {}, "limits": limits or {}}
    containers = [{"name": "c", "resources": quantities}]
    return {"metadata": {"name": "a", "namespace": "shop"}, "spec": {"containers": containers, **spec}}


def test_a_pod_uses_what_it_requests():
    used = usage_of(PODS, pod({"cpu": "500m", "memory": "1Gi"}, {"cpu": "1"}))
    assert used["cpu"] == used["requests.cpu"] == Fraction(1, 2)
    assert (used["limits.cpu"], used["pods"], used["count/pods"]) == (1, 1, 1)


def test_a_finished_pod_uses_its_place_only():
    assert usage_of(PODS, pod({"cpu": "1"}) | {"status": {"phase": "Succeeded"}}) == {"count/pods": 1}


def test_the_largest_init_container_counts_if_it_is_larger():
    init = [{"name": "i", "resources": {"requests": {"cpu": "2"}}}]
    assert usage_of(PODS, pod({"cpu": "1"}, initContainers=init))["cpu"] == 2


@pytest.mark.parametrize(
    ("kind", "ports", "balancers"), [("ClusterIP", 0, 0), ("NodePort", 1, 0), ("LoadBalancer", 1, 1)]
)
def test_services_use_ports_and_balancers(kind, ports, balancers):
    used = usage_of(resources.get("", "v1", "services"), {"spec": {"type": kind, "ports": [{"port": 80}]}})
    assert (used["services.nodeports"], used["services.loadbalancers"]) == (ports, balancers)


def test_claims_count_for_their_class():
    spec = {"storageClassName": "gold", "resources": {"requests": {"storage": "5Gi"}}}
    used = usage_of(resources.get("", "v1", "persistentvolumeclaims"), {"spec": spec})
    assert used["gold.storageclass.storage.k8s.io/requests.storage"] == used["requests.storage"] == 5 * 2**30


def test_what_a_quota_counts_must_be_said():
    assert unsaid(pod({"cpu": "1"}), ["requests.cpu", "limits.memory", "memory", "pods"]) == (
        "limits.memory for: c; memory for: c"
    )


@pytest.mark.parametrize(
    ("scope", "spec", "holds"),
    [
        ("BestEffort", {}, True), ("NotBestEffort", {}, False), ("Terminating", {"activeDeadlineSeconds": 5}, True),
        ("NotTerminating", {}, True), ("CrossNamespacePodAffinity", {}, False),
    ],
)  # fmt: skip
def test_scopes_choose_pods(scope, spec, holds):
    assert is_in_scope({"spec": {"scopes": [scope]}}, PODS, pod(**spec)) is holds


def test_a_priority_class_can_be_a_scope():
    selector = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}
    quota = {"spec": {"scopeSelector": selector}}
    assert is_in_scope(quota, PODS, pod(priorityClassName="high"))
    assert not is_in_scope(quota, PODS, pod(priorityClassName="low"))


@pytest.fixture
async def quotas():
    """Store a quota with a status; gives (the plugin's validate, what is used)."""
    store = MemoryStore()
    cache = Cache(store)
    parts = Parts(store, cache)
    following = asyncio.create_task(cache.run())

    async def put(hard, used):
        meta = {"name": "q", "namespace": "shop", "uid": "u" * 36}
        quota = {"kind": "ResourceQuota", "apiVersion": "v1", "metadata": meta, "spec": {"hard": hard}}
        await store.create("/registry/resourcequotas/shop/q", encode(quota | {"status": {"hard": hard, "used": used}}))
        await cache.caught_up()
        return resource_quota.plugin(parts).validate

    put.used = lambda: cache.get("", "resourcequotas", "shop", "q")["status"]["used"]
    put.caught_up = cache.caught_up
    yield put
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


def configmap(name="one"):
    return attributes({"metadata": {"name": name, "namespace": "shop"}}, resource="configmaps")


async def test_what_fits_is_counted_and_the_next_one_is_refused(quotas):
    validate = await quotas({"configmaps": "1"}, {"configmaps": "0"})
    await validate(configmap())
    await quotas.caught_up()
    assert quotas.used() == {"configmaps": "1"}
    with pytest.raises(StatusError) as caught:
        await validate(configmap("two"))
    why = "exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1"
    assert caught.value.status["message"] == f'configmaps "two" is forbidden: {why}'


async def test_creates_that_race_cannot_pass_together(quotas):
    validate = await quotas({"configmaps": "3"}, {"configmaps": "0"})
    answers = await asyncio.gather(*(validate(configmap(str(n))) for n in range(10)), return_exceptions=True)
    assert sum(1 for answer in answers if answer is None) == 3


async def test_a_quota_without_a_status_refuses_nothing(quotas):
    validate = await quotas({}, {})
    assert await validate(configmap()) is None


async def test_a_quota_that_was_not_counted_refuses(quotas):
    validate = await quotas({"configmaps": "1"}, {})
    with pytest.raises(StatusError, match="status unknown for quota: q, resources: configmaps"):
        await validate(configmap())


async def test_a_dry_run_counts_nothing(quotas):
    validate = await quotas({"configmaps": "1"}, {"configmaps": "0"})
    asked = configmap()
    asked.dry_run = True
    await validate(asked)
    assert quotas.used() == {"configmaps": "0"}


async def test_memory_is_counted_in_its_own_units(quotas):
    validate = await quotas({"requests.memory": "4Gi"}, {"requests.memory": "1Gi"})
    await validate(attributes(pod({"memory": "1Gi"})))
    await quotas.caught_up()
    assert quotas.used() == {"requests.memory": "2Gi"}
    with pytest.raises(StatusError, match=r"must specify requests\.memory for: c"):
        await validate(attributes(pod()))


# limits


def limited(**limits):
    world = World()
    spec = {"limits": [{"type": "Container", **limits}]}
    world.put("", "limitranges", {"metadata": {"name": "l", "namespace": "shop"}, "spec": spec})
    return limit_ranger.plugin(world.cache)


def test_containers_get_what_they_do_not_say():
    asked = attributes(pod())
    limited(default={"cpu": "1"}, defaultRequest={"cpu": "500m"}).mutate(asked)
    assert asked.object["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}
    told = asked.object["metadata"]["annotations"][limit_ranger.ANNOTATION]
    assert told == "LimitRanger plugin set: cpu request for container c; cpu limit for container c"


@pytest.mark.parametrize(
    ("limits", "asked", "text"),
    [
        ({"max": {"cpu": "1"}}, pod({}, {"cpu": "2"}), "maximum cpu usage per Container is 1, but limit is 2"),
        ({"max": {"cpu": "1"}}, pod(), "maximum cpu usage per Container is 1.  No limit is specified"),
        ({"min": {"cpu": "1"}}, pod({"cpu": "1m"}), "minimum cpu usage per Container is 1, but request is 1m"),
        ({"min": {"cpu": "1"}}, pod(), "minimum cpu usage per Container is 1.  No request is specified"),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            pod({"cpu": "1"}, {"cpu": "3"}),
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
    ],
)
def test_what_is_outside_the_limits_is_refused(limits, asked, text):
    with pytest.raises(StatusError) as caught:
        limited(**limits).validate(attributes(asked))
    assert caught.value.status["message"] == f'pods "a" is forbidden: {text}'


def test_claims_are_limited_by_their_requests():
    world = World()
    spec = {"limits": [{"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]}
    world.put("", "limitranges", {"metadata": {"name": "l", "namespace": "shop"}, "spec": spec})
    claim = {"metadata": {"name": "d", "namespace": "shop"}, "spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    with pytest.raises(StatusError, match="maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"):
        limit_ranger.plugin(world.cache).validate(attributes(claim, resource="persistentvolumeclaims"))


def test_a_pod_is_limited_as_a_whole():
    world = World()
    spec = {"limits": [{"type": "Pod", "max": {"cpu": "2"}}]}
    world.put("", "limitranges", {"metadata": {"name": "l", "namespace": "shop"}, "spec": spec})
    made = pod({}, {"cpu": "1"})
    made["spec"]["containers"] *= 3
    with pytest.raises(StatusError, match="maximum cpu usage per Pod is 2, but limit is 3"):
        limit_ranger.plugin(world.cache).validate(attributes(made))
    made["spec"]["containers"] = made["spec"]["containers"][:2]
    assert limit_ranger.plugin(world.cache).validate(attributes(made)) is None
    made["spec"]["initContainers"] = [{"name": "i", "resources": {"limits": {"cpu": "4"}}}]
    with pytest.raises(StatusError, match="but limit is 4"):
        limit_ranger.plugin(world.cache).validate(attributes(made))


def test_an_update_of_a_pod_is_not_limited_again():
    plugin = limited(max={"cpu": "1"})
    assert plugin.validate(attributes(pod(), old=pod())) is None


def test_overhead_and_sidecars_count():
    sidecar = [{"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}]
    made = pod({"cpu": "1"}, initContainers=sidecar, overhead={"cpu": "500m"})
    assert usage_of(PODS, made)["requests.cpu"] == Fraction(5, 2)


def test_what_the_pod_says_as_a_whole_counts():
    made = pod({"cpu": "1"}, resources={"requests": {"cpu": "3"}})
    assert usage_of(PODS, made)["cpu"] == 3 and unsaid(made, ["requests.cpu"]) == ""


def test_affinity_across_namespaces_is_a_scope():
    term = {"topologyKey": "h", "namespaces": ["other"]}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    assert is_in_scope({"spec": {"scopes": ["CrossNamespacePodAffinity"]}}, PODS, pod(affinity=affinity))

"""What is admitted, and what admission changes: one plugin after the other."""

from __future__ import annotations

import pytest

from apiserver.security_builders import World, attributes
from tiphys.api.errors import StatusError
from tiphys.apiserver.admission import (
    default_tolerations,
    ingress_class,
    namespace_lifecycle,
    node_restriction,
    priority,
    runtime_class,
    service_account,
    storage,
    taint_nodes,
)
from tiphys.apiserver.admission.chain import AdmissionChain, Plugin, on
from tiphys.wire.messages import Identity

N1 = Identity("system:node:n1", ("system:nodes",))


@pytest.fixture
def world():
    return World()


def pod(name="web", **spec):
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": {"containers": [{"name": "c"}], **spec}}


def mutated(plugin, *args, **fields):
    asked = attributes(*args, **fields)
    plugin.mutate(asked)
    return asked.object


def refused(plugin, *args, **fields):
    with pytest.raises(StatusError) as caught:
        asked = attributes(*args, **fields)
        if plugin.mutate is not None:
            plugin.mutate(asked)
        if plugin.validate is not None:
            plugin.validate(asked)
    return caught.value.status["message"]


async def test_only_plugins_that_are_concerned_are_asked():
    asked = []
    pods = Plugin("a", on(("CREATE",), ("", "pods")), lambda it: asked.append("a"))
    nodes = Plugin("b", on(("CREATE",), ("", "nodes")), lambda it: asked.append("b"))
    await AdmissionChain([pods, nodes], World().fresh).mutate(attributes(pod()))
    assert asked == ["a"]


async def test_a_plugin_may_wait():
    async def slowly(it):
        it.object["metadata"]["labels"] = {"seen": "yes"}

    asked = attributes(pod())
    await AdmissionChain([Plugin("a", on(("CREATE",), ("", "pods")), None, slowly)], World().fresh).validate(asked)
    assert asked.object["metadata"]["labels"] == {"seen": "yes"}


# namespaces


def test_nothing_is_made_where_no_namespace_is(world):
    assert refused(namespace_lifecycle.plugin(world.cache), pod()) == 'namespaces "shop" not found'


def test_nothing_new_in_a_namespace_that_goes(world):
    world.namespace("shop", phase="Terminating")
    plugin = namespace_lifecycle.plugin(world.cache)
    why = "unable to create new content in namespace shop because it is being terminated"
    assert refused(plugin, pod()) == f'pods "web" is forbidden: {why}'
    assert mutated(plugin, pod(), old=pod()) is not None


def test_some_namespaces_never_go(world):
    message = refused(
        namespace_lifecycle.plugin(world.cache), old={"metadata": {"name": "default"}}, resource="namespaces"
    )
    assert message == 'namespaces "default" is forbidden: this namespace may not be deleted'


# service accounts


def test_a_pod_runs_as_the_default_account_and_finds_its_token(world):
    world.account("default")
    spec = mutated(service_account.plugin(world.cache), pod(initContainers=[{"name": "i"}]))["spec"]
    volume = spec["volumes"][0]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    assert volume["name"].startswith("kube-api-access-") and volume["projected"]["defaultMode"] == 420
    mount = {"name": volume["name"], "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    assert spec["containers"][0]["volumeMounts"] == spec["initContainers"][0]["volumeMounts"] == [mount]


@pytest.mark.parametrize(("account", "spec", "mounts"), [(False, {}, False), (False, True, True), (None, False, False)])
def test_the_pods_word_on_tokens_counts_more(world, account, spec, mounts):
    world.account("default", **({} if account is None else {"automountServiceAccountToken": account}))
    said = {} if spec == {} else {"automountServiceAccountToken": spec}
    assert ("volumes" in mutated(service_account.plugin(world.cache), pod(**said))["spec"]) is mounts


def test_an_account_that_is_not_there_is_told(world):
    message = refused(service_account.plugin(world.cache), pod(serviceAccountName="ghost"))
    why = 'error looking up service account shop/ghost: serviceaccount "ghost" not found'
    assert message == f'pods "web" is forbidden: {why}'


def test_pull_secrets_come_from_the_account_unless_the_pod_has_some(world):
    world.account("default", imagePullSecrets=[{"name": "reg"}])
    plugin = service_account.plugin(world.cache)
    assert mutated(plugin, pod())["spec"]["imagePullSecrets"] == [{"name": "reg"}]
    own = [{"name": "mine"}]
    assert mutated(plugin, pod(imagePullSecrets=own))["spec"]["imagePullSecrets"] == own


def test_a_mirror_pod_has_no_account(world):
    mirror = pod(serviceAccountName="robot")
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    assert "a mirror pod may not reference service accounts" in refused(service_account.plugin(world.cache), mirror)


def test_an_enforcing_account_allows_its_own_secrets_only(world):
    meta = {"name": "default", "namespace": "shop", "annotations": {service_account.ENFORCE_MOUNTABLE: "true"}}
    world.put("", "serviceaccounts", {"metadata": meta, "secrets": [{"name": "ok"}]})
    plugin = service_account.plugin(world.cache)
    message = refused(plugin, pod(volumes=[{"name": "s", "secret": {"secretName": "no"}}]))
    assert 'volume with secret.secretName="no" is not allowed because service account default' in message
    fine = attributes(pod(serviceAccountName="default", volumes=[{"name": "s", "secret": {"secretName": "ok"}}]))
    assert plugin.validate(fine) is None


# nodes


def test_a_new_node_takes_no_pods_yet():
    node = mutated(taint_nodes.plugin(), {"metadata": {"name": "n1"}}, resource="nodes")
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


def test_a_node_changes_no_other_node(world):
    message = refused(node_restriction.plugin(world.cache), {"metadata": {"name": "n2"}}, resource="nodes", user=N1)
    assert message == 'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"'


def test_a_node_says_of_a_volume_only_that_its_data_are_gone(world):
    plugin, mine = node_restriction.plugin(world.cache), "tiphys.io/local-path"
    old = {"metadata": {"name": "v", "finalizers": [mine, "other"]}, "spec": {"capacity": {"storage": "1Gi"}}}
    gone = {**old, "metadata": {"name": "v", "finalizers": ["other"]}}
    mutated(plugin, gone, old=old, operation="UPDATE", resource="persistentvolumes", user=N1)
    for wrong in ({**gone, "spec": {}}, {**old, "metadata": {"name": "v"}}, old):
        message = refused(plugin, wrong, old=old, resource="persistentvolumes", user=N1)
        assert 'can only remove the finalizer "tiphys.io/local-path"' in message


def test_a_node_may_not_untaint_itself(world):
    old = {"metadata": {"name": "n1"}, "spec": {"taints": [{"key": "x", "effect": "NoSchedule"}]}}
    new = {"metadata": {"name": "n1"}, "spec": {}}
    message = refused(node_restriction.plugin(world.cache), new, old=old, resource="nodes", user=N1)
    assert message.endswith('node "n1" is not allowed to modify taints')


@pytest.mark.parametrize(
    ("label", "is_refused"),
    [
        ("node-restriction.kubernetes.io/pci", True), ("node-role.kubernetes.io/master", True),
        ("kubernetes.io/hostname", False), ("node.kubernetes.io/anything", False), ("example.com/rack", False),
    ],
)  # fmt: skip
def test_a_node_labels_itself_within_limits(world, label, is_refused):
    node = {"metadata": {"name": "n1", "labels": {label: "x"}}}
    plugin = node_restriction.plugin(world.cache)
    if is_refused:
        assert label in refused(plugin, node, resource="nodes", user=N1)
    else:
        mutated(plugin, node, resource="nodes", user=N1)


def test_a_node_makes_mirror_pods_only(world):
    message = refused(node_restriction.plugin(world.cache), pod(), user=N1)
    assert message.endswith(
        'does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods'
    )


def test_a_node_deletes_and_tells_its_own_pods_only(world):
    plugin = node_restriction.plugin(world.cache)
    other, own = pod(nodeName="n2"), pod(nodeName="n1")
    assert "can only delete pods" in refused(plugin, old=other, user=N1)
    assert "can only update pod status" in refused(plugin, other, old=other, resource="pods/status", user=N1)
    mutated(plugin, old=own, user=N1)
    mutated(plugin, own, old=own, resource="pods/status", user=N1)


def test_others_are_not_restricted(world):
    mutated(node_restriction.plugin(world.cache), {"metadata": {"name": "n2"}}, resource="nodes")


# pods


def test_a_pod_stays_five_minutes_on_a_lost_node():
    tolerations = mutated(default_tolerations.plugin(), pod())["spec"]["tolerations"]
    assert [each["tolerationSeconds"] for each in tolerations] == [300, 300]


def test_a_pod_that_tolerates_everything_gets_nothing_more():
    said = [{"operator": "Exists"}]
    assert mutated(default_tolerations.plugin(), pod(tolerations=said))["spec"]["tolerations"] == said


def priority_class(world, name, value, **fields):
    world.put("scheduling.k8s.io", "priorityclasses", {"metadata": {"name": name}, "value": value, **fields})


def test_a_class_gives_its_number(world):
    priority_class(world, "batch", 1000, preemptionPolicy="Never")
    spec = mutated(priority.plugin(world.cache), pod(priorityClassName="batch"))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "Never")


def test_without_a_class_the_default_one_counts(world):
    plugin = priority.plugin(world.cache)
    assert mutated(plugin, pod())["spec"]["priority"] == 0
    priority_class(world, "normal", 7, globalDefault=True)
    assert mutated(plugin, pod())["spec"]["priorityClassName"] == "normal"


def test_nobody_writes_the_number_themselves(world):
    priority_class(world, "batch", 1000)
    message = refused(priority.plugin(world.cache), pod(priorityClassName="batch", priority=5))
    assert "the integer value of priority (5) must not be provided in pod spec" in message
    assert "computed 1000 from the given PriorityClass name" in message


def test_an_unknown_class_is_told(world):
    message = refused(priority.plugin(world.cache), pod(priorityClassName="ghost"))
    assert message.endswith("no PriorityClass with name ghost was found")


def test_an_update_keeps_the_number(world):
    old = pod(priority=3, preemptionPolicy="Never")
    assert mutated(priority.plugin(world.cache), pod(), old=old)["spec"]["priority"] == 3


def test_there_is_one_global_default(world):
    priority_class(world, "normal", 7, globalDefault=True)
    second = {"metadata": {"name": "other"}, "value": 1, "globalDefault": True}
    plugin = priority.plugin(world.cache)
    assert "normal is already marked as default" in refused(
        plugin, second, resource="priorityclasses", group="scheduling.k8s.io"
    )


def test_a_runtime_class_gives_overhead_and_placement(world):
    scheduling = {"nodeSelector": {"sandbox": "yes"}, "tolerations": [{"key": "s"}]}
    runtime = {
        "metadata": {"name": "vm"},
        "handler": "vm",
        "overhead": {"podFixed": {"cpu": "1"}},
        "scheduling": scheduling,
    }
    world.put("node.k8s.io", "runtimeclasses", runtime)
    spec = mutated(runtime_class.plugin(world.cache), pod(runtimeClassName="vm"))["spec"]
    assert (spec["overhead"], spec["nodeSelector"]) == ({"cpu": "1"}, {"sandbox": "yes"})
    assert spec["tolerations"] == [{"key": "s"}]


def test_an_unknown_runtime_class_is_told(world):
    message = refused(runtime_class.plugin(world.cache), pod(runtimeClassName="ghost"))
    assert message == 'pods "web" is forbidden: pod rejected: RuntimeClass "ghost" not found'


# storage


def storage_class(world, name, created, default="true"):
    meta = {"name": name, "creationTimestamp": created, "annotations": {storage.DEFAULT_ANNOTATIONS[0]: default}}
    world.put("storage.k8s.io", "storageclasses", {"metadata": meta, "provisioner": "p"})


def claim(**spec):
    return {"metadata": {"name": "data", "namespace": "shop"}, "spec": spec}


def test_a_claim_gets_the_newest_default_class(world):
    storage_class(world, "old", "2027-01-01T00:00:00Z")
    storage_class(world, "new", "2027-01-02T00:00:00Z")
    storage_class(world, "newest", "2027-01-03T00:00:00Z", default="false")
    plugin = storage.default_class(world.cache)
    assert mutated(plugin, claim(), resource="persistentvolumeclaims")["spec"]["storageClassName"] == "new"
    said = mutated(plugin, claim(storageClassName=""), resource="persistentvolumeclaims")
    assert said["spec"]["storageClassName"] == ""


def test_claims_are_protected_while_in_use():
    protected = mutated(storage.in_use_protection(), claim(), resource="persistentvolumeclaims")
    assert protected["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


def test_a_claim_grows_only_where_its_class_lets_it(world):
    storage_class(world, "fixed", "2027-01-01T00:00:00Z")
    old = claim(storageClassName="fixed", resources={"requests": {"storage": "1Gi"}}) | {"status": {"phase": "Bound"}}
    new = claim(storageClassName="fixed", resources={"requests": {"storage": "2Gi"}})
    plugin = storage.resize(world.cache)
    assert "must support resize" in refused(plugin, new, old=old, resource="persistentvolumeclaims")


def test_an_ingress_gets_the_default_class(world):
    meta = {"name": "nginx", "annotations": {ingress_class.DEFAULT_ANNOTATION: "true"}}
    world.put("networking.k8s.io", "ingressclasses", {"metadata": meta, "spec": {}})
    plugin = ingress_class.plugin(world.cache)
    plain = {"metadata": {"name": "web", "namespace": "shop"}, "spec": {}}
    where = {"resource": "ingresses", "group": "networking.k8s.io"}
    assert mutated(plugin, plain, **where)["spec"]["ingressClassName"] == "nginx"
    assert mutated(plugin, plain | {"spec": {"ingressClassName": "own"}}, **where)["spec"]["ingressClassName"] == "own"


def mirror(node="n1", **spec):
    made = pod(nodeName=node, **spec)
    made["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    return made


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (mirror("n2"), "can only create pods with spec.nodeName set to itself"),
        (mirror(serviceAccountName="a"), "can not create pods that reference a service account"),
        (mirror(volumes=[{"name": "s", "secret": {"secretName": "s"}}]), "can not create pods that reference secrets"),
        (mirror(volumes=[{"name": "s", "configMap": {"name": "s"}}]), "can not create pods that reference configmaps"),
    ],
)
def test_a_mirror_pod_shows_its_own_node_and_nothing_else(world, made, why):
    assert why in refused(node_restriction.plugin(world.cache), made, user=N1)


def test_a_mirror_pod_is_owned_by_its_node(world):
    node = world.put("", "nodes", {"metadata": {"name": "n1"}})
    made = mirror()
    owner = {"kind": "Node", "name": "n1", "uid": node["metadata"]["uid"]}
    made["metadata"]["ownerReferences"] = [owner]
    mutated(node_restriction.plugin(world.cache), made, user=N1)
    made["metadata"]["ownerReferences"] = [owner | {"uid": "other"}]
    assert "owner reference set to itself" in refused(node_restriction.plugin(world.cache), made, user=N1)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ({"labels": {}}, {"labels": {"node-role.kubernetes.io/x": ""}}, "is not allowed to modify labels"),
        ({}, {"ownerReferences": [{"name": "x"}]}, "is not allowed to modify ownerReferences"),
    ],
)
def test_a_node_leaves_its_metadata_alone(world, old, new, why):
    before, after = {"metadata": {"name": "n1", **old}}, {"metadata": {"name": "n1", **new}}
    assert why in refused(node_restriction.plugin(world.cache), after, old=before, resource="nodes", user=N1)


def test_a_node_may_not_relabel_pods_by_their_status(world):
    labelled = pod(nodeName="n1")
    labelled["metadata"]["labels"] = {"app": "mine"}
    message = refused(
        node_restriction.plugin(world.cache), labelled, old=pod(nodeName="n1"), resource="pods/status", user=N1
    )
    assert "cannot update labels through pod status" in message


def test_a_nodes_lease_is_its_own(world):
    lease = {"metadata": {"name": "n2", "namespace": "kube-node-lease"}}
    where = {"resource": "leases", "group": "coordination.k8s.io", "user": N1}
    plugin = node_restriction.plugin(world.cache)
    assert "with the same name as the requesting node" in refused(plugin, lease, **where)
    lease["metadata"] = {"name": "n1", "namespace": "shop"}
    assert 'can only access leases in the "kube-node-lease" system namespace' in refused(plugin, lease, **where)


def test_placement_that_contradicts_the_runtime_class_is_told(world):
    scheduling = {"nodeSelector": {"sandbox": "yes"}}
    runtime = {"metadata": {"name": "vm"}, "handler": "vm", "overhead": {"podFixed": {"cpu": "1"}}}
    world.put("node.k8s.io", "runtimeclasses", runtime | {"scheduling": scheduling})
    plugin = runtime_class.plugin(world.cache)
    asked = pod(runtimeClassName="vm", nodeSelector={"sandbox": "no"})
    assert "conflict: runtimeClass.scheduling.nodeSelector[sandbox] = yes" in refused(plugin, asked)
    assert "doesn't match" in refused(plugin, pod(runtimeClassName="vm", overhead={"cpu": "2"}))
    assert "without corresponding RuntimeClass" in refused(plugin, pod(overhead={"cpu": "2"}))


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"volumes": [{"name": "s", "secret": {"secretName": "s"}}]}, "secrets"),
        ({"volumes": [{"name": "s", "persistentVolumeClaim": {"claimName": "s"}}]}, "persistentvolumeclaims"),
        (
            {"volumes": [{"name": "s", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
            "projections",
        ),
    ],
)
def test_a_mirror_pod_needs_nothing_of_the_api(world, spec, word):
    assert word in refused(service_account.plugin(world.cache), mirror(**spec))


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"imagePullSecrets": [{"name": "r"}]}, 'imagePullSecrets[0].name="r" is not allowed'),
        (
            {"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "s"}}]}]},
            'container c with envFrom referencing secret.secretName="s" is not allowed',
        ),
        (
            {"containers": [{"name": "c", "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}]},
            'container c with envVar X referencing secret.secretName="s" is not allowed',
        ),
    ],
)
def test_an_enforcing_account_looks_everywhere(world, spec, why):
    meta = {"name": "default", "namespace": "shop", "annotations": {service_account.ENFORCE_MOUNTABLE: "true"}}
    world.put("", "serviceaccounts", {"metadata": meta})
    assert why in refused(service_account.plugin(world.cache), pod(**spec))


def test_a_growing_class_lets_claims_grow(world):
    meta = {"name": "elastic", "annotations": {}}
    world.put("storage.k8s.io", "storageclasses", {"metadata": meta, "provisioner": "p", "allowVolumeExpansion": True})
    old = claim(storageClassName="elastic", resources={"requests": {"storage": "1Gi"}}) | {"status": {"phase": "Bound"}}
    new = claim(storageClassName="elastic", resources={"requests": {"storage": "2Gi"}})
    plugin = storage.resize(world.cache)
    assert plugin.validate(attributes(new, old=old, resource="persistentvolumeclaims")) is None
    pending = old | {"status": {"phase": "Pending"}}
    assert "Only bound" in refused(plugin, new, old=pending, resource="persistentvolumeclaims")

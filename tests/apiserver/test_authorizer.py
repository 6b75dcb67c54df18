"""Who may: kept decisions, the node authorizer, escalation, bootstrap roles."""

from __future__ import annotations

import pytest

from apiserver.security_builders import BOB, RBAC, World, access, attributes, call, rule
from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.references import references_of
from tiphys.apiserver.authz import bootstrap, escalation
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.authz.node import NodeAuthorizer
from tiphys.apiserver.authz.rbac import Rbac
from tiphys.wire.messages import Identity

CONFIG_MAPS = resources.get("", "v1", "configmaps")
N1 = Identity("system:node:n1", ("system:nodes", "system:authenticated"))


class Guarded:
    def __init__(self):
        self.world = World()
        self.nodes = NodeAuthorizer(self.world.cache)
        self.authorizer = Authorizer(Rbac(self.world.cache), self.nodes)
        self.world.cache.listeners += [
            lambda change: self.authorizer.rbac.follow(change.record.key),
            self.nodes.pods.follow,
        ]

    async def may(self, verb, name="", user=BOB, resource=CONFIG_MAPS):
        asked = call(user=user, verb=verb, resource=resource, namespace="shop", name=name)
        try:
            await self.authorizer.authorize(asked)
        except StatusError as error:
            assert error.code == 403
            return False
        return True

    def refusal(self, *asked, **more):
        allowed, reason = self.authorizer.decide(access(N1, *asked, **more))
        assert not allowed
        return reason


@pytest.fixture
def guarded():
    return Guarded()


async def test_what_nobody_granted_is_refused(guarded):
    assert not await guarded.may("get", "a")


async def test_a_new_binding_counts_at_once(guarded):
    guarded.world.role("reader", rule("get list", "configmaps"))
    assert not await guarded.may("get", "a")
    guarded.world.bind("reader", "bob", "shop")
    assert await guarded.may("get", "a")
    guarded.world.drop(RBAC, "rolebindings", "shop", "reader-bob")
    assert not await guarded.may("get", "a")


async def test_a_rule_with_names_allows_those_names_only(guarded):
    guarded.world.role("one", rule("get list", "configmaps", "a"))
    guarded.world.bind("one", "bob", "shop")
    assert await guarded.may("get", "a")
    assert not await guarded.may("get", "b")
    assert not await guarded.may("list")


async def test_a_kept_decision_costs_no_second_look(guarded, monkeypatch):
    guarded.world.role("reader", rule("get", "configmaps"))
    guarded.world.bind("reader", "bob")
    await guarded.may("get", "a")
    monkeypatch.setattr(Rbac, "grants", None)
    assert await guarded.may("get", "another")


async def test_commands_in_pods_take_create_also_as_a_get(guarded):
    guarded.world.role("looker", rule("get", "pods/exec"))
    guarded.world.bind("looker", "bob", "shop")
    exec_ = resources.get("", "v1", "pods/exec")
    assert not await guarded.may("get", "web", resource=exec_)
    guarded.world.role("looker", rule("get create", "pods/exec"))
    assert await guarded.may("get", "web", resource=exec_)


async def test_masters_may_everything(guarded):
    root = Identity("root", ("system:masters",))
    assert await guarded.may("frob", user=root)
    assert guarded.authorizer.decide(access(root, "frob", "anything")) == (True, "")


def test_a_node_reads_the_secret_of_its_pod(guarded):
    guarded.world.pod("web", "n1", volumes=[{"name": "s", "secret": {"secretName": "tls"}}])
    assert guarded.authorizer.decide(access(N1, "get", "secrets", "tls"))[0]
    assert guarded.refusal("get", "secrets", "other") == "no relationship found between node 'n1' and this object"
    assert guarded.refusal("list", "secrets") == "No Object name found"


def test_what_a_node_may_read_ends_with_the_pod(guarded):
    guarded.world.pod("web", "n1", volumes=[{"name": "s", "secret": {"secretName": "tls"}}])
    assert guarded.authorizer.decide(access(N1, "get", "secrets", "tls"))[0]
    guarded.world.drop("", "pods", "shop", "web")
    assert guarded.refusal("get", "secrets", "tls")


def test_another_nodes_pod_gives_nothing(guarded):
    guarded.nodes.pods.is_on("n1", "shop", "web")
    guarded.world.pod("web", "n2", volumes=[{"name": "s", "configMap": {"name": "c"}}])
    assert guarded.refusal("get", "configmaps", "c")
    guarded.world.pod("web", "n1", volumes=[{"name": "s", "configMap": {"name": "c"}}])
    assert guarded.authorizer.decide(access(N1, "get", "configmaps", "c"))[0]


def test_a_node_makes_tokens_for_its_pods_accounts(guarded):
    guarded.world.pod("web", "n1", serviceAccountName="robot")
    assert guarded.authorizer.decide(access(N1, "create", "serviceaccounts/token", "robot"))[0]
    assert guarded.refusal("create", "serviceaccounts/token", "other")


def test_a_node_reads_the_volume_of_its_claim(guarded):
    guarded.world.pod("web", "n1", volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}])
    spec = {"claimRef": {"namespace": "shop", "name": "data"}}
    guarded.world.put("", "persistentvolumes", {"metadata": {"name": "pv"}, "spec": spec})
    assert guarded.authorizer.decide(access(N1, "get", "persistentvolumes", "pv", ""))[0]


def test_a_node_reads_the_secret_for_the_driver_of_its_claims_volume(guarded):
    guarded.world.pod("web", "n1", volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}])
    claim = {"metadata": {"name": "data", "namespace": "shop"}, "spec": {"volumeName": "pv"}}
    guarded.world.put("", "persistentvolumeclaims", claim)
    csi = {"driver": "d", "nodeStageSecretRef": {"namespace": "vault", "name": "key"}}
    spec = {"claimRef": {"namespace": "shop", "name": "data"}, "csi": csi}
    guarded.world.put("", "persistentvolumes", {"metadata": {"name": "pv"}, "spec": spec})
    assert guarded.authorizer.decide(access(N1, "get", "secrets", "key", "vault"))[0]
    assert not guarded.authorizer.decide(access(N1, "get", "secrets", "key", "shop"))[0]


def test_a_node_follows_the_volumes_that_lie_on_it_and_no_others(guarded):
    labels = {"tiphys.io/node": "n1"}
    guarded.world.put("", "persistentvolumes", {"metadata": {"name": "own", "labels": labels}, "spec": {}})
    guarded.world.put("", "persistentvolumes", {"metadata": {"name": "pv"}, "spec": {}})
    for verb, name, more in (("watch", "", {"labels": labels}), ("patch", "own", {}), ("get", "own", {})):
        assert guarded.authorizer.decide(access(N1, verb, "persistentvolumes", name, "", **more))[0]
    assert guarded.refusal("list", "persistentvolumes", "", "", labels={"tiphys.io/node": "n2"})
    assert guarded.refusal("patch", "persistentvolumes", "pv", "")


def test_a_node_lists_only_its_own_pods(guarded):
    assert guarded.authorizer.decide(access(N1, "watch", "pods", fields={"spec.nodeName": "n1"}))[0]
    assert guarded.refusal("watch", "pods") == "can only list/watch pods with spec.nodeName field selector"


def test_a_node_has_one_lease_in_one_namespace(guarded):
    lease = {"group": "coordination.k8s.io"}
    assert guarded.authorizer.decide(access(N1, "get", "leases", "n1", "kube-node-lease", **lease))[0]
    assert "kube-node-lease" in guarded.refusal("get", "leases", "n1", **lease)
    assert "same name" in guarded.refusal("get", "leases", "n2", "kube-node-lease", **lease)


def test_a_node_reads_itself_only(guarded):
    assert guarded.authorizer.decide(access(N1, "get", "nodes", "n1", ""))[0]
    assert guarded.refusal("get", "nodes", "n2", "") == "node 'n1' cannot read 'n2', only its own Node object"


def test_a_name_without_the_group_is_no_node(guarded):
    impostor = Identity("system:node:n1", ("system:authenticated",))
    assert guarded.authorizer.decide(access(impostor, "get", "nodes", "n1", "")) == (False, "")


def test_references_are_found_everywhere():
    env = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s1"}}}]
    source = [{"configMapRef": {"name": "m1"}}]
    projected = {"sources": [{"secret": {"name": "s2"}}, {"configMap": {"name": "m2"}}]}
    spec = {
        "imagePullSecrets": [{"name": "s0"}],
        "initContainers": [{"name": "i", "env": env}],
        "containers": [{"name": "c", "envFrom": source}],
        "volumes": [{"name": "p", "projected": projected}, {"name": "e", "ephemeral": {}}],
    }
    found = references_of({"metadata": {"name": "web"}, "spec": spec})
    secrets = {("secrets", name) for name in ("s0", "s1", "s2")}
    maps = {("configmaps", name) for name in ("m1", "m2")}
    assert found == secrets | maps | {("persistentvolumeclaims", "web-e")}


# escalation


def writes(guarded, kind, obj, user=BOB, old=None):
    escalation.plugin(guarded.authorizer).mutate(attributes(obj, old=old, resource=kind, group=RBAC, user=user))


def role(*rules, name="r"):
    return {"metadata": {"name": name, "namespace": "shop"}, "rules": list(rules)}


def test_nobody_grants_what_they_do_not_hold(guarded):
    guarded.world.role("reader", rule("get", "pods"), namespace="shop")
    guarded.world.bind("reader", "bob", "shop", kind="Role")
    writes(guarded, "roles", role(rule("get", "pods")))
    with pytest.raises(StatusError) as caught:
        writes(guarded, "roles", role(rule("get delete", "pods"), name="more"))
    text = 'roles.rbac.authorization.k8s.io "more" is forbidden: user "bob" (groups=["system:authenticated"]) is '
    lacking = 'attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], '
    assert caught.value.status["message"] == f'{text}{lacking}Verbs:["delete"]}}'


def test_who_may_escalate_grants_anything(guarded):
    guarded.world.role("boss", rule("escalate", "roles", group=RBAC))
    guarded.world.bind("boss", "bob")
    writes(guarded, "roles", role(rule("*", "secrets")))


def test_an_update_that_changes_no_rule_is_free(guarded):
    old = role(rule("*", "secrets"))
    new = role(rule("*", "secrets"))
    new["metadata"]["labels"] = {"a": "b"}
    writes(guarded, "roles", new, old=old)


def binding(name, kind="Role"):
    return {"metadata": {"name": "b", "namespace": "shop"}, "roleRef": {"kind": kind, "name": name}, "subjects": []}


def test_a_binding_to_a_role_needs_its_rules(guarded):
    guarded.world.role("strong", rule("*", "secrets"), namespace="shop")
    with pytest.raises(StatusError, match="permissions not currently held"):
        writes(guarded, "rolebindings", binding("strong"))


def test_who_may_bind_a_role_need_not_hold_it(guarded):
    guarded.world.role("strong", rule("*", "secrets"))
    guarded.world.role("binder", rule("bind", "clusterroles", "strong", group=RBAC))
    guarded.world.bind("binder", "bob", "shop")
    writes(guarded, "rolebindings", binding("strong", "ClusterRole"))


@pytest.mark.parametrize(("name", "kind", "code"), [("absent", "Role", 404), ("x", "Thing", 500)])
def test_a_binding_to_nothing_is_told(guarded, name, kind, code):
    with pytest.raises(StatusError) as caught:
        writes(guarded, "rolebindings", binding(name, kind))
    assert caught.value.code == code


def test_only_who_holds_everything_makes_aggregated_roles(guarded):
    with pytest.raises(StatusError, match=r'NonResourceURLs:\["\*"\]'):
        writes(guarded, "clusterroles", {"metadata": {"name": "a"}, "aggregationRule": {"clusterRoleSelectors": []}})


# bootstrap


def test_every_bootstrap_binding_names_a_bootstrap_role():
    found = list(bootstrap.objects())
    names = {
        (obj["metadata"].get("namespace", ""), obj["metadata"]["name"]) for _, obj in found if "roleRef" not in obj
    }
    for _, obj in found:
        if "roleRef" in obj:
            namespace = obj["metadata"].get("namespace", "") if obj["roleRef"]["kind"] == "Role" else ""
            assert (namespace, obj["roleRef"]["name"]) in names


def wanted(*rules):
    meta = {"name": "r", "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}, "annotations": {}}
    return {"metadata": meta, "rules": list(rules)}


def test_a_whole_bootstrap_role_is_left_alone():
    assert bootstrap.repair(wanted(rule("get list", "pods")), wanted(rule("get", "pods"))) is None


def test_lost_rules_come_back_and_added_ones_stay():
    repaired = bootstrap.repair(wanted(rule("get", "secrets")), wanted(rule("get", "pods")))
    assert repaired["rules"] == [rule("get", "secrets"), {**rule("get", "pods")}]


def test_a_role_that_says_no_is_not_repaired():
    present = wanted()
    present["metadata"]["annotations"] = {bootstrap.AUTOUPDATE: "false"}
    assert bootstrap.repair(present, wanted(rule("get", "pods"))) is None


def test_lost_subjects_come_back():
    subject = {"kind": "Group", "name": "system:masters"}
    present = wanted() | {"roleRef": {}, "subjects": []}
    assert bootstrap.repair(present, wanted() | {"roleRef": {}, "subjects": [subject]})["subjects"] == [subject]


STORAGE, DRA = {"group": "storage.k8s.io"}, {"group": "resource.k8s.io"}
LEASES = {"group": "coordination.k8s.io"}


@pytest.mark.parametrize(
    ("verb", "resource", "name", "namespace", "more", "reason"),
    [
        ("update", "secrets", "s", "shop", {}, "can only read resources of this type"),
        ("get", "secrets/x", "s", "shop", {}, "cannot read subresource"),
        ("list", "secrets", "", "", {}, "can only read namespaced object of this type"),
        ("list", "persistentvolumeclaims", "", "shop", {}, "can only get individual resources of this type"),
        ("get", "persistentvolumeclaims/x", "c", "shop", {}, "cannot get subresource"),
        ("delete", "persistentvolumeclaims/status", "c", "shop", {}, "can only get/update/patch this type"),
        ("list", "persistentvolumes", "", "", {}, "can only get individual resources of this type"),
        ("get", "serviceaccounts/token", "a", "shop", {}, "can only create tokens for individual service accounts"),
        ("delete", "serviceaccounts", "a", "shop", {}, ""),
        ("list", "nodes", "", "", {}, "node 'n1' cannot read all nodes, only its own Node object"),
        ("get", "nodes/status", "n1", "", {}, ""),
        ("get", "nodes/proxy", "n1", "", {}, ""),
        ("delete", "nodes", "n1", "", {}, ""),
        ("get", "pods", "web", "shop", {}, "no relationship found between node 'n1' and this object"),
        ("get", "pods/status", "web", "shop", {}, ""),
        ("get", "pods/eviction", "web", "shop", {}, ""),
        ("get", "pods/log", "web", "shop", {}, ""),
        ("update", "pods", "web", "shop", {}, ""),
        ("list", "volumeattachments", "", "", STORAGE, "can only get individual resources of this type"),
        ("get", "volumeattachments", "v", "", STORAGE, "no relationship found between node 'n1' and this object"),
        ("get", "csinodes", "n2", "", STORAGE, "can only access CSINode with the same name as the requesting node"),
        ("get", "csinodes/x", "n1", "", STORAGE, "cannot authorize CSINode subresources"),
        ("list", "csinodes", "", "", STORAGE, "can only get, create, update, patch, or delete a CSINode"),
        (
            "list",
            "leases",
            "",
            "kube-node-lease",
            LEASES,
            "can only get, create, update, patch, or delete a node lease",
        ),
        ("get", "resourceclaims", "c", "shop", DRA, "no relationship found between node 'n1' and this object"),
        ("create", "deployments", "", "shop", {"group": "apps"}, ""),
    ],
)
def test_a_node_is_told_what_it_may_not(guarded, verb, resource, name, namespace, more, reason):
    assert guarded.refusal(verb, resource, name, namespace, **more) == reason


@pytest.mark.parametrize(
    ("verb", "resource", "name", "namespace", "more"),
    [
        ("create", "nodes", "", "", {}), ("patch", "nodes/status", "n1", "", {}), ("create", "pods", "", "shop", {}),
        ("patch", "pods/status", "web", "shop", {}), ("create", "pods/eviction", "web", "shop", {}),
        ("delete", "pods", "web", "shop", {}), ("get", "csinodes", "n1", "", STORAGE),
        ("create", "leases", "", "kube-node-lease", LEASES), ("list", "services", "", "", {}),
        ("get", "volumeattachments", "own", "", STORAGE), ("get", "pods", "mine", "shop", {}),
        ("get", "serviceaccounts", "robot", "shop", {}), ("update", "persistentvolumeclaims/status", "c", "shop", {}),
    ],
)  # fmt: skip
def test_a_node_may_do_its_work(guarded, verb, resource, name, namespace, more):
    guarded.world.put("storage.k8s.io", "volumeattachments", {"metadata": {"name": "own"}, "spec": {"nodeName": "n1"}})
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}]
    guarded.world.pod("mine", "n1", serviceAccountName="robot", volumes=volumes)
    assert guarded.authorizer.decide(access(N1, verb, resource, name, namespace, **more)) == (True, "")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("get", "/version", 'forbidden: User "bob" cannot get path "/version"'),
        ("get", "/apis/x.io/v1/things/a", 'things.x.io "a" is forbidden: User "bob" cannot get resource "things"'),
        ("get", "/apis/x.io/v1/things", 'things.x.io is forbidden: User "bob" cannot list resource "things"'),
        ("delete", "/apis/x.io/v1/things", "cannot deletecollection resource"),
        ("get", "/api/v1/watch/things", "cannot watch resource"),
        ("post", "/api/v1/namespaces/shop/things/a/sub", 'cannot create resource "things/sub" in API group "" in the'),
    ],
)
async def test_paths_that_nobody_serves_are_refused_in_the_same_words(guarded, method, path, expected):
    with pytest.raises(StatusError) as caught:
        await guarded.authorizer.authorize(call(path=path, verb=method))
    assert expected in caught.value.status["message"]


async def test_a_binding_to_a_missing_role_is_told(guarded):
    guarded.world.bind("ghost", "bob", "shop")
    allowed, reason = guarded.authorizer.decide(access(BOB, "get", "pods"))
    assert not allowed and reason == 'RBAC: clusterrole.rbac.authorization.k8s.io "ghost" not found'


async def test_an_account_is_bound_by_its_namespace(guarded):
    guarded.world.role("reader", rule("get", "configmaps"))
    metadata = {"name": "b", "namespace": "shop"}
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "reader"}
    subjects = [{"kind": "ServiceAccount", "name": "robot", "namespace": "shop"}]
    guarded.world.put(RBAC, "rolebindings", {"metadata": metadata, "subjects": subjects, "roleRef": reference})
    robot = Identity("system:serviceaccount:shop:robot")
    assert await guarded.may("get", "a", user=robot)
    why = 'of ClusterRole "reader" to ServiceAccount "robot/shop"'
    assert why in guarded.authorizer.decide(access(robot, "get", "configmaps", "a"))[1]

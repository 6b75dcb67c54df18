"""What every namespace has comes by itself, and comes back."""

from tiphys.controllers.clusterroleaggregation.controller import ClusterRoleAggregationController
from tiphys.controllers.rootca.controller import RootCaController
from tiphys.controllers.serviceaccount.controller import ServiceAccountController

ROOT = "kube-root-ca.crt"
RBAC = "rbac.authorization.k8s.io/v1"


async def test_every_namespace_gets_a_default_service_account_also_again(plane):
    await plane.start(ServiceAccountController)
    await plane.settled()
    account = await plane.get("ServiceAccount", "default")
    await plane.delete(account)
    await plane.create("v1", "Namespace", "late")
    await plane.settled()
    assert (await plane.get("ServiceAccount", "default"))["metadata"]["uid"] != account["metadata"]["uid"]
    assert await plane.names("ServiceAccount", namespace="late") == ["default"]


async def test_every_namespace_gets_the_authorities_and_keeps_them(plane):
    await plane.start(RootCaController, bundle="PEM")
    await plane.settled()
    published = await plane.get("ConfigMap", ROOT)
    assert published["data"] == {"ca.crt": "PEM"}
    await plane.patch(published, {"data": {"ca.crt": "forged"}})
    await plane.settled()
    assert (await plane.get("ConfigMap", ROOT))["data"] == {"ca.crt": "PEM"}
    await plane.delete(published)
    await plane.settled()
    assert (await plane.get("ConfigMap", ROOT))["data"] == {"ca.crt": "PEM"}


async def test_nothing_is_put_into_a_namespace_that_goes(plane):
    await plane.create("v1", "Secret", "held", finalizers=["example.com/hold"])
    await plane.delete(await plane.get("Namespace", "shop"))
    await plane.start(ServiceAccountController, RootCaController, bundle="PEM")
    await plane.settled()
    assert (await plane.names("ServiceAccount"), await plane.names("ConfigMap")) == ([], [])


async def test_an_aggregated_role_gathers_the_rules_of_labelled_ones(plane):
    await plane.start(ClusterRoleAggregationController)
    selector = {"matchLabels": {"gather": "yes"}}
    rule = {"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get"]}
    await plane.create(RBAC, "ClusterRole", "all", aggregationRule={"clusterRoleSelectors": [selector]}, rules=[])
    part = await plane.create(RBAC, "ClusterRole", "part", labels={"gather": "yes"}, rules=[rule])
    await plane.settled()
    assert (await plane.get("ClusterRole", "all", version=RBAC))["rules"] == [rule]
    await plane.delete(part)
    await plane.settled()
    assert not (await plane.get("ClusterRole", "all", version=RBAC))["rules"]

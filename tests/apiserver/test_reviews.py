"""Creates that store nothing: who may what, who is that, a new token."""

from __future__ import annotations

import pytest

from apiserver.security_builders import BOB, World, call, rule
from tiphys.api.errors import StatusError
from tiphys.apiserver.authn.accounts import AccountTokens
from tiphys.apiserver.authn.authenticator import Authenticator
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.authz.rbac import Rbac
from tiphys.apiserver.reviews import access, authentication, rules, token_request
from tiphys.pki.tokens import TokenKeys, new_key
from tiphys.wire.messages import Identity

NOW = 1_800_000_000.0
ISSUER = "https://kubernetes.default.svc"


class Reviewed:
    def __init__(self):
        self.world = World()
        rbac = Rbac(self.world.cache)
        self.tokens = AccountTokens(TokenKeys([new_key()]), self.world.cache, ISSUER, (ISSUER,))
        authenticator = Authenticator(self.tokens, fresh=self.world.fresh, now=lambda: NOW)
        self.reviews = {
            **access.reviews(Authorizer(rbac)),
            **rules.reviews(rbac),
            **authentication.reviews(authenticator, lambda: NOW),
            **token_request.reviews(self.tokens, self.world.cache, lambda: NOW),
        }

    async def ask(self, resource, spec=None, metadata=None, **fields):
        review = next(review for (_, name), review in self.reviews.items() if name == resource)
        return await review(call(namespace="shop", **fields), {"metadata": metadata or {}, "spec": spec or {}})

    async def refused(self, *args, **fields):
        with pytest.raises(StatusError) as caught:
            await self.ask(*args, **fields)
        return caught.value.status["message"]


@pytest.fixture
def reviewed():
    found = Reviewed()
    found.world.role("reader", rule("get", "pods"))
    found.world.bind("reader", "bob", "shop")
    return found


def asks(verb, **more):
    return {"resourceAttributes": {"verb": verb, "resource": "pods", "namespace": "shop", **more}}


async def test_a_review_tells_why_something_is_allowed(reviewed):
    status = (await reviewed.ask("subjectaccessreviews", {"user": "bob", **asks("get")}))["status"]
    why = 'RBAC: allowed by RoleBinding "reader-bob/shop" of ClusterRole "reader" to User "bob"'
    assert status == {"allowed": True, "reason": why}


async def test_one_asks_about_oneself(reviewed):
    assert (await reviewed.ask("selfsubjectaccessreviews", asks("get")))["status"]["allowed"]
    assert (await reviewed.ask("selfsubjectaccessreviews", asks("delete")))["status"] == {"allowed": False}


async def test_a_local_review_stays_in_its_namespace(reviewed):
    elsewhere = {"user": "bob", **asks("get", namespace="other")}
    assert "must match metadata.namespace" in await reviewed.refused("localsubjectaccessreviews", elsewhere)
    assert (await reviewed.ask("localsubjectaccessreviews", {"user": "bob", **asks("get")}))["status"]["allowed"]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"user": "x"}, "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes"),
        ({**asks("get")}, 'spec.user: Invalid value: "": at least one of user or group must be specified'),
        (
            {"user": "x", **asks("get"), "nonResourceAttributes": {"path": "/", "verb": "get"}},
            'spec.nonResourceAttributes: Invalid value: {"Path":"/","Verb":"get"}: cannot be specified in combination',
        ),
    ],
)
async def test_a_review_that_asks_wrongly_is_refused(reviewed, spec, text):
    assert text in await reviewed.refused("subjectaccessreviews", spec)


async def test_a_review_has_no_name(reviewed):
    message = await reviewed.refused("selfsubjectaccessreviews", asks("get"), {"name": "x"})
    assert message == '.authorization.k8s.io "" is invalid: metadata: Invalid value: {"name":"x"}: must be empty'


async def test_what_is_owned_of_a_refused_review_is_told_in_order(reviewed):
    metadata = {"name": "x", "managedFields": [{"manager": "m", "fieldsV1": {"f:user": {}, "f:groups": {}}}]}
    message = await reviewed.refused("selfsubjectaccessreviews", asks("get"), metadata)
    assert '"fieldsV1":{"f:groups":{},"f:user":{}}' in message


async def test_rules_are_listed(reviewed):
    status = (await reviewed.ask("selfsubjectrulesreviews", {"namespace": "shop"}))["status"]
    assert status["resourceRules"] == [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    assert await reviewed.refused("selfsubjectrulesreviews") == "no namespace on request"


async def test_who_am_i(reviewed):
    answered = await reviewed.ask("selfsubjectreviews", user=BOB)
    assert answered["status"] == {"userInfo": {"username": "bob", "groups": ["system:authenticated"]}}


async def test_a_token_is_made_and_reviewed(reviewed):
    reviewed.world.account("robot")
    made = await reviewed.ask("serviceaccounts/token", {"expirationSeconds": 1200}, name="robot")
    assert made["status"]["expirationTimestamp"] == "2027-01-15T08:20:00Z"
    reviewed_token = await reviewed.ask("tokenreviews", {"token": made["status"]["token"]})
    assert reviewed_token["status"]["user"]["username"] == "system:serviceaccount:shop:robot"
    assert reviewed_token["status"]["audiences"] == [ISSUER]


async def test_a_bad_token_says_nothing_of_why(reviewed):
    assert (await reviewed.ask("tokenreviews", {"token": "a.b.c"}))["status"]["error"] == "invalid bearer token"


async def test_a_pods_token_tells_its_node(reviewed):
    reviewed.world.account("robot")
    reviewed.world.put("", "nodes", {"metadata": {"name": "n1"}})
    reviewed.world.pod("web", "n1", serviceAccountName="robot")
    spec = {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "web"}}
    made = await reviewed.ask("serviceaccounts/token", spec, name="robot")
    extra = (await reviewed.ask("tokenreviews", {"token": made["status"]["token"]}))["status"]["user"]["extra"]
    assert extra["authentication.kubernetes.io/node-name"] == ["n1"]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"expirationSeconds": 60}, "may not specify a duration less than 10 minutes"),
        ({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "ghost"}}, 'pods "ghost" not found'),
        (
            {"boundObjectRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}},
            "cannot bind token to object of type apps/v1, Kind=Deployment",
        ),
        ({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "other"}}, "different serviceaccount name"),
        (
            {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "other", "uid": "x"}},
            "the UID in the bound object reference (x) does not match",
        ),
    ],
)
async def test_a_token_that_cannot_be_made_is_told(reviewed, spec, text):
    reviewed.world.account("robot")
    reviewed.world.pod("other", serviceAccountName="somebody")
    assert text in await reviewed.refused("serviceaccounts/token", spec, name="robot")


N1 = Identity("system:node:n1", ("system:nodes",))


def for_pod(uid="", name="web", **spec):
    return {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}, **spec}


@pytest.mark.parametrize(
    ("node", "audience", "asked", "text"),
    [
        ("n1", "", {}, "node requested token not bound to a pod"),
        ("n1", "", for_pod(), "node requested token with a pod binding without a uid"),
        ("n2", "", "uid", "node requested token bound to a pod scheduled on a different node"),
        ("n1", "vault", "uid", 'audience "" not found in pod spec volume'),
    ],
)
async def test_a_node_gets_tokens_for_its_own_pods_only(reviewed, node, audience, asked, text):
    reviewed.world.account("robot")
    token = {"serviceAccountToken": {"path": "token", "audience": audience}}
    volumes = [{"name": "t", "projected": {"sources": [token]}}]
    pod = reviewed.world.pod("web", node, serviceAccountName="robot", volumes=volumes)
    spec = for_pod(pod["metadata"]["uid"]) if asked == "uid" else asked
    message = await reviewed.refused("serviceaccounts/token", spec, name="robot", user=N1)
    assert message == f'serviceaccounts "robot" is forbidden: {text}'


async def test_a_node_gets_the_token_that_its_pod_asks_for(reviewed):
    reviewed.world.account("robot")
    volumes = [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]
    pod = reviewed.world.pod("web", "n1", serviceAccountName="robot", volumes=volumes)
    asked = for_pod(pod["metadata"]["uid"])
    assert (await reviewed.ask("serviceaccounts/token", asked, name="robot", user=N1))["status"]["token"]


async def test_a_node_gets_tokens_for_the_drivers_of_its_pods_volumes(reviewed):
    reviewed.world.account("robot")
    claim, source = {"claimName": "data"}, {"csi": {"driver": "of-claim", "volumeHandle": "h"}}
    volumes = [{"name": "a", "csi": {"driver": "inline"}}, {"name": "b", "persistentVolumeClaim": claim}]
    pod = reviewed.world.pod("web", "n1", serviceAccountName="robot", volumes=volumes)
    held = {"metadata": {"name": "data", "namespace": "shop"}, "spec": {"volumeName": "v"}}
    reviewed.world.put("", "persistentvolumeclaims", held)
    reviewed.world.put("", "persistentvolumes", {"metadata": {"name": "v"}, "spec": source})
    for name in ("inline", "of-claim", "other"):
        spec = {"tokenRequests": [{"audience": f"for-{name}"}]}
        reviewed.world.put("storage.k8s.io", "csidrivers", {"metadata": {"name": name}, "spec": spec})
    asked = for_pod(pod["metadata"]["uid"], audiences=["for-inline", "for-of-claim"])
    assert (await reviewed.ask("serviceaccounts/token", asked, name="robot", user=N1))["status"]["token"]
    other = for_pod(pod["metadata"]["uid"], audiences=["for-other"])
    text = await reviewed.refused("serviceaccounts/token", other, name="robot", user=N1)
    assert 'audience "for-other" not found in pod spec volume' in text

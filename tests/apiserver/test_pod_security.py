"""Pod Security Standards: what is violated, and what a namespace's labels make of it."""

from __future__ import annotations

import pytest

from apiserver.security_builders import World, attributes
from tiphys.api.errors import StatusError
from tiphys.apiserver.admission import pod_security
from tiphys.apiserver.admission.pod_security_checks import told, violations

PREFIX = pod_security.PREFIX
GOOD = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {"name": "c", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    ],
}


def container(name="c", **security):
    return {"name": name, "securityContext": security}


def test_a_careful_pod_violates_nothing():
    assert violations(GOOD, "restricted") == []


def test_a_plain_pod_is_fine_at_baseline_and_not_at_restricted():
    spec = {"containers": [{"name": "c"}]}
    assert violations(spec, "baseline") == []
    assert told(violations(spec, "restricted")) == (
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"hostNetwork": True, "hostPID": True}, "host namespaces (hostNetwork=true, hostPID=true)"),
        ({"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "h")'),
        (
            {"containers": [container(privileged=True)]},
            'privileged (container "c" must not set securityContext.privileged=true)',
        ),
        (
            {"containers": [{"name": "d", "ports": [{"hostPort": 80}]}]},
            'hostPort (container "d" uses hostPort 80)',
        ),
        (
            {"containers": [container(capabilities={"add": ["SYS_TIME", "NET_ADMIN"]})]},
            'non-default capabilities (container "c" must not include "NET_ADMIN", "SYS_TIME" in '
            "securityContext.capabilities.add)",
        ),
        (
            {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}, "forbidden sysctls (kernel.msgmax)"),
        (
            {"containers": [container(procMount="Unmasked")]},
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            {"securityContext": {"seLinuxOptions": {"type": "x", "user": "u"}}},
            'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "x"; user may not be set)',
        ),
        (
            {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
            'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")',
        ),
    ],
)
def test_baseline_names_what_is_wrong(spec, text):
    assert told(violations(spec, "baseline")) == text


def test_restricted_names_volumes_and_root():
    volumes = [{"name": "h", "hostPath": {}}, {"name": "n", "nfs": {}}]
    spec = GOOD | {"volumes": volumes, "securityContext": GOOD["securityContext"] | {"runAsUser": 0}}
    assert told(violations(spec, "restricted")) == (
        'restricted volume types (volumes "h", "n" use restricted volume types "hostPath", "nfs"), '
        "runAsUser=0 (pod must not set runAsUser=0)"
    )


def validated(world, obj, **fields):
    asked = attributes(obj, **fields)
    pod_security.plugin(world.cache).validate(asked)
    return asked.warnings


def pod(**spec):
    return {"metadata": {"name": "a", "namespace": "shop"}, "spec": {"containers": [{"name": "c"}], **spec}}


def test_an_enforced_level_refuses():
    world = World()
    world.namespace("shop", {f"{PREFIX}enforce": "baseline", f"{PREFIX}enforce-version": "v1.30"})
    with pytest.raises(StatusError, match=r'pods "a" is forbidden: violates PodSecurity "baseline:v1.30": host namesp'):
        validated(world, pod(hostNetwork=True))


def test_workloads_are_warned_of_what_their_pods_will_meet():
    world = World()
    world.namespace("shop", {f"{PREFIX}enforce": "baseline"})
    deployment = {"metadata": {"name": "d", "namespace": "shop"}, "spec": {"template": {"spec": {"hostNetwork": True}}}}
    warnings = validated(world, deployment, resource="deployments", group="apps")
    assert warnings == ['would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)']


def test_a_namespace_without_labels_lets_everything_pass():
    world = World()
    world.namespace("shop")
    assert validated(world, pod(hostNetwork=True)) == []


def test_a_label_update_of_a_pod_is_not_judged():
    world = World()
    world.namespace("shop", {f"{PREFIX}enforce": "baseline"})
    assert validated(world, pod(hostNetwork=True), old=pod(hostNetwork=True)) == []


def test_a_level_that_is_none_is_refused():
    namespace = {"metadata": {"name": "shop", "labels": {f"{PREFIX}enforce": "strict"}}}
    with pytest.raises(StatusError, match="must be one of privileged, baseline, restricted"):
        validated(World(), namespace, resource="namespaces")


def test_a_tightened_namespace_tells_of_its_pods():
    world = World()
    world.pod("one", hostNetwork=True)
    world.pod("two", hostNetwork=True)
    old = {"metadata": {"name": "shop"}}
    new = {"metadata": {"name": "shop", "labels": {f"{PREFIX}enforce": "baseline"}}}
    warnings = validated(world, new, old=old, resource="namespaces")
    assert warnings[1] == "one (and 1 other pod): host namespaces"

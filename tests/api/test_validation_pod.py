"""Pods: what is refused, in whose words, and what may change."""

import pytest

from api_builders import complaints, created, update_complaints, updated

CONTAINER = {"name": "c", "image": "app:1"}


def pod(metadata=None, container=None, **spec):
    containers = spec.pop("containers", [{**CONTAINER, **(container or {})}])
    return {"metadata": {"name": "p", **(metadata or {})}, "spec": {"containers": containers, **spec}}


def wrong(*, container=None, **spec):
    """The complaints of a pod, without the path of its only container."""
    return [each.replace("spec.containers[0].", "") for each in complaints("v1", "Pod", pod(None, container, **spec))]


def test_a_small_pod_is_valid():
    assert wrong() == []


def test_a_pod_has_a_container():
    assert wrong(containers=[]) == ["spec.containers: Required value"]


@pytest.mark.parametrize(
    ("container", "complaint"),
    [
        ({"image": ""}, "image: Required value"),
        ({"image": " app:1"}, 'image: Invalid value: " app:1": must not have leading or trailing whitespace'),
        ({"name": "a.b"}, 'name: Invalid value: "a.b": must not contain dots'),
        ({"ports": [{"name": "8", "containerPort": 8}]}, None),
        ({"ports": [{"containerPort": 0}]}, "ports[0].containerPort: Required value"),
        ({"env": [{"value": "x"}]}, "env[0].name: Required value"),
        ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.dnsPolicy"}}}]}, None),
        ({"envFrom": [{"configMapRef": {}}]}, "envFrom[0].configMapRef.name: Required value"),
        ({"livenessProbe": {}}, "livenessProbe: Required value: must specify a handler type"),
        (
            {"imagePullPolicy": "Now"},
            'imagePullPolicy: Unsupported value: "Now": supported values: "Always", "IfNotPresent", "Never"',
        ),
        (
            {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
            'resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        (
            {"resources": {"requests": {"gpu": "1"}}},
            'resources.requests[gpu]: Invalid value: "gpu": must be a standard resource for containers',
        ),
        (
            {"resources": {"requests": {"example.com/gpu": "1"}}},
            "resources.limits: Required value: Limit must be set for non overcommitable resources",
        ),
        (
            {"securityContext": {"procMount": "Unmasked"}},
            'securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`',
        ),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "../x"}]},
            'volumeMounts[0].name: Not found: "v"',
        ),
        (
            {"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}},
            "lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than "
            "terminationGracePeriodSeconds (30)",
        ),
    ],
)
def test_containers_are_refused_for(container, complaint):
    found = wrong(container=container)
    assert found
    assert complaint is None or found[0] == complaint


def test_fields_that_the_downward_api_has_not_are_told_apart():
    def source(field):
        return {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": field}}}]}

    unknown = wrong(container=source("spec.x"))
    assert "error converting fieldPath: field label not supported: spec.x" in unknown[0]
    assert 'Unsupported value: "metadata.labels"' in wrong(container=source("metadata.labels"))[0]
    assert wrong(container=source("metadata.labels['app']")) == []


def test_names_mount_paths_and_host_ports_are_unique():
    port = {"containerPort": 80, "hostPort": 8080}
    two = [{**CONTAINER, "ports": [port]}, {**CONTAINER, "ports": [port]}]
    assert complaints("v1", "Pod", pod(containers=two)) == [
        'spec.containers[1].name: Duplicate value: "c"',
        'spec.containers[1].ports[0].hostPort: Duplicate value: "TCP//8080"',
    ]
    mounts = [{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/v"}]
    found = wrong(container={"volumeMounts": mounts}, volumes=[{"name": "v"}])
    assert found == ['volumeMounts[1].mountPath: Invalid value: "/v": must be unique']


@pytest.mark.parametrize(
    ("volume", "complaint"),
    [
        ({"emptyDir": {}, "hostPath": {"path": "/"}}, "hostPath: Forbidden: may not specify more than 1 volume type"),
        ({"hostPath": {"path": "/a/../b"}}, "hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"),
        ({"secret": {}}, "secret.secretName: Required value"),
        ({"configMap": {"name": "a", "items": [{"key": "a", "path": "/b"}]}}, None),
        ({"persistentVolumeClaim": {"claimName": ""}}, "persistentVolumeClaim.claimName: Required value"),
        ({"downwardAPI": {"items": [{"path": "a"}]}}, None),
        ({"nfs": {"server": "s", "path": "x"}}, 'nfs.path: Invalid value: "x": must be an absolute path'),
        (
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 60}}]}},
            "projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 60: "
            "may not specify a duration less than 10 minutes",
        ),
    ],
)
def test_volumes_are_refused_for(volume, complaint):
    found = wrong(volumes=[{"name": "v", **volume}])
    assert found
    assert complaint is None or found[0] == f"spec.volumes[0].{complaint}"


def test_two_projected_files_cannot_have_one_path():
    source = {"secret": {"name": "s", "items": [{"key": "a", "path": "x"}]}}
    found = wrong(volumes=[{"name": "v", "projected": {"sources": [source, source]}}])
    assert found == ['spec.volumes[0].projected: Invalid value: "s": conflicting duplicate paths: x']


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"dnsPolicy": "None"}, "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"),
        ({"hostname": "A"}, None),
        ({"activeDeadlineSeconds": 0}, None),
        ({"hostAliases": [{"ip": "1.2.3"}]}, None),
        ({"os": {"name": "plan9"}}, None),
        ({"hostUsers": False, "hostNetwork": True}, "spec.hostNetwork: Forbidden: when `hostUsers` is false"),
        ({"tolerations": [{"operator": "Equal"}]}, None),
        ({"readinessGates": [{"conditionType": "a b"}]}, None),
        ({"schedulingGates": [{"name": "a"}], "nodeName": "n"}, None),
        ({"ephemeralContainers": [{**CONTAINER, "name": "e"}]}, None),
        ({"preemptionPolicy": "Maybe"}, None),
        ({"overhead": {"x": "1"}}, None),
        ({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}}, None),
        ({"topologySpreadConstraints": [{"topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"}]}, None),
        ({"initContainers": [{**CONTAINER, "name": "i", "livenessProbe": {"tcpSocket": {"port": 1}}}]}, None),
        ({"resourceClaims": [{"name": "c"}]}, None),
        ({"securityContext": {"sysctls": [{"name": "net.x"}]}, "hostNetwork": True}, None),
    ],
)  # fmt: skip
def test_specs_are_refused_for(spec, complaint):
    found = wrong(**spec)
    assert len(found) == 1
    assert complaint is None or found == [complaint]


def test_images_change_and_nothing_else_does():
    old = created("v1", "Pod", pod())
    assert update_complaints(old, pod(container={"image": "app:2"})) == []
    assert update_complaints(old, pod(nodeName="n"))[0].startswith("spec: Forbidden: pod updates may not change fields")
    more = pod(containers=[CONTAINER, {**CONTAINER, "name": "d"}])
    assert update_complaints(old, more) == ["spec.containers: Forbidden: pod updates may not add or remove containers"]


def test_a_forbidden_change_shows_the_lines_of_the_internal_struct():
    old = created("v1", "Pod", pod())
    shown = update_complaints(old, pod(container={"workingDir": "/x"}))[0]
    assert shown.splitlines()[1:] == [
        "@@ -7,7 +7,7 @@",
        '    "Image": "app:1",',
        '    "Command": null,',
        '    "Args": null,',
        '-   "WorkingDir": "",',
        '+   "WorkingDir": "/x",',
        '    "Ports": null,',
        '    "EnvFrom": null,',
        '    "Env": null,',
    ]


def test_a_deadline_only_comes_nearer():
    old = created("v1", "Pod", pod(activeDeadlineSeconds=60))
    assert update_complaints(old, pod(activeDeadlineSeconds=30)) == []
    assert len(update_complaints(old, pod(activeDeadlineSeconds=90))) == 1
    assert len(update_complaints(old, pod())) == 1


def test_tolerations_are_added_and_never_taken():
    old = created("v1", "Pod", pod(tolerations=[{"key": "a", "operator": "Exists"}]))
    more = [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}]
    assert update_complaints(old, pod(tolerations=more)) == []
    assert update_complaints(old, pod(tolerations=more[1:])) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    ]


def test_a_gated_pod_may_be_narrowed_and_ungated():
    gated = {"schedulingGates": [{"name": "a"}], "nodeSelector": {"disk": "ssd"}}
    old = created("v1", "Pod", pod(**gated))
    assert update_complaints(old, pod(nodeSelector={"disk": "ssd", "zone": "a"})) == []
    assert len(update_complaints(old, pod(nodeSelector={"disk": "hdd"}))) == 1
    assert len(update_complaints(old, pod(**{**gated, "schedulingGates": [{"name": "b"}]}))) == 1


def test_a_resize_keeps_the_class_and_all_but_cpu_and_memory():
    def sized(**requests):
        return pod(container={"resources": {"requests": requests}})

    old = created("v1", "Pod", sized(cpu="1", memory="1Gi"))
    assert update_complaints(old, sized(cpu="2", memory="1Gi"), "resize") == []
    gone = update_complaints(old, sized(cpu="2"), "resize")
    assert gone == ["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"]
    plain = created("v1", "Pod", pod())
    assert update_complaints(plain, sized(cpu="1"), "resize") == [
        'spec: Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing'
    ]


def test_ephemeral_containers_come_and_stay():
    old = created("v1", "Pod", pod())
    one = pod(ephemeralContainers=[{**CONTAINER, "name": "e", "targetContainerName": "c"}])
    assert update_complaints(old, one, "ephemeralcontainers") == []
    had = updated(old, one, "ephemeralcontainers")
    assert had["metadata"]["generation"] == 2
    assert "may not be removed" in update_complaints(had, pod(), "ephemeralcontainers")[0]


def test_the_status_keeps_class_and_families():
    old = created("v1", "Pod", pod())
    bad = pod() | {
        "status": {"phase": "Running", "qosClass": "Guaranteed", "podIPs": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}]}
    }
    found = update_complaints(old, bad, "status")
    assert found[0] == 'status.qosClass: Invalid value: "Guaranteed": field is immutable'
    assert "may specify no more than one IP for each IP family" in found[1]


def test_a_container_that_has_ended_for_good_stays_so():
    def ran(state):
        return pod(restartPolicy="Never") | {"status": {"containerStatuses": [{"name": "c", "state": state}]}}

    old = updated(created("v1", "Pod", pod(restartPolicy="Never")), ran({"terminated": {"exitCode": 1}}), "status")
    assert update_complaints(old, ran({"running": {}}), "status") == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    ]


@pytest.mark.parametrize("action", ["Restart", "RestartAllContainers"])
def test_a_container_whose_own_rules_say_so_begins_again(action):
    rule = {"action": action, "exitCodes": {"operator": "In", "values": [7]}}
    one = {**CONTAINER, "restartPolicy": "Never", "restartPolicyRules": [rule]}

    def ran(state):
        spec = pod(restartPolicy="Never", containers=[one])
        return spec | {"status": {"containerStatuses": [{"name": "c", "state": state}]}}

    old = updated(created("v1", "Pod", ran({})), ran({"terminated": {"exitCode": 7}}), "status")
    assert update_complaints(old, ran({"waiting": {}}), "status") == []

"""What a pod may ask of its node beyond running: resizes, restarts in place, names, groups, files of variables."""

import json
import tempfile
from pathlib import Path

import pytest

from cluster_builders import eventually, pids_of
from pod_cluster import FOREVER, container, mounted, pod

pytestmark = pytest.mark.host

STATIC = Path(tempfile.mkdtemp(prefix="static-"))
OPTIONS = ["--static-pods", STATIC]
ANEW = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]
AGAIN = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [7]}}]
NOTES = [{"name": "v", "mountPath": "/v"}]
ONCE = "sleep 0.3; test -e /v/again || { touch /v/again; exit 42; }"
HALF = {"requests": {"memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}


def runtime_class(name, handler):
    metadata = {"name": name}
    return {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": metadata, "handler": handler}


def of_file(key, **more):
    ref = {"volumeName": "v", "path": "settings.env", "key": key, **more}
    return {"name": key, "valueFrom": {"fileKeyRef": ref}}


MANIFESTS = [
    pod("whole", resources=HALF, containers=[container("main"), container("other")]),
    pod("greedy", main={"resources": {"requests": {"memory": "8Mi"}}}),
    pod("anew", containers=[container("main", volumeMounts=NOTES), container(
        "trigger", f"{ONCE}; {FOREVER}", restartPolicy="Never", restartPolicyRules=ANEW, volumeMounts=NOTES)],
        initContainers=[container("first", "echo run >> /v/runs; wc -l < /v/runs", volumeMounts=NOTES)],
        volumes=[{"name": "v", "emptyDir": {}}]),
    pod("again", "test -e /v/again && exit 0; touch /v/again; exit 7",
        **mounted({"emptyDir": {}}, main={"restartPolicy": "Never", "restartPolicyRules": AGAIN})),
    pod("full-name", "hostname; echo $HOSTNAME", hostname="inner", subdomain="outer", setHostnameAsFQDN=True),
    pod("other-name", "hostname; hostname -f", hostnameOverride="all.my.own"),
    pod("only-these-groups", "id -G", main={"securityContext": {"runAsUser": 1500}},
        securityContext={"supplementalGroupsPolicy": "Strict", "supplementalGroups": [4001]}),
    pod("from-file", "echo $COLOUR-$NONE-", volumes=[{"name": "v", "emptyDir": {}}], initContainers=[
        container("first", "echo \"COLOUR='deep red' # so\" > /v/settings.env", volumeMounts=NOTES)],
        main={"env": [of_file("COLOUR"), of_file("NONE", optional=True)]}),
    pod("own-users", f"cat /proc/self/uid_map; touch /v/f /x; stat -c '%u %g' /v/f /x; ls /sys/class/net; {FOREVER}",
        hostUsers=False, securityContext={"fsGroup": 77}, **mounted({"emptyDir": {}})),
    runtime_class("plain", "crun"), runtime_class("virtual", "kata"),
    pod("plainly", "echo here", runtimeClassName="plain"),
    pod("virtually", runtimeClassName="virtual"),
    pod("unsafe", securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "9000"}]}),
]  # fmt: skip

FILTER = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
}


def resize(live, name, **spec):
    live.kubectl("patch", "pod", name, "--subresource", "resize", "-p", json.dumps({"spec": spec}))


def test_a_pod_is_resized_as_a_whole(live):
    live.ready("whole")
    assert live.pod("whole")["status"]["allocatedResources"]["memory"] == "32Mi"
    resize(live, "whole", resources={"limits": {"memory": "96Mi", "cpu": "1"}})
    eventually(lambda: live.pod("whole")["status"]["resources"]["limits"]["memory"] == "96Mi", "the new limits", 10)
    assert live.event("whole", "ResizeCompleted").startswith("Pod resize completed: ")
    resize(live, "whole", resources={"requests": {"cpu": "100m"}, "limits": {"memory": "80Mi", "cpu": "250m"}})
    eventually(lambda: live.pod("whole")["status"]["resources"]["limits"]["cpu"] == "250m", "smaller limits", 10)
    assert live.status("whole")["restartCount"] == 0


def test_a_resize_that_never_fits_is_told_and_taken_back(live):
    live.ready("greedy")
    request = [{"name": "main", "resources": {"requests": {"memory": "900Gi"}}}]
    resize(live, "greedy", containers=request)
    eventually(lambda: live.condition("greedy", "PodResizePending")["status"] == "True", "the refusal", 10)
    told = live.condition("greedy", "PodResizePending")
    assert told["reason"] == "Infeasible" and "Node didn't have enough capacity: memory" in told["message"]
    assert live.status("greedy")["allocatedResources"] == {"memory": "8Mi"}
    request[0]["resources"]["requests"]["memory"] = "9Mi"
    resize(live, "greedy", containers=request)
    eventually(lambda: live.condition("greedy", "PodResizePending")["status"] == "absent", "the grant", 10)
    eventually(lambda: live.status("greedy")["allocatedResources"] == {"memory": "9Mi"}, "the new request", 10)


def test_the_end_of_one_container_lets_all_begin_anew(live):
    eventually(lambda: live.status("anew")["restartCount"] == 1, "the restart of the others", 20)
    live.ready("anew")
    assert live.log("anew", "first") == "2\n"
    assert live.condition("anew", "AllContainersRestarting")["status"] == "False"


def test_a_container_may_be_run_again_for_one_exit_code(live):
    live.told("again")
    assert live.status("again")["restartCount"] == 1
    eventually(lambda: live.pod("again")["status"]["phase"] == "Succeeded", "success", 10)


def test_a_pod_has_the_name_that_it_asks_for(live):
    assert live.told("full-name").split() == ["inner.outer.default.svc.cluster.local"] * 2
    assert live.told("other-name").split() == ["all.my.own"] * 2


def test_groups_of_the_image_do_not_count_if_the_pod_says_so(live):
    assert set(live.told("only-these-groups").split()) == {"1600", "4001"}


def test_variables_come_out_of_a_file_that_an_init_container_wrote(live):
    assert live.told("from-file") == "deep red--\n"


def test_a_filter_of_the_nodes_own_is_used(live):
    directory = live.data / "node/seccomp"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "no-mkdir.json").write_text(json.dumps(FILTER))
    profile = {"type": "Localhost", "localhostProfile": "no-mkdir.json"}
    live.apply(pod("filtered", "mkdir /x || echo refused", main={"securityContext": {"seccompProfile": profile}}))
    assert live.told("filtered").endswith("refused\n")


def test_a_class_of_runtimes_is_known_or_not(live):
    assert live.told("plainly") == "here\n"
    assert live.event("virtually", "FailedCreatePodSandBox").endswith('no runtime for "kata" is configured')
    eventually(lambda: live.pod("unsafe")["status"].get("reason") == "SysctlForbidden", "the refusal", 10)


def test_a_pod_may_have_users_that_are_nobody_on_the_host(live):
    live.ready("own-users")
    first, base, count, *rest = eventually(lambda: live.log("own-users"), "its words").split()
    assert (first, count, rest) == ("0", "65536", ["0", "77", "0", "0", "eth0", "lo"])
    shell = pids_of(live.status("own-users")["containerID"].partition("//")[2])[0]
    assert Path(f"/proc/{shell}").stat().st_uid == int(base) >= 1 << 20


def test_a_file_on_the_node_is_a_pod_whatever_happens_in_the_api(live):
    manifest = {**pod("standing", restartPolicy="Always"), "kind": "Pod"}
    manifest["spec"]["automountServiceAccountToken"] = False
    path = STATIC / "standing.json"
    path.write_text(json.dumps(manifest))
    name = "standing-here"
    eventually(lambda: live.pod(name) is not None, "the mirror pod", 10)
    live.ready(name)
    first = live.pod(name)
    live.kubectl("delete", "pod", name, "--timeout=20s")
    eventually(lambda: live.pod(name) is not None, "another mirror pod", 10)
    live.ready(name)
    assert live.pod(name)["metadata"]["uid"] != first["metadata"]["uid"]
    assert live.status(name)["containerID"] == first["status"]["containerStatuses"][0]["containerID"]
    assert live.shell(name, "echo there") == "there\n"
    assert "Started" in live.kubectl("describe", "pod", name)
    path.unlink()
    eventually(lambda: live.pod(name) is None, "the end of both", 15)

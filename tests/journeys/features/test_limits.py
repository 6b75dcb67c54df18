"""What a pod may do and use: security contexts, resources, namespaces of the host, and volumes that are no files."""

import json
from pathlib import Path

import pytest

from cluster_builders import eventually
from pod_cluster import FOREVER, container, mounted, pod
from pod_image import IMAGE

pytestmark = pytest.mark.host

OWNERS = "stat -c '%u %g %a' /v; id -u; id -g; id -G"
STATUS = "grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'"
UNSHARE = "unshare -U true && echo allowed || echo refused"
HOG = "python3 -c 'x = bytearray(200 << 20); print(len(x))'"
SMALL = {"limits": {"cpu": "250m", "memory": "32Mi"}, "requests": {"cpu": "100m", "memory": "16Mi"}}
CGROUP = (
    "cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us cpu/cpu.shares memory/memory.limit_in_bytes || cat cpu.max memory.max"
)
EMPTY: dict = {"emptyDir": {}}
SLEEPER = "trap exit TERM; sleep {} & wait"


def secured(**context):
    return {"main": {"securityContext": context}}


def same(value):
    return {"resources": {"requests": value, "limits": value}}


def resize(live, name, **limits):
    change = {"spec": {"containers": [{"name": "main", "resources": {"limits": limits}}]}}
    live.kubectl("patch", "pod", name, "--subresource", "resize", "-p", json.dumps(change))


MANIFESTS = [
    pod("plain", STATUS),
    pod("as-number", "id -u; id -g; touch /owned/x || echo no", **secured(runAsUser=1234, runAsGroup=5678)),
    pod("as-image-user", "id -G; echo $HOME", **secured(runAsUser=1500)),
    pod("groups", OWNERS, securityContext={"fsGroup": 4000, "supplementalGroups": [4001], "runAsUser": 1000},
        **mounted(EMPTY)),
    pod("not-root", **secured(runAsNonRoot=True)),
    pod("explicit-root", **secured(runAsNonRoot=True, runAsUser=0)),
    pod("adds", "grep CapEff /proc/self/status", **secured(capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]})),
    pod("drops", "chown 5 /tmp || echo refused", **secured(capabilities={"drop": ["CHOWN"]})),
    pod("read-only", "touch /x 2>/dev/null || echo refused; touch /v/y && echo allowed", **mounted(
        EMPTY, main={"securityContext": {"readOnlyRootFilesystem": True}})),
    pod("almighty", f"{STATUS}; test -e /dev/kmsg && echo devices; mount -t tmpfs x /v && echo mounts",
        **mounted(EMPTY, main={"securityContext": {"privileged": True}})),
    pod("no-new", STATUS, **secured(allowPrivilegeEscalation=False)),
    pod("filtered", f"{UNSHARE}; mount -t tmpfs x /mnt || echo refused"),
    pod("unfiltered", STATUS, **secured(seccompProfile={"type": "Unconfined"})),
    pod("masked", "wc -c < /proc/timer_list; ls /sys/firmware | wc -l; echo 1 > /proc/sys/vm/laptop_mode || echo no"),
    pod("bounded", f"{CGROUP}; {FOREVER}", main={"resources": SMALL}),
    pod("hungry", HOG, main={"resources": {"limits": {"memory": "24Mi"}}}),
    pod("best-effort"),
    pod("guaranteed", main=same({"cpu": "50m", "memory": "20Mi"})),
    pod("grows", main={"resources": {"limits": {"cpu": "200m"}, "requests": {"cpu": "100m"}}}),
    pod("swells", main={"resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "32Mi"}}}),
    pod("reborn", restartPolicy="Always", main={
        "resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "32Mi"}},
        "resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}),
    pod("armoured", **secured(appArmorProfile={"type": "Localhost", "localhostProfile": "none"})),
    pod("own-filter", **secured(seccompProfile={"type": "Localhost", "localhostProfile": "none.json"})),
    pod("on-disk", "echo a > /v/f; grep -c ' /v tmpfs' /proc/mounts; cat /v/f; stat -c %a /v", **mounted(EMPTY)),
    pod("in-memory", "grep ' /v ' /proc/mounts", **mounted({"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})),
    pod("too-much", f"dd if=/dev/zero of=/v/f bs=1M count=8; {FOREVER}", **mounted({"emptyDir": {"sizeLimit": "2Mi"}})),
    pod("shares", "cat /v/f", **mounted(EMPTY), initContainers=[
        container("writer", "echo shared > /v/f", volumeMounts=[{"name": "v", "mountPath": "/v"}])]),
    pod("host-file", "head -c 4 /v", **mounted({"hostPath": {"path": "/etc/debian_version", "type": "File"}})),
    pod("host-missing", **mounted({"hostPath": {"path": "/nowhere/at-all", "type": "Directory"}})),
    pod("host-wrong", **mounted({"hostPath": {"path": "/etc/hostname", "type": "Directory"}})),
    pod("sub-path", "ls /v", **mounted({"hostPath": {"path": "/etc"}}, subPath="apt", readOnly=True)),
    pod("own-part", "touch /v/f && stat -c '%a %u %g' /v /v/f", securityContext={"runAsUser": 1000, "fsGroup": 2000},
        **mounted(EMPTY, subPath="deep/part")),
    pod("escapes", **mounted(EMPTY, subPath="link/x"), initContainers=[
        container("liar", "ln -s /etc /v/link", volumeMounts=[{"name": "v", "mountPath": "/v"}])]),
    pod("host-network", "readlink /proc/self/ns/net; hostname", hostNetwork=True),
    pod("host-pids", "ps | wc -l", hostPID=True),
    pod("host-ipc", "readlink /proc/self/ns/ipc", hostIPC=True),
    pod("one-family", shareProcessNamespace=True, containers=[
        container("main", "sleep 1; ps -o args | grep -c '^sleep 77[7]'"),
        container("other", SLEEPER.format(777))]),
    pod("strangers", containers=[container("main", "sleep 1; ps -o args | grep -c '^sleep 77[8]'; true"),
                                 container("other", SLEEPER.format(778))]),
    pod("named", "hostname; hostname -f; cat /etc/hosts", hostname="inner", subdomain="outer", hostAliases=[
        {"ip": "192.0.2.77", "hostnames": ["old", "older"]}]),
    pod("own-resolver", "cat /etc/resolv.conf", dnsPolicy="None", dnsConfig={
        "nameservers": ["192.0.2.53"], "searches": ["a.example", "b.example"], "options": [
            {"name": "ndots", "value": "2"}, {"name": "edns0"}]}),
    pod("usual-resolver", "cat /etc/resolv.conf"),
    pod("tuned", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", securityContext={
        "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]}),
    pod("working-dir", "pwd", main={"workingDir": "/home/worker"}),
]  # fmt: skip


def test_a_container_is_filtered_but_may_gain_privileges_by_default(live):
    assert live.told("plain").split() == ["CapEff:00000000a80425fb", "NoNewPrivs:0", "Seccomp:2"]


def test_user_and_group_are_those_that_are_asked_for(live):
    assert live.told("as-number").split()[:2] == ["1234", "5678"]
    assert live.told("as-number").endswith("no\n")


def test_groups_of_the_images_user_are_kept(live):
    assert live.told("as-image-user").splitlines() == ["1600 1700", "/home/worker"]


def test_a_volume_belongs_to_the_pods_group(live):
    mode, user, group, groups = live.told("groups").splitlines()
    assert (mode, user, group) == ("0 4000 2777", "1000", "0")
    assert set(groups.split()) == {"0", "4000", "4001"}


def test_root_is_refused_where_it_must_not_be(live):
    assert live.waits("not-root", "CreateContainerConfigError").startswith(
        "container has runAsNonRoot and image will run as root"
    )
    assert live.waits("explicit-root", "CreateContainerConfigError").startswith(
        "container's runAsUser breaks non-root policy"
    )


def test_capabilities_are_added_and_dropped(live):
    assert live.told("adds").split() == ["CapEff:", f"{1 << 12:016x}"]
    assert live.told("drops").endswith("refused\n")


def test_a_read_only_root_lets_volumes_be_written(live):
    assert live.told("read-only").split() == ["refused", "allowed"]


def test_a_privileged_container_may_do_everything(live):
    told = live.told("almighty").split()
    assert "Seccomp:0" in told
    assert told[-2:] == ["devices", "mounts"]


def test_privileges_are_not_gained_where_that_is_forbidden(live):
    assert "NoNewPrivs:1" in live.told("no-new")


def test_dangerous_calls_are_refused_unless_unconfined(live):
    assert live.told("filtered").splitlines()[-1] == "refused"
    assert "Seccomp:0" in live.told("unfiltered")


def test_the_kernels_secrets_are_masked(live):
    assert live.told("masked").split()[:2] == ["0", "0"]
    assert live.told("masked").endswith("no\n")


def test_resources_reach_the_cgroup(live):
    def limits():
        words = live.log("bounded").split()
        return words if len(words) >= 2 else None

    words = eventually(limits, "the limits", 10)
    assert words in (["25000", "102", str(32 << 20)], ["25000", "100000", str(32 << 20)])


def test_a_container_that_takes_too_much_memory_is_killed_and_told(live):
    end = live.ended("hungry")
    assert (end["reason"], end["exitCode"]) == ("OOMKilled", 137)


def test_the_class_of_service_follows_the_resources(live):
    classes = {name: live.pod(name)["status"]["qosClass"] for name in ("best-effort", "bounded", "guaranteed")}
    assert classes == {"best-effort": "BestEffort", "bounded": "Burstable", "guaranteed": "Guaranteed"}


def test_cpu_can_be_changed_while_it_runs(live):
    live.ready("grows")
    container_id = live.status("grows")["containerID"]
    resize(live, "grows", cpu="400m")
    quota = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max"
    eventually(lambda: live.shell("grows", quota).strip() == "40000", "the new quota", 10)
    eventually(lambda: live.status("grows")["resources"]["limits"]["cpu"] == "400m", "the status", 10)
    assert live.status("grows")["containerID"] == container_id


def test_memory_can_be_raised_and_lowered_while_it_runs(live):
    live.ready("swells")
    limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
    for size in (80, 72):
        resize(live, "swells", memory=f"{size}Mi")
        eventually(lambda size=size: live.shell("swells", limit).strip() == str(size << 20), "the new limit", 10)
    assert live.status("swells")["restartCount"] == 0


def test_a_container_may_want_a_restart_for_other_resources(live):
    live.ready("reborn")
    resize(live, "reborn", memory="80Mi")
    eventually(lambda: live.status("reborn")["restartCount"] == 1, "the restart", 10)
    live.ready("reborn")


def test_what_this_node_cannot_promise_is_refused(live):
    eventually(lambda: live.pod("armoured")["status"]["phase"] == "Failed", "the refusal", 10)
    assert live.pod("armoured")["status"]["reason"] == "AppArmor"
    assert "seccomp profile" in live.waits("own-filter", "CreateContainerError")


def test_an_empty_directory_lies_on_disk_or_in_memory(live):
    assert live.told("on-disk").split() == ["0", "a", "777"]
    assert "size=1024k" in live.told("in-memory")


def test_containers_share_a_volume(live):
    assert live.told("shares") == "shared\n"


def test_paths_of_the_host_are_checked_for_their_type(live):
    assert live.told("host-file") == Path("/etc/debian_version").read_text()[:4]
    assert "hostPath type check failed: /nowhere/at-all is not a directory" in live.event("host-missing", "FailedMount")
    assert "hostPath type check failed: /etc/hostname is not a directory" in live.event("host-wrong", "FailedMount")


def test_a_sub_path_shows_a_part_and_never_leads_out(live):
    assert "sources.list" in live.told("sub-path")
    live.waits("escapes", "CreateContainerConfigError")
    assert live.told("own-part") == "2777 0 2000\n644 1000 2000\n", "made as the volume itself is"


def test_a_pod_may_use_the_hosts_network_processes_and_ipc(live):
    assert live.told("host-network").split() == [str(Path("/proc/self/ns/net").readlink()), "here"]
    assert int(live.told("host-pids")) > 20
    assert live.told("host-ipc").strip() == str(Path("/proc/self/ns/ipc").readlink())
    assert live.pod("host-network")["status"]["podIP"] == live.pod("host-network")["status"]["hostIP"]


def test_containers_see_each_others_processes_only_when_shared(live):
    assert live.told("one-family") == "1\n"
    assert live.told("strangers") == "0\n"


def test_names_are_in_the_hosts_file(live):
    name, full, *hosts = live.told("named").splitlines()
    address = live.pod("named")["status"]["podIP"]
    assert (name, full) == ("inner", "inner.outer.default.svc.cluster.local")
    assert f"{address}\tinner.outer.default.svc.cluster.local\tinner" in hosts
    assert "192.0.2.77\told\tolder" in hosts


def test_a_pod_may_bring_its_own_resolver(live):
    assert live.told("own-resolver").splitlines() == [
        "search a.example b.example", "nameserver 192.0.2.53", "options ndots:2 edns0",
    ]  # fmt: skip


def test_the_usual_resolver_searches_the_pods_namespace_first(live):
    lines = live.told("usual-resolver").splitlines()
    search = next(line for line in lines if line.startswith("search"))
    assert search.startswith("search default.svc.cluster.local svc.cluster.local cluster.local")
    assert {"nameserver 10.131.0.10", "options ndots:5"} <= set(lines)


def test_kernel_settings_and_the_working_directory_are_the_pods(live):
    assert live.told("tuned") == "80\n"
    assert live.told("working-dir") == "/home/worker\n"


def test_a_debug_container_joins_a_running_pod(live):
    live.ready("best-effort")
    said = live.kubectl("debug", "best-effort", "--image", IMAGE, "-c", "dbg", "--", "sh", "-c", "id -u")
    assert "best-effort" not in said
    assert live.told("best-effort", "dbg") == "0\n"


def test_a_debug_pod_sees_the_whole_node(live):
    live.kubectl("debug", "node/here", "--image", IMAGE, "--profile=general", "--", "cat", "/host/etc/debian_version")
    name = next(pod["metadata"]["name"] for pod in live.get("pods")["items"] if "debugger" in pod["metadata"]["name"])
    assert live.told(name, "debugger") == Path("/etc/debian_version").read_text()


def test_a_pod_that_fills_its_directory_is_evicted(live):
    eventually(lambda: live.pod("too-much")["status"].get("reason") == "Evicted", "the eviction", 30)
    message = live.pod("too-much")["status"]["message"]
    assert message == 'Usage of EmptyDir volume "v" exceeds the limit "2Mi". '

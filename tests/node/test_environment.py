"""Environment, /etc files, privileges and limits: all pure."""

import base64
import contextlib

import pytest

from node_builders import container, new_pod, settings
from tiphys.node import limits
from tiphys.node.environment import ConfigError, Sources, environment, expand, references, service_links
from tiphys.node.files import PodFiles, Resolver, hosts_text, last_lines, parse_resolver, resolver_for, resolver_text
from tiphys.node.objects import Ref
from tiphys.node.security import security_of, verify_non_root
from tiphys.runtime.fake import fake_image

MAP = Ref("configmaps", "shop", "m")
SECRET = Ref("secrets", "shop", "s")
HELD = {
    MAP: {"kind": "ConfigMap", "data": {"A": "1", "B": "2"}},
    SECRET: {"kind": "Secret", "data": {"P": base64.b64encode(b"pw").decode()}},
}


def pod(**fields):
    made = new_pod(**fields)
    made["metadata"] |= {"uid": "u", "labels": {"app": 'w"b'}}
    return made


def env(*entries, of=None, sources=None, **fields):
    one = container(env=list(entries), envFrom=of or [], **fields)
    return environment(pod(containers=[one]), one, sources or Sources(objects=HELD, pod_ip="10.42.0.2"))


def test_later_sources_win_and_prefixes_are_put_before():
    given = env({"name": "A", "value": "3"}, of=[{"configMapRef": {"name": "m"}},
                {"prefix": "X_", "secretRef": {"name": "s"}}])  # fmt: skip
    assert given == {"A": "3", "B": "2", "X_P": "pw"}


def test_keys_and_fields_are_looked_up():
    key = {"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "P"}}}
    ip = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    label = {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}}
    assert env(key, ip, label) == {"K": "pw", "IP": "10.42.0.2", "L": 'w"b'}


def test_a_limit_is_given_in_units_of_its_divisor_rounded_up():
    ref = {"resource": "limits.cpu", "divisor": "1"}
    given = env({"name": "N", "valueFrom": {"resourceFieldRef": ref}}, resources={"limits": {"cpu": "1500m"}})
    assert given == {"N": "2"}
    sources = Sources(allocatable={"cpu": "4"})
    assert env({"name": "N", "valueFrom": {"resourceFieldRef": ref}}, sources=sources) == {"N": "4"}


@pytest.mark.parametrize(
    "source, text",
    [
        ({"configMapKeyRef": {"name": "x", "key": "A"}}, 'configmap "x" not found'),
        ({"configMapKeyRef": {"name": "m", "key": "Z"}}, "couldn't find key Z in ConfigMap shop/m"),
    ],
)
def test_what_is_missing_is_named_unless_it_is_optional(source, text):
    with pytest.raises(ConfigError, match=text):
        env({"name": "K", "valueFrom": source})
    optional = {"configMapKeyRef": {**source["configMapKeyRef"], "optional": True}}
    assert env({"name": "K", "valueFrom": optional}) == {}


def test_unknown_variables_stay_as_they_are():
    assert expand("$(A) $$(A) $(B) $", {"A": "1"}) == "1 $(A) $(B) $"


def test_references_of_a_pod_are_found():
    one = container(envFrom=[{"configMapRef": {"name": "m"}}])
    assert references(pod(containers=[one])) == {MAP}


def test_services_of_the_namespace_and_the_api_are_linked():
    def service(name, namespace, port):
        spec = {"clusterIP": "10.96.0.9", "ports": [{"port": port, "name": "web"}]}
        return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}

    services = [service("my-db", "shop", 5432), service("kubernetes", "default", 443), service("x", "other", 1)]
    links = service_links(pod(), services)
    assert links["MY_DB_SERVICE_HOST"] == "10.96.0.9" and links["MY_DB_PORT_5432_TCP"] == "tcp://10.96.0.9:5432"
    assert links["KUBERNETES_SERVICE_PORT"] == "443" and "X_SERVICE_HOST" not in links
    assert "MY_DB_SERVICE_HOST" not in service_links(pod(enableServiceLinks=False), services)


def test_cluster_dns_comes_first_and_the_hosts_searches_after(tmp_path):
    host = parse_resolver("# x\nnameserver 9.9.9.9\nsearch lan.example\noptions timeout:1\n")
    inside = resolver_for(pod(dnsPolicy="ClusterFirst"), settings(tmp_path, cluster_dns=("10.96.0.10",)), host)
    assert resolver_text(inside) == (
        "search shop.svc.cluster.local svc.cluster.local cluster.local lan.example\nnameserver 10.96.0.10\n"
        "options ndots:5\n"
    )
    assert resolver_for(pod(dnsPolicy="Default"), settings(tmp_path), host) == host


def test_dns_config_is_put_on_top(tmp_path):
    config = {"nameservers": ["1.1.1.1"], "options": [{"name": "ndots", "value": "2"}]}
    found = resolver_for(pod(dnsPolicy="None", dnsConfig=config), settings(tmp_path), Resolver())
    assert found == Resolver(("1.1.1.1",), (), ("ndots:2",))


def test_the_hosts_file_names_the_pod_and_its_aliases(tmp_path):
    aliases = [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]
    text = hosts_text(pod(subdomain="db", hostAliases=aliases), "10.42.0.2", settings(tmp_path))
    assert "10.42.0.2\tweb.db.shop.svc.cluster.local\tweb\n" in text and text.endswith("1.2.3.4\ta\tb\n")


def test_a_termination_message_is_never_read_through_a_link(tmp_path):
    files = PodFiles(pod(), settings(tmp_path))
    path = files.make_termination_log("c", 0)
    path.write_bytes(b"x" * 5000)
    assert len(files.termination_message("c", 0)) == 4096
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert files.termination_message("c", 0) == ""
    assert last_lines([b"line\n"] * 100) == "line\n" * 80


def test_the_container_wins_over_the_pod_in_privileges(tmp_path):
    shared = {"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4]}
    own = {"runAsUser": 9, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    security = security_of(pod(securityContext=shared), container(securityContext=own), tmp_path)
    assert (security.user, security.group, security.supplemental_groups) == (9, 2, (4, 3))
    assert security.no_new_privileges and security.drop_capabilities == ("ALL",) and security.seccomp == "default"


def test_privileged_means_no_seccomp(tmp_path):
    assert security_of(pod(), container(securityContext={"privileged": True}), tmp_path).seccomp == "unconfined"


@pytest.mark.parametrize("user, text", [("", "will run as root"), ("www", "non-numeric user"), ("7", "")])
def test_an_image_that_would_run_as_root_is_refused(tmp_path, user, text):
    one = container(securityContext={"runAsNonRoot": True})
    image = fake_image("app:1", user=user)
    with pytest.raises(ConfigError, match=text) if text else contextlib.nullcontext():
        verify_non_root(pod(), one, security_of(pod(), one, tmp_path), image)


def sized(cpu, memory, limited=True):
    part = {"cpu": cpu, "memory": memory}
    return container(resources={"requests": part, **({"limits": part} if limited else {})})


def test_requests_and_limits_become_cgroup_values():
    found = limits.container_resources(sized("500m", "64Mi"))
    assert (found.cpu_shares, found.cpu_quota_us, found.memory_limit_bytes) == (512, 50_000, 64 << 20)


def test_a_pod_is_limited_only_if_every_container_is():
    both = pod(containers=[sized("1", "1Gi"), sized("1", "1Gi")])
    assert limits.pod_resources(both).memory_limit_bytes == 2 << 30
    assert limits.pod_resources(pod(containers=[sized("1", "1Gi"), container("x")])).memory_limit_bytes == 0


def test_who_is_killed_first_follows_the_class():
    guaranteed, burstable = pod(containers=[sized("1", "1Gi")]), pod(containers=[sized("1", "1Gi", limited=False)])
    assert limits.cgroup_of(guaranteed) == "podu" and limits.cgroup_of(burstable) == "burstable/podu"
    scores = [limits.oom_score_adj(p, p["spec"]["containers"][0], 8 << 30) for p in (guaranteed, burstable, pod())]
    assert scores == [-997, 875, 1000]


def memory(amount, name="c", **fields):
    return container(name, resources={"requests": {"memory": amount}}, **fields)


def score(of, *, whole=None, inits=(), mains=None):
    made = pod(containers=mains or [of], initContainers=list(inits), **({"resources": whole} if whole else {}))
    return limits.oom_score_adj(made, of, 8 << 30)


def test_what_a_pod_asks_for_as_a_whole_is_shared_by_its_containers():
    assert score(memory("1Gi")) == 875
    assert score(memory("1Gi"), whole={"requests": {"memory": "4Gi"}}) == 500
    both = [memory("1Gi"), memory("1Gi", "other")]
    assert score(both[0], whole={"requests": {"memory": "4Gi"}}, mains=both) == 750


def test_a_sidecar_is_not_killed_before_those_that_it_serves():
    sidecar = memory("1Mi", "s", restartPolicy="Always")
    assert score(sidecar, inits=[sidecar], mains=[memory("4Gi")]) == 500


def test_a_pods_overhead_is_in_its_limits():
    made = limits.pod_resources(pod(containers=[sized("1", "64Mi")], overhead={"cpu": "500m", "memory": "16Mi"}))
    assert (made.cpu_quota_us, made.memory_limit_bytes) == (150_000, 80 << 20)
    assert made.cpu_shares == 1536


def test_strict_groups_and_profiles_of_the_host_reach_the_runtime(tmp_path):
    context = {"supplementalGroupsPolicy": "Strict", "appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}}
    told = security_of(pod(securityContext=context), container(), tmp_path)
    assert (told.strict_groups, told.apparmor) == (True, "p")
    assert security_of(pod(securityContext=context), container(securityContext={"privileged": True}), tmp_path)

"""What a pod is told: command, environment, and files out of ConfigMaps, Secrets and the pod itself."""

import base64
import json

import pytest

from cluster_builders import eventually
from pod_cluster import container, mounted, of_kind, pod

pytestmark = pytest.mark.host

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
SHOW = "cd /v; for f in $(ls); do echo $f=$(od -An -c $f | tr -d ' '); done"
WATCHED = {"configMap": {"name": "watched"}}


def field(path, name="F"):
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def key(kind, name, key, variable="K", **more):
    return {"name": variable, "valueFrom": {f"{kind}KeyRef": {"name": name, "key": key, **more}}}


MANIFESTS = [
    of_kind("ConfigMap", "settings", data={"colour": "red", "size": "4", "a.b": "x"}, binaryData={"raw": "AAH/"}),
    of_kind("ConfigMap", "watched", data={"word": "before"}),
    of_kind("ConfigMap", "frozen", data={"word": "always"}, immutable=True),
    of_kind("Secret", "hidden", stringData={"password": "s3cret", "user": "ann"}),
    pod("expands", main={
        "command": ["sh", "-c"], "args": ["echo '$(A) $(B) $$(A) $(NONE)'"],
        "env": [{"name": "A", "value": "a"}, {"name": "B", "value": "$(A)b"}],
    }),
    pod("image-says", "echo $FROM_IMAGE $PATH"),
    pod("all-of-them", main={"command": ["env"], "envFrom": [
        {"configMapRef": {"name": "settings"}}, {"prefix": "P_", "secretRef": {"name": "hidden"}},
        {"configMapRef": {"name": "absent", "optional": True}},
    ]}),
    pod("one-of-them", "echo $K $L-", main={"env": [
        key("configMap", "settings", "colour"), key("secret", "hidden", "absent", "L", optional=True),
    ]}),
    pod("lacks-a-map", main={"env": [key("configMap", "absent", "colour")]}),
    pod("lacks-a-key", main={"env": [key("secret", "hidden", "absent")]}),
    pod("knows-itself", "env | grep ^F | sort", labels={"app": "x"}, main={
        "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}},
        "env": [field("metadata.name", "F1"), field("metadata.namespace", "F2"), field("metadata.labels['app']", "F3"),
                field("status.podIP", "F4"), field("spec.nodeName", "F5"), field("spec.serviceAccountName", "F6"),
                {"name": "F7", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
                {"name": "F8", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}},
                {"name": "F9", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}],
    }),
    pod("reads-itself", labels={"app": "x", "tier": "one"}, annotations={"note": 'a "b"'}, **mounted({"downwardAPI": {
        "items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                  {"path": "in/notes", "fieldRef": {"fieldPath": "metadata.annotations"}}]}})),
    pod("whole-map", SHOW, **mounted({"configMap": {"name": "settings"}})),
    pod("chosen-keys", "cd /v; cat deep/colour; stat -L -c ' %a' deep/colour; ls", **mounted({"configMap": {
        "name": "settings", "items": [{"key": "colour", "path": "deep/colour", "mode": 0o400}]}})),
    pod("secret-files", "cd /v; cat password; stat -L -c ' %a' password; grep ' /v ' /proc/mounts", **mounted({
        "secret": {"secretName": "hidden", "defaultMode": 0o440}})),
    pod("optional-file", "ls /v; echo empty", **mounted({"configMap": {"name": "absent", "optional": True}})),
    pod("lacks-a-volume", **mounted({"configMap": {"name": "absent"}})),
    pod("read-only-map", "echo x > /v/word || echo refused", **mounted({"configMap": {"name": "frozen"}})),
    pod("all-in-one", SHOW, **mounted({"projected": {"sources": [
        {"configMap": {"name": "settings", "items": [{"key": "size", "path": "size"}]}},
        {"secret": {"name": "hidden", "items": [{"key": "user", "path": "user"}]}},
        {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]}})),
    pod("own-token", "cut -d. -f2 /v/token", **mounted({"projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}}]}})),
    pod("watches", **mounted(WATCHED)),
    pod("watches-a-path", **mounted(WATCHED, "/v/word", subPath="word")),
    pod("part-of-one", "cat /v/sub-7/made", **mounted({"emptyDir": {}}), initContainers=[
        container("first", "echo inner > /s/made", volumeMounts=[
            {"name": "v", "mountPath": "/s", "subPathExpr": "sub-$(N)"}], env=[{"name": "N", "value": "7"}])]),
    pod("speaks-to-the-api", f"""curl -s --cacert {TOKEN}/ca.crt -H "Authorization: Bearer $(cat {TOKEN}/token)" \
        https://kubernetes.default/api/v1/namespaces/$(cat {TOKEN}/namespace)/pods/x; echo; \
        curl -s --cacert {TOKEN}/ca.crt -o /dev/null -w '%{{http_code}}' https://kubernetes.default.svc.cluster.local/version"""),
    pod("no-token", f"ls {TOKEN} || echo none", automountServiceAccountToken=False),
    of_kind("Service", "the-other", spec={"ports": [{"name": "web", "port": 80}], "clusterIP": "10.131.0.99"}),
    pod("sees-services", "echo $THE_OTHER_SERVICE_HOST $THE_OTHER_SERVICE_PORT_WEB $THE_OTHER_PORT"),
    pod("sees-no-services", "env | grep -c THE_OTHER; echo $KUBERNETES_SERVICE_PORT", enableServiceLinks=False),
    pod("strange-volume", **mounted({"nfs": {"server": "192.0.2.9", "path": "/x"}})),
]  # fmt: skip


def test_arguments_and_variables_are_expanded_once(live):
    assert live.told("expands") == "a ab $(A) $(NONE)\n"


def test_the_images_own_variables_are_there(live):
    assert live.told("image-says") == "yes /usr/bin:/bin\n"


def test_a_whole_map_becomes_variables_with_a_prefix(live):
    lines = live.told("all-of-them").splitlines()
    assert {"colour=red", "size=4", "P_password=s3cret", "P_user=ann", "a.b=x"} <= set(lines)


def test_a_key_becomes_a_variable_and_an_optional_one_may_lack(live):
    assert live.told("one-of-them") == "red -\n"


def test_a_container_waits_for_what_its_variables_need(live):
    assert live.waits("lacks-a-map", "CreateContainerConfigError") == 'configmap "absent" not found'
    text = "couldn't find key absent in Secret default/hidden"
    assert live.waits("lacks-a-key", "CreateContainerConfigError") == text


def test_a_container_that_waited_starts_when_it_gets_what_it_needs(live):
    live.waits("lacks-a-map", "CreateContainerConfigError")
    live.apply(of_kind("ConfigMap", "absent-not", data={}))
    live.kubectl("create", "configmap", "absent", "--from-literal=colour=blue")
    live.ready("lacks-a-map", "lacks-a-volume")


def test_a_pod_knows_itself_by_variables(live):
    told = dict(line.split("=") for line in live.told("knows-itself").split())
    assert told["F4"] == live.pod("knows-itself")["status"]["podIP"]
    assert [told[f"F{n}"] for n in (1, 2, 3, 5, 6, 7, 8)] == [
        "knows-itself",
        "default",
        "x",
        "here",
        "default",
        "64",
        "100",
    ]
    assert int(told["F9"]) >= 1, "without a limit, what the node has"


def test_a_pod_reads_its_labels_and_notes_from_files_that_follow(live):
    assert live.shell("reads-itself", "cat /v/labels") == 'app="x"\ntier="one"'
    assert 'note="a \\"b\\""' in live.shell("reads-itself", "cat /v/in/notes")
    live.kubectl("label", "pod", "reads-itself", "tier=two", "--overwrite")
    eventually(lambda: 'tier="two"' in live.shell("reads-itself", "cat /v/labels"), "the new label", 10)


def test_a_config_map_is_a_directory_of_files(live):
    assert live.told("whole-map") == "a.b=x\ncolour=red\nraw=\\0001377\nsize=4\n"


def test_keys_are_chosen_with_path_and_mode(live):
    assert live.told("chosen-keys") == "red 400\ndeep\n"


def test_a_secret_has_its_mode_and_never_lies_on_a_disk(live):
    content, mount = live.told("secret-files").splitlines()
    assert content == "s3cret 440"
    assert mount.startswith("tmpfs /v tmpfs")


def test_an_optional_map_may_lack_and_a_needed_one_is_told(live):
    assert live.told("optional-file") == "empty\n"
    assert live.event("lacks-a-volume", "FailedMount") == (
        'MountVolume.SetUp failed for volume "v" : configmap "absent" not found'
    )


def test_files_of_maps_are_read_only(live):
    assert live.told("read-only-map").endswith("Read-only file system\nrefused\n")


def test_an_immutable_map_stays(live):
    done = live.try_kubectl("patch", "configmap", "frozen", "-p", '{"data":{"word":"never"}}')
    assert "field is immutable when `immutable` is set" in done.stderr


def test_several_sources_share_one_directory(live):
    assert live.told("all-in-one") == "name=all-in-one\nsize=4\nuser=ann\n"


def test_a_token_is_made_for_the_audience_that_is_asked_for(live):
    claims = json.loads(base64.urlsafe_b64decode(live.told("own-token").strip() + "==="))
    assert claims["aud"] == ["vault"]
    assert claims["exp"] - claims["iat"] == 600


def test_files_follow_their_map_but_a_sub_path_does_not(live):
    live.ready("watches", "watches-a-path")
    live.kubectl("patch", "configmap", "watched", "-p", '{"data":{"word":"after"}}')
    eventually(lambda: live.shell("watches", "cat /v/word") == "after", "the new word", 10)
    assert live.shell("watches-a-path", "cat /v/word") == "before"


def test_a_sub_path_may_name_a_variable(live):
    assert live.told("part-of-one") == "inner\n"


def test_a_pod_speaks_to_the_api_with_its_token(live):
    answer, code = live.told("speaks-to-the-api").rsplit("\n", 1)
    assert json.loads(answer)["message"].startswith(
        'pods "x" is forbidden: User "system:serviceaccount:default:default" cannot get resource "pods"'
    )
    assert code in ("200", "401")


def test_a_pod_that_wants_no_token_has_none(live):
    assert live.told("no-token").endswith("none\n")


def test_services_are_told_as_variables_unless_not_wanted(live):
    assert live.told("sees-services") == "10.131.0.99 80 tcp://10.131.0.99:80\n"
    assert live.told("sees-no-services") == "0\n443\n", "the API's own is always told"


def test_a_volume_of_a_kind_that_is_unknown_here_is_refused(live):
    assert "nfs" in live.event("strange-volume", "FailedMount")

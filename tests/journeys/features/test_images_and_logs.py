"""Where images come from and what is told when they do not come; and what `kubectl logs` shows."""

import subprocess
import time

import pytest

from cluster_builders import eventually, free_port
from pod_cluster import FOREVER, container, of_kind, pod
from registry_builders import Registry, pull_secret

pytestmark = pytest.mark.host

OPEN, LOCKED, DEAD = free_port(), free_port(), free_port()
OPTIONS = [
    "--insecure-registry", f"127.0.0.1:{OPEN}", "--insecure-registry", f"127.0.0.1:{LOCKED}",
    "--insecure-registry", f"127.0.0.1:{DEAD}", "--registry-mirror", f"registry.example=127.0.0.1:{OPEN}",
]  # fmt: skip
LINES = "for i in $(seq 20000); do echo $i-0123456789012345678901234567890123456789; done"


def pulls(name, image, policy="IfNotPresent", **spec):
    """A pod that runs what its image says."""
    return pod(name, main={"image": image, "imagePullPolicy": policy, "command": None}, **spec)


def from_locked(name, *secrets, **spec):
    return pulls(
        name, f"127.0.0.1:{LOCKED}/secret:1", "Always", imagePullSecrets=[{"name": one} for one in secrets], **spec
    )


MANIFESTS = [
    pull_secret("good", f"127.0.0.1:{LOCKED}", "s3cret"),
    pull_secret("bad", f"127.0.0.1:{LOCKED}", "wrong"),
    of_kind("ServiceAccount", "puller", imagePullSecrets=[{"name": "good"}]),
    pulls("from-open", f"127.0.0.1:{OPEN}/hello:1"),
    pulls("from-mirror", "registry.example/hello:1"),
    from_locked("with-secret", "good"),
    from_locked("with-two", "bad", "good"),
    from_locked("by-account", serviceAccountName="puller"),
    from_locked("with-wrong", "bad"),
    from_locked("with-none"),
    pulls("no-tag", f"127.0.0.1:{OPEN}/hello:absent"),
    pulls("no-registry", f"127.0.0.1:{DEAD}/hello:1"),
    pulls("never", f"127.0.0.1:{OPEN}/other:1", "Never"),
    pulls("bad-name", "Not/A/Name::"),
    pod("present"),
    pod("twice", "echo run; test -e /v/again || { touch /v/again; exit 1; }; " + FOREVER, restartPolicy="OnFailure",
        main={"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, volumes=[{"name": "v", "emptyDir": {}}]),
    pod("speaks", "echo one; echo two; echo three; sleep 1.5; echo four"),
    pod("both-ways", main={"command": ["sh", "-c", "echo out; echo err >&2; sleep 0.3; printf unfinished"]}),
    pod("two-voices", containers=[container("main", "echo first"), container("other", "echo second")]),
    pod("writes-much", f"for j in $(seq 14); do {LINES}; done; {FOREVER}"),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def registries(host_lock, tmp_path_factory):
    """Open and locked, with their images, before the pods ask for them."""
    root = tmp_path_factory.mktemp("r")
    both = [Registry(root, OPEN), Registry(root, LOCKED, locked=True)]
    try:
        both[0].push("hello:1", "hello")
        both[1].push("secret:1", "secret")
        yield both
    finally:
        for registry in both:
            registry.close()


def test_an_image_comes_from_a_registry_that_is_declared_plain(live):
    assert live.told("from-open") == "hello\n"
    live.event("from-open", "Pulling", f'Pulling image "127.0.0.1:{OPEN}/hello:1"')
    assert live.event("from-open", "Pulled").startswith(f'Successfully pulled image "127.0.0.1:{OPEN}/hello:1" in ')
    assert live.status("from-open")["imageID"].startswith(f"127.0.0.1:{OPEN}/hello@sha256:")


def test_a_mirror_is_asked_first(live):
    assert live.told("from-mirror") == "hello\n"
    assert live.status("from-mirror")["image"] == "registry.example/hello:1"


def test_credentials_come_from_secrets_of_the_pod_or_its_account(live):
    assert live.told("with-secret") == "secret\n"
    assert live.told("with-two") == "secret\n"
    assert live.told("by-account") == "secret\n"


def test_wrong_credentials_are_told_and_tried_again_later(live):
    for name in ("with-wrong", "with-none"):
        assert "authentication required" in live.event(name, "Failed", "Failed to pull image")
        message = live.waits(name, "ImagePullBackOff")
        assert message.startswith(f'Back-off pulling image "127.0.0.1:{LOCKED}/secret:1": ErrImagePull: ')
    assert "ImagePullBackOff" in live.kubectl("get", "pod", "with-none")


def test_the_true_cause_of_a_failed_pull_is_told(live):
    assert "manifest unknown" in live.event("no-tag", "Failed", "Failed to pull image")
    assert "connection refused" in live.event("no-registry", "Failed", "Failed to pull image")
    assert live.event("no-tag", "Failed", "Error: ") == "Error: ErrImagePull"


def test_never_means_never_and_a_bad_name_is_refused(live):
    message = live.waits("never", "ErrImageNeverPull")
    assert message == f'Container image "127.0.0.1:{OPEN}/other:1" is not present with pull policy of Never'
    assert "invalid reference format" in live.waits("bad-name", "InvalidImageName")


def test_an_image_that_is_present_is_not_pulled(live):
    assert "already present on machine" in live.event("present", "Pulled")


def test_a_moved_tag_is_seen_only_by_who_always_pulls(live, registries):
    live.told("from-open")
    registries[0].push("hello:1", "goodbye")
    image = f"127.0.0.1:{OPEN}/hello:1"
    live.apply(pulls("lazy", image), pulls("careful", image, "Always"))
    assert (live.told("careful"), live.told("lazy")) == ("goodbye\n", "hello\n")


def test_an_image_can_be_named_by_its_digest(live):
    live.told("from-open")
    name = live.status("from-open")["imageID"]
    live.apply(pulls("by-digest", name))
    assert live.told("by-digest") == "hello\n"


def test_the_node_shows_the_images_that_it_has(live):
    live.told("from-open")
    names = [name for image in live.get("node", "here")["status"]["images"] for name in image["names"]]
    assert "localhost/pod-tool:1" in names


def test_the_log_of_the_run_before_is_kept(live):
    eventually(lambda: live.status("twice").get("restartCount") == 1, "the second run", 20)
    live.ready("twice")
    assert live.kubectl("logs", "twice", "--previous") == "run\n"
    assert "previous terminated container" in live.try_kubectl("logs", "speaks", "--previous").stderr


def test_a_log_is_shown_from_the_end_or_from_a_time(live):
    live.told("speaks")
    assert live.kubectl("logs", "speaks", "--tail=2") == "three\nfour\n"
    stamped = live.kubectl("logs", "speaks", "--timestamps").splitlines()
    moment, word = stamped[-1].split(" ")
    assert word == "four"
    assert live.kubectl("logs", "speaks", f"--since-time={moment}") == "four\n"
    assert live.kubectl("logs", "speaks", "--limit-bytes=5") == "one\nt"


def test_a_log_is_shown_of_the_last_seconds(live):
    live.told("speaks")
    assert live.kubectl("logs", "speaks", "--since=1h") == "one\ntwo\nthree\nfour\n"
    time.sleep(1.1)
    assert live.kubectl("logs", "speaks", "--since=1s") == ""


def test_both_streams_and_an_unfinished_line_are_in_the_log(live):
    assert set(live.told("both-ways").split()) == {"out", "err", "unfinished"}


def test_logs_of_all_containers_are_shown_with_their_names(live):
    live.told("two-voices")
    live.told("two-voices", "other")
    shown = live.kubectl("logs", "two-voices", "--all-containers", "--prefix")
    assert set(shown.splitlines()) == {"[pod/two-voices/main] first", "[pod/two-voices/other] second"}


def test_a_large_log_is_rotated(live):
    live.ready("writes-much")
    uid = live.pod("writes-much")["metadata"]["uid"]
    folder = live.data / "logs" / "pods" / f"default_writes-much_{uid}" / "main"
    eventually(lambda: len(list(folder.iterdir())) > 1, "a second file", 30)
    # What came while it was rotated is looked at again some seconds later.
    eventually(lambda: (folder / "0.log").stat().st_size < 10 << 20, "a small live log", 30)


def test_an_image_can_be_loaded_from_an_archive(live, tmp_path):
    words = ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://127.0.0.1:{OPEN}/hello:1"]
    subprocess.run([*words, f"docker-archive:{tmp_path}/hello.tar:loaded:1"], check=True)
    assert "loaded" in live.tiphys("image", "--data-dir", live.data, "load", f"{tmp_path}/hello.tar")
    live.apply(pulls("from-archive", "loaded:1", "Never"))
    assert live.told("from-archive") in ("hello\n", "goodbye\n")

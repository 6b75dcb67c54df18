"""The examples after the first, as their READMEs tell them, on a real cluster with real containers."""

import urllib.request

import pytest

from cluster_builders import EXAMPLE, TOOLS, eventually

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]


def apply(cluster, example, kind, name):
    cluster.kubectl("apply", "-f", EXAMPLE.parent / example / "manifests")
    cluster.kubectl("rollout", "status", f"{kind}/{name}", "--timeout=60s")


def redis(cluster, pod, *words):
    return cluster.try_kubectl("exec", pod, "--", "redis-cli", *words).stdout.strip()


def claims(cluster):
    return sorted(one["metadata"]["name"] for one in cluster.get("pvc")["items"])


def annotations(cluster):
    return cluster.get("sts", "store")["metadata"]["annotations"]


def test_a_store_keeps_its_data(cluster):
    apply(cluster, "02-stateful", "statefulset", "store")
    cluster.kubectl("wait", "--for=condition=Complete", "job/fill", "--timeout=60s")
    eventually(lambda: redis(cluster, "store-1", "get", "greeting") == "ahoy", "the copy has the entry")
    cluster.kubectl("delete", "pod", "store-0")
    eventually(lambda: redis(cluster, "store-0", "get", "greeting") == "ahoy", "the entry outlives the pod")
    assert claims(cluster) == ["data-store-0", "data-store-1"]


def test_a_store_that_is_scaled_or_broken_comes_to_terms(cluster):
    good = cluster.get("sts", "store")["status"]["currentRevision"]
    eventually(lambda: annotations(cluster).get("tiphys.io/good-revision") == good, "the first revision is good")
    cluster.kubectl("set", "image", "statefulset/store", "redis=localhost/none:1")
    eventually(lambda: "tiphys.io/failed-revision" in annotations(cluster), "the rollout has failed")
    cluster.kubectl("rollout", "status", "statefulset/store", "--timeout=60s")
    assert {pod["spec"]["containers"][0]["image"] for pod in cluster.pods("app=store")} == {
        "localhost/guestbook-redis:1"
    }
    cluster.kubectl("scale", "statefulset/store", "--replicas=1")
    eventually(lambda: claims(cluster) == ["data-store-0"], "the claim went with its pod")
    cluster.kubectl("delete", "-f", EXAMPLE.parent / "02-stateful" / "manifests")
    assert claims(cluster) == ["data-store-0"]


def test_a_daemon_watches_its_node(cluster):
    apply(cluster, "03-daemon", "daemonset", "watch")
    told = eventually(lambda: cluster.kubectl("logs", "-l", "app=watch"), "the first line")
    assert told.startswith("here ") and "/" in told
    (before,) = cluster.pods("app=watch")
    cluster.kubectl("set", "env", "daemonset/watch", "SECONDS_BETWEEN=1")
    cluster.kubectl("rollout", "status", "daemonset/watch", "--timeout=60s")
    eventually(lambda: cluster.pods("app=watch")[0]["metadata"]["name"] != before["metadata"]["name"], "a new pod")
    cluster.kubectl("delete", "-f", EXAMPLE.parent / "03-daemon" / "manifests")


def test_there_are_as_many_pages_as_visitors_need(cluster):
    apply(cluster, "06-autoscaling", "deployment", "page")
    cluster.kubectl("scale", "deployment/visitors", "--replicas=1")
    eventually(lambda: len(cluster.pods("app=page")) >= 3, "more pages for the visitors", 30)
    reasons = cluster.kubectl("get", "events", "--field-selector", "reason=SuccessfulRescale")
    assert "external metric requests_per_second(nil) above target" in reasons
    cluster.kubectl("scale", "deployment/visitors", "--replicas=0")
    eventually(lambda: len(cluster.pods("app=page")) == 1, "one page for nobody", 60)
    cluster.kubectl("delete", "-f", EXAMPLE.parent / "06-autoscaling" / "manifests")


def test_claims_keep_notes_and_their_sizes(cluster):
    apply(cluster, "05-storage", "deployment", "notes")
    cluster.kubectl("wait", "--for=condition=Complete", "job/fill", "job/disk", "--timeout=60s")
    assert "No space left on device" in cluster.kubectl("logs", "job/fill")
    assert cluster.kubectl("logs", "job/disk") == "written straight to the disk\n"
    cluster.kubectl("rollout", "restart", "deployment/notes")
    cluster.kubectl("rollout", "status", "deployment/notes", "--timeout=60s")
    eventually(lambda: cluster.kubectl("logs", "deployment/notes").count("was here") == 2, "the notes of both pods")
    cluster.kubectl("delete", "-f", EXAMPLE.parent / "05-storage" / "manifests")
    eventually(lambda: "default/notes" not in cluster.kubectl("get", "pv"), "the data went with their claim")


def test_words_are_counted_by_hand_and_by_the_clock(cluster):
    cluster.kubectl("apply", "-f", EXAMPLE.parent / "04-batch" / "manifests")
    cluster.kubectl("wait", "--for=condition=complete", "job/count", "--timeout=60s")
    said = cluster.kubectl("logs", "-l", "job-name=count").split("\n")
    assert sorted(said) == ["", "count-0: 8 words", "count-1: 13 words", "count-2: 8 words"]
    cluster.kubectl("create", "job", "report-now", "--from=cronjob/report")
    cluster.kubectl("wait", "--for=condition=complete", "job/report-now", "--timeout=60s")
    assert cluster.kubectl("logs", "job/report-now") == "29 words in all\n"
    cluster.kubectl("patch", "configmap", "texts", "--type=json", "-p", '[{"op": "remove", "path": "/data/2.txt"}]')
    cluster.kubectl("replace", "--force", "-f", EXAMPLE.parent / "04-batch" / "manifests" / "2-count.yaml")
    cluster.kubectl("wait", "--for=condition=failed", "job/count", "--timeout=60s")
    status = cluster.get("job", "count")["status"]
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,1", "2")
    cluster.kubectl("delete", "-f", EXAMPLE.parent / "04-batch" / "manifests")


def page(cluster, host, path="/"):
    request = urllib.request.Request(f"http://127.0.0.1:{cluster.http_port}{path}", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode().strip()
    except OSError as error:
        return repr(error)


def test_a_shop_is_reached_from_outside_and_its_prices_by_the_shop_alone(cluster):
    apply(cluster, "07-ingress", "deployment", "shop")
    cluster.settle("prices")
    pages = {("shop.test", "/"): "shop", ("shop.test", "/prices/"): "prices", ("a.prices.test", "/"): "prices"}
    for (host, path), text in pages.items():
        eventually(lambda: page(cluster, host, path) == f"the {text}", f"the {text} at {host}{path}")  # noqa: B023
    assert cluster.kubectl("exec", "deploy/shop", "--", "curl", "-sS", "-m", "5", "http://prices/") == "the prices\n"
    nosy = ("run", "nosy", f"--image={TOOLS}", "--restart=Never", "--rm", "-i", "--quiet", "--command", "--")
    assert cluster.try_kubectl(*nosy, "curl", "-s", "-m", "1", "http://prices/").returncode == 28
    assert "SecretNotFound" in cluster.kubectl("describe", "ingress", "front")
    cluster.kubectl("delete", "-f", EXAMPLE.parent / "07-ingress" / "manifests")

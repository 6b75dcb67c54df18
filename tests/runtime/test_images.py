"""Images come from archives and registries, and go."""

import os
import subprocess
import time
import urllib.request

import pytest

from runtime.conftest import docker_archive
from tiphys.runtime import images, kernel
from tiphys.runtime.crun import CrunRuntime
from tiphys.runtime.door import Credentials, PullFailed, RuntimeFailure
from tiphys.runtime.settings import RuntimeSettings

REGISTRY = "127.0.0.1:25099"


@pytest.fixture
async def runtime(host_lock, tmp_path):
    """A store of its own, so that images can be removed."""
    settings = RuntimeSettings(
        data_dir=tmp_path / "data", run_dir=tmp_path / "run", storage_root=tmp_path / "root",
        storage_runroot=tmp_path / "runroot", cgroup_parent="tiphys-test", insecure_registries=(REGISTRY,),
        mirrors={"registry.example": (REGISTRY,)},
    )  # fmt: skip
    runtime = CrunRuntime(settings)
    await runtime.open()
    yield runtime
    await runtime.purge()
    await runtime.close()
    kernel.unmount(tmp_path / "root/overlay")


@pytest.fixture
def registry(tmp_path):
    """docker-registry on loopback, with the image in it."""
    config = tmp_path / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}\nhttp: {{addr: {REGISTRY}}}\n"
    )
    with subprocess.Popen(["docker-registry", "serve", str(config)], stderr=subprocess.DEVNULL) as process:
        try:
            _await(f"http://{REGISTRY}/v2/")
            archive = docker_archive(tmp_path / "pushed.tar", "localhost/tiny:1")
            target = f"docker://{REGISTRY}/team/tiny:1"
            command = ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false"]
            subprocess.run([*command, f"docker-archive:{archive}", target], check=True)
            yield
        finally:
            process.terminate()


def _await(url):
    for _ in range(200):
        try:
            with urllib.request.urlopen(url):
                return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(url)


@pytest.mark.host
async def test_an_archive_is_loaded_and_the_image_removed(runtime, tmp_path):
    archive = docker_archive(tmp_path / "a.tar", "localhost/loaded:2", User="app", StopSignal="SIGINT")
    (image,) = await runtime.load(str(archive))
    assert (image.names, image.user, image.stop_signal) == (("localhost/loaded:2",), "app", "SIGINT")
    assert image.size_bytes > 100_000 and image.env == ("GREETING=hello",)
    await runtime.remove_image(image.id)
    assert await runtime.images() == []


@pytest.mark.host
async def test_pulls_over_plain_http_by_tag_digest_and_mirror(runtime, registry):
    by_tag = await runtime.pull(f"{REGISTRY}/team/tiny:1")
    (digest,) = by_tag.digests
    assert (await runtime.pull(digest, [Credentials("me", "secret")])).id == by_tag.id
    assert (await runtime.pull("registry.example/team/tiny:1")).id == by_tag.id
    assert os.listdir(runtime._settings.secrets_dir) == []


@pytest.mark.host
async def test_a_failed_pull_says_why_in_one_line(runtime, registry):
    with pytest.raises(PullFailed, match="manifest unknown"):
        await runtime.pull(f"{REGISTRY}/team/tiny:none")
    with pytest.raises(PullFailed, match="connection refused"):
        await runtime.pull("127.0.0.1:1/team/tiny:1")


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"nonsense")
    with pytest.raises(RuntimeFailure, match="no image archive"):
        images.entries_of(tmp_path / "x")


def test_the_cause_is_the_last_complaint():
    text = 'time="x" level=warning msg="w"\ntime="x" level=fatal msg="reading manifest 1 in a/b: \\"denied\\"\\n"\n'
    assert images.cause(text).strip() == 'reading manifest 1 in a/b: "denied"'


def test_secrets_do_not_show(tmp_path):
    assert "secret" not in repr(Credentials("me", "secret"))

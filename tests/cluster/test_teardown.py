"""What goes when a cluster is stopped, and what more goes when every trace shall. Runtime and network are the fakes."""

import dataclasses

import pytest

from tiphys.cluster import identities, saved, teardown
from tiphys.cluster.settings import Settings
from tiphys.network.fake import FakeNetwork
from tiphys.pki import kubeconfig
from tiphys.runtime.door import ContainerSpec, SandboxSpec
from tiphys.runtime.fake import FakeRuntime


@pytest.fixture
def settings(tmp_path):
    given = {"data_dir": tmp_path / "data", "run_dir": tmp_path / "run", "nft_table": "tiphys-x"}
    given |= {"storage_root": tmp_path / "images", "storage_run": tmp_path / "imagerun"}
    made = Settings(**given)
    for directory in (made.run_dir / "node", made.pod_logs):
        directory.mkdir(parents=True)
    return made


@pytest.fixture
async def machine(monkeypatch):
    """Two containers run in a sandbox with an address, a third has ended; `removed` are the tables."""
    runtime, network = FakeRuntime(), FakeNetwork()
    runtime.add_image("app:1")
    await runtime.create_sandbox(SandboxSpec("box", "box", "pod-box"))
    await network.acquire("box")
    for name in ("a", "b", "ended"):
        await runtime.prepare(ContainerSpec(name, "box", name, "app:1", "/dev/null"))
        await runtime.start(name)
    runtime.exit("ended")
    runtime.removed = []
    monkeypatch.setattr(teardown, "CrunRuntime", lambda settings: runtime)
    monkeypatch.setattr(teardown, "KernelNetwork", lambda settings: network)
    monkeypatch.setattr(teardown, "remove_table", lambda family, name: runtime.removed.append(name))
    return runtime, network


async def test_stopping_ends_what_runs_and_takes_down_the_rest(settings, machine):
    runtime, network = machine
    assert await teardown.stop(settings) == 2
    assert (await runtime.sandboxes(), await network.leases()) == ([], [])
    assert runtime.removed == ["tiphys-x-services", "tiphys-x-counting"]
    assert settings.data_dir.exists()


async def test_stopping_twice_is_fine(settings, machine):
    await teardown.stop(settings)
    assert await teardown.stop(settings) == 0


async def test_purging_leaves_no_file_and_no_context(settings, machine, tmp_path):
    keys = identities.load_or_create(settings, "")
    config = tmp_path / "config"
    kubeconfig.merge(config, identities.admin_access(settings, keys, settings.port))
    await teardown.purge(settings, config)
    assert not any(path.exists() for path in (settings.data_dir, settings.run_dir, settings.pod_logs))
    assert kubeconfig.read(config)["contexts"] == []


async def test_purging_leaves_the_contexts_of_others(settings, machine, tmp_path):
    other = dataclasses.replace(settings, data_dir=tmp_path / "other")
    access = identities.admin_access(other, identities.load_or_create(other, ""), 1)
    kubeconfig.merge(tmp_path / "config", access)
    await teardown.purge(settings, tmp_path / "config")
    assert [context["name"] for context in kubeconfig.read(tmp_path / "config")["contexts"]] == ["tiphys"]


@pytest.mark.parametrize("theirs", [True, False])
async def test_images_that_were_here_before_us_stay(settings, machine, tmp_path, theirs):
    if theirs:
        settings.storage_root.mkdir()
    saved.note_storage(settings)
    settings.storage_root.mkdir(exist_ok=True)
    await teardown.purge(settings, tmp_path / "config")
    assert settings.storage_root.exists() is theirs


def test_a_later_start_does_not_take_our_own_images_for_those_of_others(settings):
    saved.note_storage(settings)
    settings.storage_root.mkdir()
    settings.database.touch()
    saved.note_storage(settings)
    assert (settings.data_dir / saved.NO_IMAGES_BEFORE).exists()

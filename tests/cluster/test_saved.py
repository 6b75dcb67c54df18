"""What a cluster was brought up with is what `down` and `status` find."""

import dataclasses
import json
from pathlib import Path

import pytest

from tiphys.cluster import saved
from tiphys.cluster.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(
        data_dir=tmp_path,
        run_dir=Path("/run/other"),
        port=7443,
        kubeconfig=tmp_path / "k",
        insecure_registries=("localhost:5000",),
        registry_mirrors=(("docker.io", "mirror:5000"),),
    )


def test_they_come_back_as_they_were(settings):
    saved.save(settings)
    assert saved.load(settings.data_dir) == settings


def test_no_file_means_no_cluster(tmp_path):
    assert saved.load(tmp_path) is None


def test_what_has_not_changed_is_not_written_again(settings):
    saved.save(settings)
    before = (settings.data_dir / saved.FILE).stat().st_ino
    saved.save(settings)
    assert (settings.data_dir / saved.FILE).stat().st_ino == before
    saved.save(dataclasses.replace(settings, port=8443))
    assert saved.load(settings.data_dir).port == 8443


def test_settings_of_another_version_are_read_as_far_as_they_go(settings):
    file = settings.data_dir / saved.FILE
    saved.save(settings)
    raw = json.loads(file.read_text()) | {"from_the_future": 1}
    del raw["bridge"]
    file.write_text(json.dumps(raw))
    assert saved.load(settings.data_dir) == settings

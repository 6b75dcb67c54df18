"""Volumes: files that change at once, modes, tokens, directories, subPaths that stay inside."""

import asyncio
import base64
import os
import socket
from pathlib import Path

import pytest

from builders import node
from node_builders import new_pod, settings
from tiny_api import TinyApi
from tiphys.aio import virtual
from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.node.csi.volumes import CsiVolumes
from tiphys.node.environment import Sources
from tiphys.node.objects import Objects
from tiphys.node.volumes import atomic, subpath
from tiphys.node.volumes.claims import Claims
from tiphys.node.volumes.context import Context, File, VolumeProblem
from tiphys.node.volumes.local_volumes import LocalVolumes
from tiphys.node.volumes.volumes import Volumes, VolumesFailed, follows_metadata

NOW = virtual.EPOCH


def prepare(root, *volumes, objects=(), times=1, **fields):
    """Set the volumes up (several times); path by name, and the API that was asked."""

    async def main():
        api = TinyApi()
        for obj in objects:
            kind = obj["kind"].lower() + "s"
            api.objects[(f"api/v1/{kind}", "shop", obj["metadata"]["name"])] = obj
        watched = Objects(Client(api))
        task = asyncio.create_task(watched.run())
        pod = new_pod(volumes=list(volumes), **fields)
        pod["metadata"] |= {"uid": "u", "labels": {"app": "web"}}
        local = LocalVolumes(Client(api), Recorder(Client(api), "kubelet", "n1"), settings(root))
        claims = Claims(Client(api), local, lambda: node("n1"))
        csi = CsiVolumes(Client(api), watched, Recorder(Client(api), "kubelet"), settings(root), lambda: NOW)
        known = Volumes(watched, settings(root), claims, csi)
        known.open()
        context = Context(pod, watched, settings(root), Sources(), lambda: NOW)
        try:
            for _ in range(times):
                prepared = await known.prepare(context, lambda: None)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return prepared, api, known

    return asyncio.run(main())


def held(kind, name, **data):
    values = data if kind == "ConfigMap" else {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}
    meta = {"name": name, "namespace": "shop", "resourceVersion": "1", "uid": name}
    return {"kind": kind, "metadata": meta, "data": values}


def files(path):
    return {entry.name: entry.read_text() for entry in Path(path).iterdir() if not entry.name.startswith("..")}


def test_config_maps_and_secrets_become_files_secrets_in_memory(tmp_path):
    sources = [held("ConfigMap", "m", a="1"), held("Secret", "s", b="2")]
    volumes = [{"name": "m", "configMap": {"name": "m"}}, {"name": "s", "secret": {"secretName": "s"}}]
    paths = prepare(tmp_path, *volumes, objects=sources)[0].paths
    assert files(paths["m"]) == {"a": "1"} and files(paths["s"]) == {"b": "2"}
    assert str(tmp_path / "run" / "memory") in paths["s"]


def test_items_choose_keys_paths_and_modes(tmp_path):
    items = [{"key": "a", "path": "deep/er", "mode": 0o400}]
    volume = {"name": "m", "configMap": {"name": "m", "items": items}}
    path = prepare(tmp_path, volume, objects=[held("ConfigMap", "m", a="1", b="2")])[0].paths["m"]
    assert os.listdir(os.path.join(path, "deep")) == ["er"]
    assert os.stat(os.path.join(path, "deep", "er")).st_mode & 0o777 == 0o400


def test_a_missing_object_fails_unless_it_is_optional(tmp_path):
    with pytest.raises(VolumesFailed, match='volume "m" : configmap "m" not found'):
        prepare(tmp_path, {"name": "m", "configMap": {"name": "m"}})
    assert files(prepare(tmp_path, {"name": "m", "configMap": {"name": "m", "optional": True}})[0].paths["m"]) == {}


def test_what_we_do_not_support_is_refused_by_name(tmp_path):
    with pytest.raises(VolumesFailed, match="volumes of kind nfs are not supported"):
        prepare(tmp_path, {"name": "n", "nfs": {"server": "x"}})


def test_a_token_is_asked_for_once_and_renewed_in_time(tmp_path):
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
    fields = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    volume = {"name": "t", "projected": {"sources": [token, {"downwardAPI": {"items": fields}}]}}
    prepared, api, _ = prepare(tmp_path, volume, times=3)
    assert files(prepared.paths["t"]) == {"token": "token-of-default", "labels": 'app="web"'}
    assert [path for _, path in api.requests if path.endswith("/token")] == [api.requests[0][1]]
    assert prepared.due_at == NOW + 24 * 3600


def test_a_pod_whose_volumes_show_its_labels_follows_them():
    item = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    assert follows_metadata(new_pod(volumes=[{"name": "d", "downwardAPI": {"items": [item]}}]))
    assert not follows_metadata(new_pod(volumes=[{"name": "d", "emptyDir": {}}]))


def test_an_empty_dir_keeps_what_is_in_it(tmp_path):
    volume = {"name": "e", "emptyDir": {}}
    path = prepare(tmp_path, volume)[0].paths["e"]
    (Path(path) / "kept").touch()
    assert files(prepare(tmp_path, volume)[0].paths["e"]) == {"kept": ""}
    assert os.stat(path).st_mode & 0o777 == 0o777


def test_a_host_path_is_checked_against_its_type(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(VolumesFailed, match="is not a directory"):
        prepare(tmp_path, {"name": "h", "hostPath": {"path": str(tmp_path / "file"), "type": "Directory"}})
    made = {"name": "h", "hostPath": {"path": str(tmp_path / "new"), "type": "DirectoryOrCreate"}}
    assert prepare(tmp_path, made)[0].paths["h"] == str(tmp_path / "new") and (tmp_path / "new").is_dir()


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("Directory", "a directory"), ("File", "a file"), ("Socket", "a socket file"),
        ("BlockDevice", "a block device"), ("CharDevice", "a character device"), ("DirectoryOrCreate", "a directory"),
    ],
)  # fmt: skip
def test_a_host_path_of_another_type_is_named(tmp_path, kind, what):
    (tmp_path / "it").mkdir()
    path = tmp_path / "it" / "none" if kind == "Directory" else tmp_path / "it"
    path = Path("/dev/null") if kind == "DirectoryOrCreate" else path
    with pytest.raises(VolumesFailed, match=f"hostPath type check failed: {path} is not {what}"):
        prepare(tmp_path, {"name": "h", "hostPath": {"path": str(path), "type": kind}})


def test_host_paths_that_are_what_they_should_be_are_used(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
    wanted = {"Socket": tmp_path / "s", "CharDevice": "/dev/null", "FileOrCreate": tmp_path / "f", "": tmp_path / "new"}
    volumes = [{"name": f"v{n}", "hostPath": {"path": str(p), "type": k}} for n, (k, p) in enumerate(wanted.items())]
    assert list(prepare(tmp_path, *volumes)[0].paths.values()) == [str(path) for path in wanted.values()]
    assert (tmp_path / "f").is_file() and (tmp_path / "new").is_dir()


def test_released_volumes_leave_nothing(tmp_path):
    _, _, known = prepare(tmp_path, {"name": "e", "emptyDir": {}})
    for _ in range(2):
        asyncio.run(known.release("u"))
    assert not (tmp_path / "data" / "pods" / "u" / "volumes").exists()


def test_a_new_set_of_files_replaces_the_old_at_once(tmp_path):
    assert atomic.write(tmp_path, {"a": File(b"1"), "b": File(b"2")}, NOW)
    assert not atomic.write(tmp_path, {"a": File(b"1"), "b": File(b"2")}, NOW + 1)
    assert atomic.write(tmp_path, {"a": File(b"3")}, NOW + 2)
    assert files(tmp_path) == {"a": "3"}
    assert len([name for name in os.listdir(tmp_path) if name.startswith("..2")]) == 1


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b"])
def test_no_file_leads_out_of_its_volume(tmp_path, path):
    with pytest.raises(VolumeProblem, match="must stay within"):
        atomic.write(tmp_path / "v", {path: File(b"")}, NOW)


def test_a_sub_path_that_is_made_is_for_whoever_may_use_the_volume(tmp_path):
    tmp_path.chmod(0o2777)
    base = os.open(tmp_path, os.O_PATH)
    os.close(subpath.open_or_make(base, "a/b"))
    os.close(base)
    assert [path.stat().st_mode & 0o7777 for path in (tmp_path / "a", tmp_path / "a" / "b")] == [0o2777] * 2


def test_a_sub_path_that_leads_out_is_refused(tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "link").symlink_to("/etc")
    with pytest.raises(VolumeProblem, match="leads out of the volume"):
        subpath.prepare(str(tmp_path / "v"), "link/passwd", tmp_path / "target")
    base = os.open(tmp_path / "v", os.O_PATH)
    os.close(subpath.open_or_make(base, "new/deep"))
    os.close(base)
    assert (tmp_path / "v" / "new" / "deep").is_dir()

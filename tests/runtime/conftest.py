"""A runtime of its own names, with an image built by hand and unpacked by skopeo into a store of its own."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from runtime.suite import IMAGE, SLEEPS
from tiphys.runtime import kernel
from tiphys.runtime.crun import CrunRuntime
from tiphys.runtime.door import ContainerSpec, SandboxSpec
from tiphys.runtime.settings import RuntimeSettings

CGROUP = "tiphys-test"
APPLETS = "sh sleep cat echo id hostname touch true false kill stat mount ls env head dd grep sed wc stty"


def add(archive, name, content=b"", *, link="", mode=0o644):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.linkname = len(content), mode, link
    entry.type = tarfile.SYMTYPE if link else tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
    archive.addfile(entry, io.BytesIO(content))


def layer() -> bytes:
    """busybox and a passwd file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("bin/", "etc/", "tmp/", "proc/", "sys/", "dev/"):
            add(archive, name, mode=0o755)
        add(archive, "bin/busybox", Path("/bin/busybox").read_bytes(), mode=0o755)
        for applet in APPLETS.split():
            add(archive, f"bin/{applet}", link="busybox")
        add(archive, "etc/passwd", b"root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/:/bin/sh\n")
        add(archive, "etc/group", b"root:x:0:\nstaff:x:50:app\nteam:x:60:\n")
    return buffer.getvalue()


def docker_archive(path: Path, name: str = IMAGE, **config) -> Path:
    """What `docker save` writes."""
    root = layer()
    diff = hashlib.sha256(root).hexdigest()
    run = {"Env": ["GREETING=hello"], "Cmd": ["/bin/sh"], "WorkingDir": "/tmp", **config}
    described = {"architecture": "amd64", "os": "linux", "config": run}
    described["rootfs"] = {"type": "layers", "diff_ids": [f"sha256:{diff}"]}
    body = json.dumps(described).encode()
    names = {"Config": f"{hashlib.sha256(body).hexdigest()}.json", "RepoTags": [name], "Layers": [f"{diff}/layer.tar"]}
    with tarfile.open(path, "w") as archive:
        add(archive, "manifest.json", json.dumps([names]).encode())
        add(archive, names["Config"], body)
        add(archive, names["Layers"][0], root)
    return path


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Shared by all tests, and only read: the image is unpacked once."""
    base = tmp_path_factory.mktemp("store")
    archive = docker_archive(base / "tiny.tar")
    target = f"containers-storage:[overlay@{base}/root+{base}/runroot]{IMAGE}"
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", f"docker-archive:{archive}", target], check=True)
    yield base
    kernel.unmount(base / "root/overlay")
    shutil.rmtree(base)


@pytest.fixture
def settings(store, tmp_path):
    return RuntimeSettings(
        data_dir=tmp_path / "data", run_dir=tmp_path / "run", storage_root=store / "root",
        storage_runroot=store / "runroot", cgroup_parent=CGROUP,
    )  # fmt: skip


def traces(settings):
    """Whatever a runtime could leave on a machine."""
    cgroups = [str(path) for depth in ("", "*/") for path in Path("/sys/fs/cgroup").glob(f"{depth}{CGROUP}")]
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(settings.run_dir) in line]
    processes = [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if str(settings.run_dir).encode() in _cmdline(path)
    ]
    files = [str(path) for path in (settings.run_dir, settings.data_dir) if path.exists()]
    return cgroups, mounts, processes, files


def _cmdline(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.fixture
async def empty(host_lock, settings):
    """No sandbox yet. Whatever a test does, the machine is as before."""
    runtime = CrunRuntime(settings)
    await runtime.open()
    yield runtime
    if not runtime.is_open:
        runtime = CrunRuntime(settings)
        await runtime.open()
    await runtime.purge()
    await runtime.close()
    assert traces(settings) == ([], [], [], [])


@pytest.fixture
async def real(empty):
    await empty.create_sandbox(SandboxSpec("box", "box", "pod-box"))
    return empty


@pytest.fixture
def make(tmp_path):
    def make(id, line=SLEEPS, *, command=("/bin/sh", "-c"), image=IMAGE, sandbox="box", **fields):
        args = (line,) if command[0] == "/bin/sh" else ()
        return ContainerSpec(id, sandbox, id, image, str(tmp_path / f"{id}.log"), command=command, args=args, **fields)

    return make


@pytest.fixture
def run(real, make, tmp_path):
    """What a container writes, line by line, once it has ended."""

    async def run(line, **fields):
        spec = make("c", line, **fields)
        await real.prepare(spec)
        await real.start("c")
        await real.wait("c")
        text = Path(spec.log_path).read_text()
        Path(spec.log_path).unlink()
        await real.remove("c")
        return [entry.split(" ", 3)[3] for entry in text.splitlines()]

    return run

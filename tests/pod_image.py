"""The image of the features' pods: busybox, curl, Python and `journeys/features/image/tool.py`, of Debian's files."""

import shutil
import subprocess
from pathlib import Path

IMAGE = "localhost/pod-tool:1"
TOOL = Path(__file__).parent / "journeys" / "features" / "image" / "tool.py"
PASSWD = "root:x:0:0:root:/root:/bin/sh\nworker:x:1500:1600:worker:/home/worker:/bin/sh\n"
GROUP = "root:x:0:\nworkers:x:1600:\nextras:x:1700:worker\n"
# What the small servers never need of Python's library.
UNUSED = ("__pycache__", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tkinter", "turtledemo", "unittest")
# Debian's static busybox crashes where these resolve a name; curl and tool.py do it.
BROKEN_APPLETS = ("wget", "nslookup")


def build(storage_root: Path) -> None:
    """Into the storage of a cluster (`tiphys up --storage-root`)."""
    root = storage_root.parent / "image-root"
    make_root(root)
    buildah = (
        "buildah",
        "--root",
        str(storage_root),
        "--runroot",
        f"{storage_root}-run",
        "--storage-driver",
        "overlay",
    )
    container = output(*buildah, "from", "scratch").strip()
    output(*buildah, "copy", "-q", container, str(root), "/")
    output(
        *buildah, "config", "--env", "PATH=/usr/bin:/bin", "--env", "FROM_IMAGE=yes", "--cmd", "sleep 999", container
    )
    output(*buildah, "commit", "-q", "--rm", container, IMAGE)
    shutil.rmtree(root)


def make_root(root: Path) -> None:
    for name in ("bin", "etc", "home/worker", "owned", "proc", "root", "tmp", "usr/bin", "usr/lib"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    shutil.copy("/bin/busybox", root / "bin" / "busybox")
    for applet in output("busybox", "--list").split():
        if applet not in (*BROKEN_APPLETS, "busybox"):
            (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    library = next(Path("/usr/lib").glob("python3.*/os.py")).parent
    ignored = shutil.ignore_patterns(*UNUSED, "config-*", "_test*", "lib-tk")
    shutil.copytree(library, root / library.relative_to("/"), ignore=ignored, ignore_dangling_symlinks=True)
    for program in ("curl", f"/usr/bin/{library.name}", *(library / "lib-dynload").glob("_ssl.*")):
        add_program(root, Path(shutil.which(program) or program))
    (root / "usr/bin/python3").symlink_to(library.name)
    shutil.copy(TOOL, root / "tool.py")


def add_program(root: Path, program: Path) -> None:
    """The program with the libraries that it loads."""
    needed = [word for word in output("ldd", str(program)).split() if word.startswith("/")]
    for file in (program, *map(Path, needed)):
        target = root / file.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


def output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

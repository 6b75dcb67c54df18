"""`tiphys up`: a one-node cluster, Ready."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from tiphys.cli import options as shared
from tiphys.cli.main import UsageError
from tiphys.cluster import process, saved
from tiphys.cluster.settings import Settings

WORDS = {
    "keys": "keys and certificates",
    "store": "store open",
    "api": "API server answers",
    "controllers": "controllers and scheduler run",
    "network": "pod network ready",
    "node": "node Ready",
}
LOG_LINES_SHOWN = 8


def add_arguments(sub: argparse.ArgumentParser) -> None:
    shared.add_place(sub)
    shared.add_network(sub)
    shared.add_user_kubeconfig(sub)


def run(options: argparse.Namespace) -> int:
    shared.need_root("a node runs containers and")
    settings = shared.settings(options)
    _check_machine()
    started = time.monotonic()
    pid = process.running(settings.pid_file)
    if pid is not None:
        held = saved.load(settings.data_dir) or settings
        print(f"the cluster runs already (pid {pid})")
        _finish(held, options, started)
        return 0
    saved.note_storage(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    saved.save(settings)
    reached = ""
    for step in process.start(list(_arguments(options)), settings.log):
        if not reached:
            _load(options.kubeconfig)
        reached = step.name
        if step.name in WORDS:
            print(f"{step.seconds:6.2f} s  {WORDS[step.name]}", flush=True)
    if reached != process.READY:
        raise UsageError(_why(settings))
    _finish(settings, options, started)
    return 0


def _check_machine() -> None:
    from tiphys.cluster import doctor

    missing = doctor.missing_packages()
    if missing:
        raise UsageError(f"system packages are missing: {' '.join(missing)} — install them with `tiphys doctor --fix`")


def _load(path: Path) -> None:
    """Load what is needed at the end while the server is at work. What is wrong with the file is said at the end."""
    from tiphys.cluster import identities  # noqa: F401
    from tiphys.pki import kubeconfig

    with contextlib.suppress(kubeconfig.KubeconfigDamaged, OSError):
        kubeconfig.read(path)


def _finish(settings: Settings, options: argparse.Namespace, started: float) -> None:
    from tiphys.cluster import identities
    from tiphys.pki import kubeconfig

    path: Path = options.kubeconfig
    access = identities.saved_admin_access(settings, settings.port)
    if access is None:
        keys = identities.load_or_create(settings, identities.advertised_address(settings))
        access = identities.admin_access(settings, keys, settings.port)
    try:
        name = kubeconfig.merge(path, access)
    except kubeconfig.KubeconfigDamaged as error:
        raise UsageError(f"the cluster runs, but {error}; see `tiphys kubeconfig`") from None
    print(f"{time.monotonic() - started:6.2f} s  context {name!r} is in {path}")
    chosen = kubeconfig.read(path).get("current-context") == name
    print(f"Ready: kubectl {'' if chosen else f'--context {name} '}get nodes")


def _arguments(options: argparse.Namespace) -> Iterator[str]:
    """The same choices for `tiphys serve`."""
    yield from ("--data-dir", str(options.data_dir.resolve()))
    for name in ("port", "node_port", "node_name", "pod_cidr", "service_cidr", "bridge", "storage_root"):
        value = getattr(options, name)
        if value:
            yield from (f"--{name.replace('_', '-')}", str(value))
    for name in ("insecure_registry", "registry_mirror"):
        for value in getattr(options, name) or ():
            yield from (f"--{name.replace('_', '-')}", value)


def _why(settings: Settings) -> str:
    """What the server said last."""
    lines = settings.log.read_text(errors="replace").splitlines() if settings.log.exists() else []
    told = [line for line in lines if line.startswith("tiphys serve: ")]
    if told and told[-1] in lines[-3:]:
        return told[-1].removeprefix("tiphys serve: ")
    return "\n".join([f"the server ended; the end of {settings.log}:", *lines[-LOG_LINES_SHOWN:]])

"""
Take a cluster's things off this machine while its server is stopped: what runs (`stop`), or every trace (`purge`).

After `stop` the machine is as after a reboot: data stays, and the next start rebuilds everything from it.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from tiphys.cluster import identities, node
from tiphys.cluster.settings import Settings
from tiphys.network.kernel import KernelNetwork
from tiphys.network.packets import remove_table
from tiphys.node.volumes import mounts
from tiphys.pki import kubeconfig
from tiphys.runtime.crun import CrunRuntime

# How long containers get to end by themselves, all at once.
GRACE_SECONDS = 10.0
# Says that there were no images on this machine before us, so that all of them are ours to remove.
NO_IMAGES_BEFORE = "no-images-before"


def note_storage(settings: Settings) -> None:
    """Remember, at the first start, whether the image store was there before us."""
    if not settings.storage_root.exists() and not settings.database.exists():
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        (settings.data_dir / NO_IMAGES_BEFORE).touch()


async def stop(settings: Settings) -> int:
    """End all containers and take down sandboxes, namespaces and rules; how many containers ran."""
    runtime = CrunRuntime(node.runtime_settings(settings))
    await runtime.open()
    try:
        running = [one for one in await runtime.containers() if one.state == "running"]
        async with asyncio.TaskGroup() as group:
            for one in running:
                group.create_task(runtime.stop(one.id, GRACE_SECONDS))
        for sandbox in await runtime.sandboxes():
            await runtime.remove_sandbox(sandbox.id)
    finally:
        await runtime.close()
    await KernelNetwork(node.network_settings(settings)).purge()
    await asyncio.to_thread(remove_table, "ip", f"{settings.nft_table}-services")
    for directory in (settings.data_dir / "node", settings.run_dir / "node"):
        mounts.unmount_below(directory)
    return len(running)


async def purge(settings: Settings, user_kubeconfig: Path) -> None:
    """Every trace: the containers' layers, data, keys, logs, images that only we brought, the kubeconfig context."""
    access = identities.admin_access(settings, identities.load_or_create(settings, ""), settings.port)
    await stop(settings)
    runtime = CrunRuntime(node.runtime_settings(settings))
    await runtime.open()
    await runtime.purge()
    await runtime.close()
    kubeconfig.remove(user_kubeconfig, access)
    if (settings.data_dir / NO_IMAGES_BEFORE).exists():
        for directory in (settings.storage_root, settings.storage_run):
            mounts.unmount_below(directory)
            shutil.rmtree(directory, ignore_errors=False) if directory.exists() else None
    for directory in (settings.run_dir, settings.data_dir, settings.pod_logs):
        if directory.exists():
            await asyncio.to_thread(shutil.rmtree, directory)

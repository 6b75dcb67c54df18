"""
Take a cluster's things off this machine while its server is stopped: what runs (`stop`), or every trace (`purge`).

After `stop` the machine is as after a reboot: data stays, and the next start rebuilds everything from it.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from tiphys.cluster import identities, kubelet_dir, node
from tiphys.cluster.saved import NO_IMAGES_BEFORE
from tiphys.cluster.settings import Settings
from tiphys.ingress import haproxy
from tiphys.network import kept_sockets
from tiphys.network.kernel import KernelNetwork
from tiphys.network.packets import remove_table
from tiphys.node.volumes import loops, mounts
from tiphys.pki import kubeconfig
from tiphys.runtime.crun import CrunRuntime

# How long containers get to end by themselves, all at once.
GRACE_SECONDS = 10.0


async def stop(settings: Settings) -> int:
    """End all containers and take down sandboxes, namespaces and rules; how many containers ran."""
    return await _take_down(settings, purge=False)


async def _take_down(settings: Settings, *, purge: bool) -> int:
    await asyncio.to_thread(haproxy.remove, settings.ingress_dir)
    runtime = CrunRuntime(node.runtime_settings(settings))
    await runtime.open()
    try:
        running = [one for one in await runtime.containers() if one.state == "running"]
        async with asyncio.TaskGroup() as group:
            for one in running:
                group.create_task(runtime.stop(one.id, GRACE_SECONDS))
        for sandbox in await runtime.sandboxes():
            await runtime.remove_sandbox(sandbox.id)
        if purge:
            await runtime.purge()
    finally:
        await runtime.close()
    await asyncio.to_thread(kept_sockets.drop, settings.run_dir)
    await KernelNetwork(node.network_settings(settings)).purge()
    for table in (f"{settings.nft_table}-services", node.counting_table(settings)):
        await asyncio.to_thread(remove_table, "ip", table)
    for directory in (settings.data_dir / "node", settings.run_dir / "node"):
        mounts.unmount_below(directory)
    loops.detach_below(settings.data_dir / "node")
    return len(running)


async def purge(settings: Settings, user_kubeconfig: Path) -> int:
    """
    Stop, and remove every trace: the containers' layers, data, keys, logs, images that only we brought, the kubeconfig
    context. How many containers ran.
    """
    access = identities.admin_access(settings, identities.load_or_create(settings, ""), settings.port)
    ran = await _take_down(settings, purge=True)
    kubeconfig.remove(user_kubeconfig, access)
    if (settings.data_dir / NO_IMAGES_BEFORE).exists():
        for directory in (settings.storage_root, settings.storage_run):
            mounts.unmount_below(directory)
            if directory.exists():
                shutil.rmtree(directory)
    kubelet_dir.unlink(settings)
    mounts.unmount_below(settings.run_dir)
    for directory in (settings.run_dir, settings.data_dir, settings.pod_logs):
        if directory.exists():
            await asyncio.to_thread(shutil.rmtree, directory)
    return ran

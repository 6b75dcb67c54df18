"""`tiphys status`: what runs, in a few lines."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.objects import condition_of
from tiphys.api.pods import is_finished, is_ready
from tiphys.cli import options as shared
from tiphys.cli.main import UsageError
from tiphys.client.client import Client
from tiphys.cluster import access, process
from tiphys.cluster.failures import CannotServe
from tiphys.cluster.settings import Settings

Object = dict[str, Any]


def add_arguments(sub: argparse.ArgumentParser) -> None:
    shared.add_place(sub)


def run(options: argparse.Namespace) -> int:
    settings = shared.saved_settings(options)
    if settings is None:
        print(f"there is no cluster in {options.data_dir}: start one with `tiphys up`")
        return 1
    pid = process.running(settings.pid_file)
    if pid is None:
        print("server   stopped: start it with `tiphys up`")
        return 1
    print(f"server   running (pid {pid}), {_memory(pid)} MB")
    print(f"API      https://{settings.address}:{settings.port}")
    try:
        asyncio.run(_tell(settings))
    except CannotServe as error:
        raise UsageError(str(error)) from None
    except (StatusError, OSError) as error:
        raise UsageError(f"the API does not answer: {error}; see {settings.log}") from None
    return 0


async def _tell(settings: Settings) -> None:
    async with access.administrator(settings) as client:
        for node in (await client.list(resources.get("", "v1", "nodes"))).items:
            ready = condition_of(node, "Ready") or {}
            state = {"True": "Ready", "False": "NotReady"}.get(ready.get("status", ""), "Unknown")
            print(f"node     {node['metadata']['name']}: {state}")
        await _tell_pods(client)


async def _tell_pods(client: Client) -> None:
    pods = [pod for pod in (await client.list(resources.get("", "v1", "pods"))).items if not is_finished(pod)]
    waiting = [pod for pod in pods if not is_ready(pod)]
    print(f"pods     {len(pods)} ({len(pods) - len(waiting)} ready)")
    for pod in waiting[:10]:
        meta = pod["metadata"]
        cure = f"kubectl describe pod -n {meta['namespace']} {meta['name']}"
        print(f"         {meta['namespace']}/{meta['name']} is not ready: {cure}")


def _memory(pid: int) -> int:
    """Resident memory in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    return 0

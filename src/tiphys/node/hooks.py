"""Lifecycle hooks: postStart and preStop as exec, httpGet or sleep."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tiphys.node.probes import http
from tiphys.node.probes.checks import NoSuchPort, Subject, check, http_target
from tiphys.node.probes.outcome import Outcome

# A postStart hook holds its container back for as long as it takes; only the end of the container ends it.
UNLIMITED_SECONDS = 365 * 24 * 3600.0


async def run_hook(subject: Subject, hook: Mapping[str, Any], timeout_seconds: float = UNLIMITED_SECONDS) -> Outcome:
    """Run to the end or the timeout."""
    if hook.get("sleep") is not None:
        await asyncio.sleep(min(float(hook["sleep"].get("seconds") or 0), timeout_seconds))
        return Outcome(True)
    if hook.get("exec"):
        return await check(subject, hook, timeout_seconds)
    if hook.get("httpGet"):
        return await _ask(subject, hook["httpGet"], timeout_seconds)
    return Outcome(False, f"invalid handler: {', '.join(hook) or 'none'}")


async def _ask(subject: Subject, action: Mapping[str, Any], timeout_seconds: float) -> Outcome:
    """Unlike a probe, a hook has been heard when anything answers, whatever the status."""
    try:
        async with asyncio.timeout(timeout_seconds):
            answer = await http.get(http_target(subject, action))
    except (NoSuchPort, http.Refused, TimeoutError) as error:
        return Outcome(False, str(error))
    return Outcome(True, str(answer.status))

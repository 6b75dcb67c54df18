"""Lifecycle hooks: postStart and preStop as exec, httpGet or sleep."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tiphys.node.probes.checks import Subject, check
from tiphys.node.probes.outcome import Outcome

# A postStart hook holds its container back for as long as it takes; only the end of the container ends it.
UNLIMITED_SECONDS = 365 * 24 * 3600.0


async def run_hook(subject: Subject, hook: Mapping[str, Any], timeout_seconds: float = UNLIMITED_SECONDS) -> Outcome:
    """Run to the end or the timeout."""
    if hook.get("sleep") is not None:
        await asyncio.sleep(min(float(hook["sleep"].get("seconds") or 0), timeout_seconds))
        return Outcome(True)
    if hook.get("exec") or hook.get("httpGet"):
        return await check(subject, hook, timeout_seconds)
    return Outcome(False, f"invalid handler: {', '.join(hook) or 'none'}")

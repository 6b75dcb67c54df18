"""What a cluster runs: as the machine has it, and as the API tells."""

import re
from pathlib import Path

RUN_ID = re.compile(r"[0-9a-f]{64}")


def on_the_machine(cluster):
    """{container id: processes} of all cgroups of this cluster."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            text = path.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if cluster.names[0] in text and (run := RUN_ID.search(text)):
            found.setdefault(run.group(), []).append(int(path.parent.name))
    return found


def told(cluster):
    """{container id: (pod, restarts)} of all containers that the API says are running."""
    found = {}
    for one in cluster.get("pods")["items"]:
        for status in one["status"].get("containerStatuses", ()):
            if "running" in status["state"]:
                found[status["containerID"].partition("//")[2]] = (one["metadata"]["name"], status["restartCount"])
    return found


def monitors(cluster):
    """The pids of the programs that watch over this cluster's containers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words, group = path.read_bytes(), path.with_name("cgroup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if words.split(b"\0")[0].endswith(b"conmon") and cluster.names[0] in group:
            found.append(int(path.parent.name))
    return sorted(found)

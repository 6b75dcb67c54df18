"""What can be chosen about the way in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# What classes of ours name.
CONTROLLER = "tiphys.io/ingress"


@dataclass(frozen=True, slots=True)
class IngressSettings:
    """
    `address` is the node's, told in the status of Ingresses; `bind` is where the ports are opened. `run_dir` holds the
    data plane's files: certificates with their keys among them, so it belongs into memory.
    """

    run_dir: Path
    address: str
    bind: str = "0.0.0.0"
    http_port: int = 80
    https_port: int = 443

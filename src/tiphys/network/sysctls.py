"""
Kernel switches: those of the host that pods need, and those of a fresh namespace.

Of the host's, only `ip_forward` is not about our own bridge. A file remembers that it was off, so that a purge can put
it back.
"""

from __future__ import annotations

from pathlib import Path

SYSCTLS = Path("/proc/sys/net")


def write(name: str, value: str) -> None:
    """`ipv4/ip_forward` to "1", without a write where it has the value."""
    path = SYSCTLS / name
    if path.read_text().strip() != value:
        path.write_text(value)


def prepare_host(bridge: str, was_off: Path) -> None:
    """
    Forward packets; let node ports on loopback addresses reach pods; take replies by whatever way they come.

    The file `was_off` is made where the host did not forward before.
    """
    if (SYSCTLS / "ipv4/ip_forward").read_text().strip() == "0":
        was_off.touch()
    write("ipv4/ip_forward", "1")
    write(f"ipv4/conf/{bridge}/route_localnet", "1")
    write(f"ipv4/conf/{bridge}/rp_filter", "0")
    write(f"ipv4/conf/{bridge}/send_redirects", "0")


def prepare_namespace() -> None:
    """In the namespace of this thread, before it has links: IPv4 only, and no learning of shorter ways."""
    write("ipv4/conf/all/accept_redirects", "0")
    write("ipv4/conf/default/accept_redirects", "0")
    if (SYSCTLS / "ipv6").is_dir():
        write("ipv6/conf/default/disable_ipv6", "1")


def restore_host(was_off: Path) -> None:
    """What the host had before; the switches of the bridge went with it."""
    if was_off.exists():
        write("ipv4/ip_forward", "0")
        was_off.unlink()

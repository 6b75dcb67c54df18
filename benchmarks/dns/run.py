"""
DNS: answers a second from one server process, over UDP on loopback; the client is another process.

    python benchmarks/dns/run.py [seconds]

Prints what was answered, per second of time and per second of the server's CPU (which is the figure for one core).
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time

from tiphys.dns import message, records
from tiphys.dns.answers import Answers
from tiphys.dns.forward import Forwarder
from tiphys.dns.listeners import UdpListener
from tiphys.dns.message import A, name_of
from tiphys.dns.server import ClusterResolver
from tiphys.dns.settings import DnsSettings
from tiphys.dns.zone import Zone

SERVICES = 1000
UNDER_WAY = 64


async def serve(opened: socket.socket, seconds: float) -> float:
    """A zone of many Services behind one socket; gives the CPU seconds that were used."""
    zone = Zone("cluster.local", "10.96.0.10", ["10.96.0.0/16"])
    for number in range(SERVICES):
        name = name_of(f"web-{number}.shop.svc.cluster.local")
        zone.put(number, [records.address_record(name, f"10.96.{number // 250}.{number % 250 + 1}")])
    answers = Answers(zone)
    answers.synced = True
    whole = asyncio.Event()
    whole.set()
    async with asyncio.TaskGroup() as group:
        resolver = ClusterResolver(answers, Forwarder(DnsSettings(listen=())), whole)
        listener = UdpListener(opened, resolver, group.create_task)
        began = time.process_time()
        await asyncio.sleep(seconds)
        used = time.process_time() - began
        listener.close()
    return used


def ask(port: int, seconds: float) -> int:
    """Keep some queries under way; gives the number of answers."""
    queries = [
        message.upstream_query(message.query_for(name_of(f"web-{number}.shop.svc.cluster.local"), A), number)
        for number in range(SERVICES)
    ]
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(("127.0.0.1", port))
    client.settimeout(1)
    for query in queries[:UNDER_WAY]:
        client.send(query)
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        client.recv(4096)
        count += 1
        client.send(queries[count % SERVICES])
    return count


def measured(seconds: float) -> tuple[float, float]:
    """Answers per second, and per second of the server's processor time."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("127.0.0.1", 0))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        used = asyncio.run(serve(opened, seconds + 0.5))
        os.write(writing, str(used).encode())
        os._exit(0)
    time.sleep(0.3)
    answered = ask(opened.getsockname()[1], seconds)
    os.waitpid(child, 0)
    used = float(os.read(reading, 100))
    return answered / seconds, answered / used


def main() -> None:
    rate, per_core = measured(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0)
    print(f"dns: {rate:,.0f} answers/s, {per_core:,.0f} per CPU second")


if __name__ == "__main__":
    main()

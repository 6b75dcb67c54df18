"""gRPC health checks: one call of grpc.health.v1.Health/Check. What speaks gRPC is imported at the first one."""

from __future__ import annotations

from tiphys.node.probes.http import dial_error
from tiphys.node.probes.outcome import Outcome

METHOD = "/grpc.health.v1.Health/Check"
MESSAGES = """
HealthCheckRequest
  1 service string

HealthCheckResponse
  1 status int32
"""
AGENT = "kube-probe/1.36"

# HealthCheckResponse.ServingStatus
SERVING = 1
STATUS_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


async def check(host: str, port: int, service: str, timeout_seconds: float) -> Outcome:
    """Its texts are the kubelet's."""
    from tiphys.wire import grpc
    from tiphys.wire.protobuf import ProtobufError, Table

    table = Table(MESSAGES)
    target = grpc.Target(host=host, port=port, agent=AGENT)
    try:
        asked = table.encode("HealthCheckRequest", {"service": service})
        answer = table.decode("HealthCheckResponse", await grpc.call(target, METHOD, asked, timeout_seconds))
    except grpc.RpcError as error:
        if isinstance(error.__cause__, OSError):
            cause = dial_error(host, port, error.__cause__)
            return Outcome(False, f'error: failed to connect service "{target.authority}": {cause}')
        if error.code == grpc.DEADLINE_EXCEEDED:
            return Outcome(False, f"timeout: health rpc did not complete within {timeout_seconds:g}s")
        if error.code == grpc.UNIMPLEMENTED:
            text = "this server does not implement the grpc health protocol (grpc.health.v1.Health)"
            return Outcome(False, f"error: {text}: {error.message}")
        return Outcome(False, f"error: health rpc probe failed: {error}")
    except ProtobufError as error:
        return Outcome(False, f"error: health rpc probe failed: {error}")
    status = answer["status"]
    if status == SERVING:
        return Outcome(True, "service healthy")
    return Outcome(False, f'service unhealthy (responded with "{STATUS_NAMES.get(status, status)}")')

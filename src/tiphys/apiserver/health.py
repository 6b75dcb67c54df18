"""
Pages about the server itself: health, version, metrics, and the list of paths at the root.

Health checks have Kubernetes' names and texts, because load balancers and monitors read them: each path runs its
checks, `verbose` lists them, `exclude` leaves some out, and a path below asks for one.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata

from tiphys.api import errors, resources
from tiphys.apiserver import answers, negotiation, pages
from tiphys.apiserver.call import Call
from tiphys.apiserver.negotiation import JSON, PLAIN
from tiphys.observe import metrics
from tiphys.wire.messages import Response

MAJOR, MINOR, KUBERNETES = "1", "36", "v1.36.2"
_ALWAYS = ("ping", "log", "etcd")
# Readiness asks for more: a server that is going down stays alive until its last answer.
_READY = ("ping", "log", "etcd", "etcd-readiness", "informer-sync", "shutdown")
_PATHS: Mapping[str, Sequence[str]] = {"healthz": _ALWAYS, "livez": _ALWAYS, "readyz": _READY}

Check = Callable[[], bool]


class Health:
    """`checks` answer whether something is well; a name that nobody checks is always well."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks

    async def page(self, call: Call) -> Response | None:
        _, root, *rest = call.path.split("/", 2)
        names = _PATHS.get(root)
        if names is None:
            return None
        if call.request.method not in ("GET", "HEAD"):
            pages.only_get(call)
        name = rest[0].rstrip("/") if rest else ""
        if not name:
            return self._all(call, root, names)
        if name not in names:
            return None
        if self._is_well(name):
            return pages.text("ok")
        return pages.text(f"internal server error: {name} is not well\n", 500)

    def _is_well(self, name: str) -> bool:
        check = self._checks.get(name)
        return check is None or check()

    def _all(self, call: Call, root: str, names: Sequence[str]) -> Response:
        excluded = set(call.query.get("exclude", ()))
        lines, failed = [], []
        for name in names:
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
            elif self._is_well(name):
                lines.append(f"[+]{name} ok")
            else:
                failed.append(name)
                lines.append(f"[-]{name} failed: reason withheld")
        unmatched = sorted(excluded - set(names))
        if unmatched:
            quoted = ",".join(f'"{name}"' for name in unmatched)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
        if failed:
            return pages.text("\n".join([*lines, f"{root} check failed", ""]), 500)
        if "verbose" not in call.query:
            return pages.text("ok")
        return pages.text("\n".join([*lines, f"{root} check passed", ""]))


def version() -> dict[str, str]:
    """Which Kubernetes API is spoken, and by whom: `v1.36.2+tiphys0.1.0`."""
    return {
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": str(int(MINOR) - 1),
        "gitVersion": f"{KUBERNETES}+tiphys{metadata.version('tiphys')}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"linux/{_architecture()}",
    }


def _architecture() -> str:
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


async def version_page(call: Call) -> Response | None:
    if call.path.rstrip("/") != "/version":
        return None
    pages.only_get(call)
    form = negotiation.negotiate(call.request.headers.get("accept", ""))
    if form is None or form.media_type != JSON:
        raise negotiation.not_acceptable(JSON)
    return answers.encoded(version(), form)


async def metrics_page(call: Call) -> Response | None:
    if call.path != "/metrics":
        return None
    pages.only_get(call)
    return Response(200, (("content-type", "text/plain; version=0.0.4; charset=utf-8"),), metrics.render())


async def paths_page(call: Call) -> Response | None:
    """`/`: every path that has a page."""
    if call.path != "/":
        return None
    if call.request.method not in ("GET", "HEAD"):
        raise errors.failure(405, "MethodNotAllowed", "only GET is allowed", details={})
    return answers.encoded({"paths": served_paths()}, PLAIN)


def served_paths() -> list[str]:
    groups = pages.groups_of(resources.builtin())
    api = ["/.well-known/openid-configuration", "/api", "/apis", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks"]
    versions = [listed[0].root for group in groups.values() for listed in group.values()]
    health = [f"/{root}/{name}".rstrip("/") for root, names in _PATHS.items() for name in ("", *names)]
    own = ["/metrics", "/version"]
    return sorted({*api, *(f"/apis/{group}" for group in groups if group), *versions, *health, *own})

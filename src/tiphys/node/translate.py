"""
From a Pod to what the runtime is told, and back from the runtime's labels to which pod a container belongs to.

The one file that speaks both languages. Pure but for subPath mounts, which are resolved by the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.network.door import Lease, PortForward
from tiphys.node import limits
from tiphys.node.environment import ConfigError, Sources, environment, expand
from tiphys.node.files import PodFiles, domain_of, hostname_of
from tiphys.node.pod import spec
from tiphys.node.pod.facts import Run
from tiphys.node.security import security_of, sysctls_of, verify_non_root
from tiphys.node.settings import NodeSettings
from tiphys.node.volumes import image as image_volumes
from tiphys.node.volumes import subpath
from tiphys.runtime import names
from tiphys.runtime.door import ContainerSpec, ContainerStatus, Device, Image, Mount, RuntimeFailure, SandboxSpec

Pod = Mapping[str, Any]
Container = Mapping[str, Any]

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
ATTEMPT = "io.kubernetes.container.restartCount"
HASH = "io.kubernetes.container.hash"
IMAGE = "io.kubernetes.container.image"
IMAGE_ID = "io.kubernetes.container.imageID"

KERNEL_NAME_MAX = 64
TERMINATION_LOG = "/dev/termination-log"
_API_DATA = ("configMap", "secret", "downwardAPI", "projected")
_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}


@dataclass(frozen=True, slots=True)
class Place:
    """
    What a run is made from beside its pod: where each volume lies, what environments refer to, the log file, and the
    memory of the machine (for the order in which the kernel kills).
    """

    settings: NodeSettings
    volumes: Mapping[str, str]
    sources: Sources
    log_path: str
    memory_capacity: int


def sandbox_id(pod: Pod) -> str:
    """A pod has one sandbox at a time."""
    return str(pod["metadata"]["uid"])


def sandbox_spec(pod: Pod, lease: Lease | None, settings: NodeSettings) -> SandboxSpec:
    """`lease` is None for pods in the host's network. RuntimeFailure for a name that the kernel cannot hold."""
    return SandboxSpec(
        id=sandbox_id(pod),
        hostname=kernel_name(pod, settings),
        cgroup=limits.cgroup_of(pod),
        netns=lease.path if lease is not None else "",
        host_ipc=bool(pod["spec"].get("hostIPC")),
        host_pid=bool(pod["spec"].get("hostPID")),
        share_pid=bool(pod["spec"].get("shareProcessNamespace")),
        own_users=pod["spec"].get("hostUsers") is False,
        resources=limits.pod_resources(pod, settings.pod_pids_limit),
        sysctls=sysctls_of(pod),
        labels=pod_labels(pod),
    )


def kernel_name(pod: Pod, settings: NodeSettings) -> str:
    """What the kernel knows the pod by, with its domain where the pod wants that. RuntimeFailure if it is too long."""
    host, domain = hostname_of(pod, settings.node_name), domain_of(pod, settings.cluster_domain)
    if not (pod["spec"].get("setHostnameAsFQDN") and domain) or pod["spec"].get("hostNetwork"):
        return host
    full = f"{host}.{domain}"
    if len(full) > KERNEL_NAME_MAX:
        raise RuntimeFailure(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long "
            f"({KERNEL_NAME_MAX} characters is the max, {len(full)} characters requested)"
        )
    return full


def pod_labels(pod: Pod) -> dict[str, str]:
    meta = pod["metadata"]
    return {POD_NAME: meta["name"], POD_NAMESPACE: meta["namespace"], POD_UID: meta["uid"]}


def port_forwards(pod: Pod) -> list[PortForward]:
    """The host ports of the pod's containers."""
    if pod["spec"].get("hostNetwork"):
        return []
    return [
        PortForward(port.get("hostIP") or "", port["hostPort"], port.get("protocol") or "TCP", port["containerPort"])
        for container in spec.all_containers(pod)
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]


def container_spec(pod: Pod, container: Container, attempt: int, image: Image, place: Place) -> ContainerSpec:
    """One run. ConfigError when something that it refers to is missing, VolumeProblem for a bad subPath."""
    security = security_of(pod, container, place.settings.data_dir / "seccomp")
    verify_non_root(pod, container, security, image)
    env = environment(pod, container, place.sources)
    return ContainerSpec(
        id=spec.run_id(pod["metadata"]["uid"], container["name"], attempt),
        sandbox=sandbox_id(pod),
        name=container["name"],
        image=image.id,
        log_path=place.log_path,
        command=tuple(expand(text, env) for text in container.get("command") or ()),
        args=tuple(expand(text, env) for text in container.get("args") or ()),
        env=[("HOSTNAME", kernel_name(pod, place.settings)), *env.items()],
        working_dir=container.get("workingDir") or "",
        mounts=mounts_of(pod, container, attempt, env, place),
        devices=block_devices(pod, container, place),
        resources=limits.container_resources(container, place.settings.pod_pids_limit),
        security=security,
        tty=bool(container.get("tty")),
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        oom_score_adj=limits.oom_score_adj(pod, container, place.memory_capacity),
        stop_signal=(container.get("lifecycle") or {}).get("stopSignal") or "",
        labels=container_labels(pod, container, attempt, image),
    )


def container_labels(pod: Pod, container: Container, attempt: int, image: Image) -> dict[str, str]:
    """What a run can be recognized by after a crash, and what its status says of its image."""
    return {
        **pod_labels(pod),
        CONTAINER_NAME: container["name"],
        ATTEMPT: str(attempt),
        HASH: spec.spec_hash(container),
        IMAGE: image_name(container, image),
        IMAGE_ID: image_digest(container, image),
    }


def image_digest(container: Container, image: Image) -> str:
    """The image by its digest: in the repository that the user named, if the image is known by that, or in another."""
    if not names.image_id(container["image"]):
        wanted = names.parse(container["image"]).repository
        for digest in image.digests:
            if digest.startswith(f"{wanted}@"):
                return digest
    return image.digests[0] if image.digests else image.id


def image_name(container: Container, image: Image) -> str:
    """The full name that the user meant, if the image goes by it; an image named by id or digest has another."""
    if names.image_id(container["image"]):
        return image.names[0] if image.names else str(container["image"])
    full = str(names.parse(container["image"]))
    return full if full in image.names else str(container["image"])


def run_of(status: ContainerStatus) -> Run:
    """The runtime's account of a container as a run of ours."""
    labels = status.labels
    return Run(
        id=status.id,
        attempt=int(labels.get(ATTEMPT, "0")),
        state=status.state,
        hash=labels.get(HASH, ""),
        image=labels.get(IMAGE, ""),
        image_id=labels.get(IMAGE_ID) or status.image_id,
        started_at=status.started_at,
        finished_at=status.finished_at,
        exit_code=status.exit_code,
        signal=status.signal,
        oom_killed=status.oom_killed,
        user=status.user,
    )


# mounts


def mounts_of(pod: Pod, container: Container, attempt: int, env: Mapping[str, str], place: Place) -> Sequence[Mount]:
    """The container's volumes and the files that the node gives every container."""
    own = [
        _volume_mount(pod, container, index, env, place) for index in range(len(container.get("volumeMounts") or ()))
    ]
    taken = {mount.destination.rstrip("/") for mount in own}
    files = PodFiles(pod, place.settings)
    given = [("/etc/hosts", files.hosts), ("/etc/hostname", files.hostname), ("/etc/resolv.conf", files.resolv_conf)]
    message_path = container.get("terminationMessagePath") or TERMINATION_LOG
    given.append((message_path, files.make_termination_log(container["name"], attempt)))
    # A parent must be mounted before what lies in it.
    own.sort(key=lambda mount: mount.destination.rstrip("/").count("/"))
    return [*own, *(Mount(str(source), target) for target, source in given if target not in taken)]


def _volume_mount(pod: Pod, container: Container, index: int, env: Mapping[str, str], place: Place) -> Mount:
    mount = container["volumeMounts"][index]
    source = place.volumes.get(mount["name"])
    if source is None:
        raise ConfigError(f'volume "{mount["name"]}" of container "{container["name"]}" is not there')
    part = mount.get("subPath") or ""
    if mount.get("subPathExpr"):
        part = expand(mount["subPathExpr"], env)
    if part:
        root = place.settings.pods_dir / pod["metadata"]["uid"] / "volume-subpaths"
        source = subpath.prepare(source, part, root / mount["name"] / container["name"] / str(index))
    read_only = bool(mount.get("readOnly"))
    is_image = any(volume["name"] == mount["name"] for volume in image_volumes.mounted_by(pod, container))
    return Mount(
        source=source,
        destination=mount["mountPath"],
        read_only=read_only or is_image or _holds_api_data(pod, mount["name"]) or _is_read_only(pod, mount["name"]),
        options=image_volumes.MOUNT_OPTIONS if is_image else (),
        recursive_read_only=read_only and mount.get("recursiveReadOnly") in ("Enabled", "IfPossible"),
        propagation=_PROPAGATION.get(mount.get("mountPropagation") or "", "rprivate"),
    )


def _holds_api_data(pod: Pod, name: str) -> bool:
    """Files that the node keeps like API objects are nobody else's to write, whatever the mount says."""
    volumes = pod["spec"].get("volumes") or ()
    return any(volume["name"] == name and any(volume.get(kind) for kind in _API_DATA) for volume in volumes)


def _is_read_only(pod: Pod, name: str) -> bool:
    """Whether the pod wants a claim for reading alone, whatever its mounts say."""
    claims = [v.get("persistentVolumeClaim") or {} for v in pod["spec"].get("volumes") or () if v["name"] == name]
    return any(claim.get("readOnly") for claim in claims)


def block_devices(pod: Pod, container: Container, place: Place) -> Sequence[Device]:
    """The volumes that the container uses as disks."""
    devices = []
    for use in container.get("volumeDevices") or ():
        source = place.volumes.get(use["name"])
        if source is None:
            raise ConfigError(f'volume "{use["name"]}" of container "{container["name"]}" is not there')
        devices.append(Device(source, use["devicePath"], "r" if _is_read_only(pod, use["name"]) else "rwm"))
    return devices

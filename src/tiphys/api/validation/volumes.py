"""The volumes of a pod: each has one type, and each type its own rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.claims import claim_template_errors
from tiphys.api.validation.environment import FILE_FIELDS, field_reference_errors, resource_reference_errors
from tiphys.api.validation.fields import FieldError, duplicate, forbidden, invalid, not_supported, required
from tiphys.api.validation.metadata import annotation_errors, label_errors
from tiphys.api.validation.values import (
    choice_errors,
    descending_path,
    local_path,
    mode_errors,
    name_errors,
    no_backsteps,
    option_errors,
)

Source = Mapping[str, Any]

_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_TOKEN_SECONDS_MIN, _TOKEN_SECONDS_MAX = 600, 1 << 32


def volume_list_errors(
    volumes: Sequence[Source], path: str, pod_name: str
) -> tuple[list[FieldError], dict[str, Source]]:
    """What is wrong with volumes, and the valid ones by name: mounts may only refer to those."""
    errors: list[FieldError] = []
    valid: dict[str, Source] = {}
    for index, volume in enumerate(volumes):
        where, name = f"{path}[{index}]", volume.get("name")
        own = _source_errors(volume, where)
        if not name:
            own.append(required(f"{where}.name"))
        else:
            own += name_errors(name, f"{where}.name", names.dns_label)
        if name and name in valid:
            own.append(duplicate(f"{where}.name", name))
        if own:
            errors += own
        elif name:
            valid[name] = volume
        if "persistentVolumeClaim" in volume and pod_name:
            errors += _created_claim_errors(volume, volumes, where, pod_name)
    return errors, valid


def _created_claim_errors(volume: Source, volumes: Sequence[Source], path: str, pod_name: str) -> list[FieldError]:
    claim = volume["persistentVolumeClaim"].get("claimName")
    created = {f"{pod_name}-{each.get('name', '')}" for each in volumes if "ephemeral" in each}
    if claim not in created:
        return []
    text = "must not reference a PVC that gets created for an ephemeral volume"
    return [invalid(f"{path}.persistentVolumeClaim.claimName", claim, text)]


def _source_errors(volume: Source, path: str) -> list[FieldError]:
    kinds = (
        [kind for kind in _TYPES if kind in volume] if len(volume) > 2 else [kind for kind in volume if kind != "name"]
    )
    if not kinds:
        return [required(path, "must specify a volume type")]
    errors = _TYPES[kinds[0]](volume[kinds[0]], f"{path}.{kinds[0]}") if kinds[0] in _TYPES else []
    return errors + [forbidden(f"{path}.{kind}", "may not specify more than 1 volume type") for kind in kinds[1:]]


def _needs(*fields: str) -> Callable[[Source, str], list[FieldError]]:
    """A type of which these fields must be said."""

    def check(source: Source, path: str) -> list[FieldError]:
        return [required(f"{path}.{name}") for name in fields if not source.get(name)]

    return check


def _empty_dir(source: Source, path: str) -> list[FieldError]:
    if source.get("sizeLimit", "0").startswith("-"):
        return [forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
    return []


def _host_path(source: Source, path: str) -> list[FieldError]:
    target = source.get("path")
    if not target:
        return [required(f"{path}.path")]
    errors = no_backsteps(target, f"{path}.path")
    return errors + option_errors(source.get("type"), f"{path}.type", _HOST_PATH_TYPES)


def _git_repo(source: Source, path: str) -> list[FieldError]:
    errors = [] if source.get("repository") else [required(f"{path}.repository")]
    return errors + descending_path(source.get("directory", ""), f"{path}.directory")


def _disk(field: str) -> Callable[[Source, str], list[FieldError]]:
    """A disk of a cloud, whole or a partition of it."""

    def check(source: Source, path: str) -> list[FieldError]:
        errors = [] if source.get(field) else [required(f"{path}.{field}")]
        partition = source.get("partition", 0)
        if not 0 <= partition <= 255:
            errors.append(invalid(f"{path}.partition", partition, names.between(0, 255)))
        return errors

    return check


def _secret(source: Source, path: str) -> list[FieldError]:
    errors = [] if source.get("secretName") else [required(f"{path}.secretName")]
    return errors + _items(source, path)


def _config_map(source: Source, path: str) -> list[FieldError]:
    errors = [] if source.get("name") else [required(f"{path}.name")]
    return errors + _items(source, path)


def _items(source: Source, path: str) -> list[FieldError]:
    errors = mode_errors(source.get("defaultMode"), f"{path}.defaultMode")
    for index, item in enumerate(source.get("items") or ()):
        errors += _item_errors(item, f"{path}.items[{index}]")
    return errors


def _item_errors(item: Source, path: str) -> list[FieldError]:
    errors = [required(f"{path}.{name}") for name in ("key", "path") if not item.get(name)]
    errors += local_path(item.get("path", ""), f"{path}.path")
    return errors + mode_errors(item.get("mode"), f"{path}.mode")


def _nfs(source: Source, path: str) -> list[FieldError]:
    errors = _needs("server", "path")(source, path)
    target = source.get("path", "")
    if not target.startswith("/"):
        errors.append(invalid(f"{path}.path", target, "must be an absolute path"))
    return errors


def _iscsi(source: Source, path: str) -> list[FieldError]:
    errors = _needs("targetPortal", "iqn")(source, path)
    name = source.get("iqn", "")
    if name and not name.startswith(("iqn", "eui", "naa")):
        errors.append(invalid(f"{path}.iqn", name, "must be valid format starting with iqn, eui, or naa"))
    if not 0 <= source.get("lun", 0) <= 255:
        errors.append(invalid(f"{path}.lun", source["lun"], names.between(0, 255)))
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and "secretRef" not in source:
        errors.append(required(f"{path}.secretRef"))
    return errors


def _fc(source: Source, path: str) -> list[FieldError]:
    targets, identifiers = source.get("targetWWNs") or (), source.get("wwids") or ()
    errors: list[FieldError] = []
    if not targets and not identifiers:
        errors.append(required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both"))
    if targets and identifiers:
        text = "targetWWNs and wwids can not be specified simultaneously"
        errors.append(invalid(f"{path}.targetWWNs", list(targets), text))
    if targets and "lun" not in source:
        errors.append(required(f"{path}.lun", "lun is required if targetWWNs is specified"))
    elif targets and not 0 <= source["lun"] <= 255:
        errors.append(invalid(f"{path}.lun", source["lun"], names.between(0, 255)))
    return errors


def _downward(source: Source, path: str) -> list[FieldError]:
    errors = mode_errors(source.get("defaultMode"), f"{path}.defaultMode")
    for index, item in enumerate(source.get("items") or ()):
        errors += _downward_item_errors(item, f"{path}.items[{index}]")
    return errors


def _downward_item_errors(item: Source, path: str) -> list[FieldError]:
    errors = [] if item.get("path") else [required(f"{path}.path")]
    errors += local_path(item.get("path", ""), f"{path}.path")
    if "fieldRef" in item:
        errors += field_reference_errors(item["fieldRef"], f"{path}.fieldRef", FILE_FIELDS)
        if "resourceFieldRef" in item:
            text = "fieldRef and resourceFieldRef can not be specified simultaneously"
            errors.append(invalid(path, "resource", text))
    elif "resourceFieldRef" in item:
        errors += resource_reference_errors(item["resourceFieldRef"], f"{path}.resourceFieldRef", is_file=True)
    else:
        errors.append(required(path, "one of fieldRef and resourceFieldRef is required"))
    return errors + mode_errors(item.get("mode"), f"{path}.mode")


def _projected(source: Source, path: str) -> list[FieldError]:
    errors = mode_errors(source.get("defaultMode"), f"{path}.defaultMode")
    taken: set[str] = set()
    for index, projection in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{index}]"
        kinds = [kind for kind in _PROJECTIONS if kind in projection]
        for position, kind in enumerate(kinds):
            if position:
                errors.append(forbidden(f"{where}.{kind}", "may not specify more than 1 volume type"))
                continue
            errors += _PROJECTIONS[kind](projection[kind], f"{where}.{kind}")
            errors += _conflict_errors(projection[kind], path, taken)
    return errors


def _conflict_errors(projection: Source, path: str, taken: set[str]) -> list[FieldError]:
    """Two files that would be written to one place."""
    items = projection.get("items") or ()
    paths = [item["path"] for item in items if item.get("path")] if items else [projection.get("path", "")]
    shown = projection.get("name", projection if items and "name" not in projection else "")
    errors = []
    for each in paths:
        if each and each in taken:
            errors.append(invalid(path, shown, f"conflicting duplicate paths: {each}"))
        taken.add(each)
    return errors


def _token(source: Source, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seconds = source.get("expirationSeconds", _TOKEN_SECONDS_MIN)
    if seconds < _TOKEN_SECONDS_MIN:
        text = "may not specify a duration less than 10 minutes"
        errors.append(invalid(f"{path}.expirationSeconds", seconds, text))
    elif seconds > _TOKEN_SECONDS_MAX:
        text = "may not specify a duration larger than 2^32 seconds"
        errors.append(invalid(f"{path}.expirationSeconds", seconds, text))
    target = source.get("path")
    return errors + (local_path(target, f"{path}.path") if target else [required(f"{path}.path")])


def _trust_bundle(source: Source, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if source.get("name") and source.get("signerName"):
        text = "only one of name and signerName may be used"
        errors.append(invalid(path, "", text))
    elif not source.get("name") and not source.get("signerName"):
        errors.append(required(path, "either name or signerName must be specified"))
    target = source.get("path")
    return errors + (local_path(target, f"{path}.path") if target else [required(f"{path}.path")])


def _pod_certificate(source: Source, path: str) -> list[FieldError]:
    errors = _needs("signerName")(source, path)
    kinds = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
    errors += choice_errors(source.get("keyType"), f"{path}.keyType", kinds, is_set=False)
    for name in ("credentialBundlePath", "keyPath", "certificateChainPath"):
        if source.get(name):
            errors += local_path(source[name], f"{path}.{name}")
    return errors


def _azure_disk(source: Source, path: str) -> list[FieldError]:
    errors = _needs("diskName", "diskURI")(source, path)
    caching, kind = source.get("cachingMode"), source.get("kind")
    errors += option_errors(caching, f"{path}.cachingMode", ("None", "ReadOnly", "ReadWrite"))
    return errors + option_errors(kind, f"{path}.kind", ("Dedicated", "Managed", "Shared"))


def _scale_io(source: Source, path: str) -> list[FieldError]:
    errors = _needs("gateway", "system", "volumeName")(source, path)
    if not (source.get("secretRef") or {}).get("name"):
        errors.append(required(f"{path}.secretRef.name"))
    return errors


def _csi(source: Source, path: str) -> list[FieldError]:
    driver = source.get("driver", "")
    if not driver:
        errors = [required(f"{path}.driver")]
    else:
        errors = name_errors(driver.lower(), f"{path}.driver", names.dns_subdomain)
    if "nodePublishSecretRef" in source and not source["nodePublishSecretRef"].get("name"):
        errors.append(required(f"{path}.nodePublishSecretRef.name"))
    return errors


def _ephemeral(source: Source, path: str) -> list[FieldError]:
    template = source.get("volumeClaimTemplate")
    if template is None:
        return [required(f"{path}.volumeClaimTemplate")]
    where, metadata = f"{path}.volumeClaimTemplate", template.get("metadata") or {}
    errors = [
        forbidden(f"{where}.metadata.{name}", "cannot be set for an ephemeral volume")
        for name in metadata.keys() - {"labels", "annotations", "creationTimestamp"}
    ]
    errors += label_errors(metadata.get("labels") or {}, f"{where}.metadata.labels")
    errors += annotation_errors(metadata.get("annotations") or {}, f"{where}.metadata.annotations")
    return errors + claim_template_errors(template.get("spec") or {}, f"{where}.spec")


def _image(source: Source, path: str) -> list[FieldError]:
    errors = [] if source.get("reference") else [required(f"{path}.reference")]
    policy = source.get("pullPolicy")
    allowed = ("Always", "IfNotPresent", "Never")
    return errors + ([not_supported(f"{path}.pullPolicy", policy, allowed)] if policy not in allowed else [])


_PROJECTIONS: Mapping[str, Callable[[Source, str], list[FieldError]]] = {
    "secret": _config_map,
    "configMap": _config_map,
    "downwardAPI": _downward,
    "serviceAccountToken": _token,
    "clusterTrustBundle": _trust_bundle,
    "podCertificate": _pod_certificate,
}
# In the order in which Kubernetes looks for them: the first one found is the volume's type.
_TYPES: Mapping[str, Callable[[Source, str], list[FieldError]]] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "gitRepo": _git_repo,
    "gcePersistentDisk": _disk("pdName"),
    "awsElasticBlockStore": _disk("volumeID"),
    "secret": _secret,
    "nfs": _nfs,
    "iscsi": _iscsi,
    "glusterfs": _needs("endpoints", "path"),
    "flocker": _needs(),
    "persistentVolumeClaim": _needs("claimName"),
    "rbd": _needs("monitors", "image"),
    "cinder": _needs("volumeID"),
    "cephfs": _needs("monitors"),
    "quobyte": _needs("registry", "volume"),
    "downwardAPI": _downward,
    "fc": _fc,
    "configMap": _config_map,
    "azureFile": _needs("secretName", "shareName"),
    "flexVolume": _needs("driver"),
    "vsphereVolume": _needs("volumePath"),
    "photonPersistentDisk": _needs("pdID"),
    "portworxVolume": _needs("volumeID"),
    "azureDisk": _azure_disk,
    "storageos": _needs("volumeName"),
    "projected": _projected,
    "scaleIO": _scale_io,
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
}

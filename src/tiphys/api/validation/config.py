"""Are ConfigMaps and Secrets valid."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from tiphys.api import json_reader
from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, forbidden, invalid, required, too_long
from tiphys.api.validation.validator import Object, Validator

SIZE_MAX = 1024 * 1024
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_LOCKED = "field is immutable when `immutable` is set"
# The keys that a type of Secret cannot do without.
_REQUIRED_KEYS = {"kubernetes.io/tls": ("tls.crt", "tls.key")}
_JSON_KEYS = {"kubernetes.io/dockercfg": ".dockercfg", "kubernetes.io/dockerconfigjson": ".dockerconfigjson"}


def config_map(obj: Object) -> list[FieldError]:
    """Keys that can be file names, none in both maps, and no more than a megabyte."""
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    errors: list[FieldError] = []
    size = 0
    for key, value in data.items():
        errors += [invalid(f"data[{key}]", key, text) for text in names.config_key(key)]
        if key in binary:
            errors.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        size += len(value)
    if size > SIZE_MAX // 4:  # a character has four bytes at most: only then count them
        size = sum(len(value.encode()) for value in data.values())
    for key, value in binary.items():
        errors += [invalid(f"binaryData[{key}]", key, text) for text in names.config_key(key)]
        size += _decoded_size(value)
    if size > SIZE_MAX:
        errors.append(too_long("", SIZE_MAX))
    return errors


def _decoded_size(value: str) -> int:
    return len(value) // 4 * 3 - value[-2:].count("=")


def config_map_update(new: Object, old: Object) -> list[FieldError]:
    errors = _locked_errors(new, old, "data", "binaryData") if old.get("immutable") else []
    return errors + config_map(new)


def _locked_errors(new: Object, old: Object, *fields: str) -> list[FieldError]:
    errors = [] if new.get("immutable") else [forbidden("immutable", _LOCKED)]
    return errors + [forbidden(name, _LOCKED) for name in fields if (new.get(name) or {}) != (old.get(name) or {})]


def secret(obj: Object) -> list[FieldError]:
    """Keys and size, and the keys that the type asks for."""
    data: Mapping[str, str] = obj.get("data") or {}
    errors: list[FieldError] = []
    size = 0
    for key, value in data.items():
        errors += [invalid(f"data[{key}]", key, text) for text in names.config_key(key)]
        size += _decoded_size(value or "")
    if size > SIZE_MAX:
        errors.append(too_long("data", SIZE_MAX))
    return errors + _type_errors(obj.get("type", ""), data, obj["metadata"].get("annotations") or {})


def _type_errors(kind: str, data: Mapping[str, str], annotations: Mapping[str, str]) -> list[FieldError]:
    if kind == "kubernetes.io/service-account-token" and not annotations.get(SERVICE_ACCOUNT_NAME):
        return [required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]")]
    if kind in _JSON_KEYS:
        return _json_errors(data, _JSON_KEYS[kind])
    if kind == "kubernetes.io/basic-auth" and "username" not in data and "password" not in data:
        return [required("data[username]"), required("data[password]")]
    if kind == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
        return [required("data[ssh-privatekey]")]
    return [required(f"data[{key}]") for key in _REQUIRED_KEYS.get(kind, ()) if key not in data]


def _json_errors(data: Mapping[str, str], key: str) -> list[FieldError]:
    if key not in data:
        return [required(f"data[{key}]")]
    try:
        found = json_reader.read(base64.b64decode(data[key]))
    except json_reader.JSONError as error:
        return [invalid(f"data[{key}]", "<secret contents redacted>", str(error))]
    if found is not None and not isinstance(found, dict):
        kind = {str: "string", list: "array", bool: "bool"}.get(type(found), "number")
        text = f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        return [invalid(f"data[{key}]", "<secret contents redacted>", text)]
    return []


def secret_update(new: Object, old: Object) -> list[FieldError]:
    """The type stays, and all of it once it is immutable."""
    errors = []
    if new.get("type") != old.get("type"):
        errors.append(invalid("type", new.get("type", ""), "field is immutable"))
    if old.get("immutable"):
        errors += _locked_errors(new, old, "data")
    return errors + secret(new)


VALIDATORS = {
    ("", "configmaps"): Validator(config_map, config_map_update),
    ("", "secrets"): Validator(secret, secret_update),
}

"""RuntimeClass: the class must be there; its overhead and its scheduling rules become the pod's."""

from __future__ import annotations

from tiphys.apiserver.admission.chain import CREATE, Plugin, forbidden, on
from tiphys.apiserver.authz.attributes import quoted
from tiphys.apiserver.call import Attributes, Object, Reader

GROUP = "node.k8s.io"


def plugin(reader: Reader) -> Plugin:
    """Pods at creation."""

    def mutate(attributes: Attributes) -> None:
        pod = attributes.object
        if pod is None:
            return
        name = pod["spec"].get("runtimeClassName")
        if name:
            _take(attributes, pod, _class(reader, attributes, name))

    def validate(attributes: Attributes) -> None:
        pod = attributes.object
        if pod is None or not pod["spec"].get("overhead"):
            return
        name = pod["spec"].get("runtimeClassName")
        if not name or not (_class(reader, attributes, name).get("overhead") or {}).get("podFixed"):
            why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            raise forbidden(attributes, why)

    return Plugin("RuntimeClass", on((CREATE,), ("", "pods")), mutate, validate)


def _class(reader: Reader, attributes: Attributes, name: str) -> Object:
    found = reader.get(GROUP, "runtimeclasses", "", name)
    if found is None:
        raise forbidden(attributes, f"pod rejected: RuntimeClass {quoted(name)} not found")
    return found


def _take(attributes: Attributes, pod: Object, runtime_class: Object) -> None:
    spec = pod["spec"]
    fixed = (runtime_class.get("overhead") or {}).get("podFixed")
    if fixed:
        if spec.get("overhead") and spec["overhead"] != fixed:
            why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
            raise forbidden(attributes, why)
        spec["overhead"] = dict(fixed)
    scheduling = runtime_class.get("scheduling") or {}
    selector = scheduling.get("nodeSelector") or {}
    present = spec.get("nodeSelector") or {}
    for label, value in selector.items():
        if present.get(label, value) != value:
            why = f"conflict: runtimeClass.scheduling.nodeSelector[{label}] = {value};"
            raise forbidden(attributes, f"{why} pod.spec.nodeSelector[{label}] = {present[label]}")
    if selector:
        spec["nodeSelector"] = {**present, **selector}
    tolerations = scheduling.get("tolerations") or []
    if tolerations:
        there = spec.get("tolerations") or []
        spec["tolerations"] = [*there, *(dict(each) for each in tolerations if each not in there)]

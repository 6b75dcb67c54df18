"""DefaultIngressClass: an Ingress that names no class gets the one that is marked as default."""

from __future__ import annotations

from tiphys.apiserver.admission.chain import CREATE, Plugin, on
from tiphys.apiserver.call import Attributes, Object, Reader

GROUP = "networking.k8s.io"
DEFAULT_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"
CLASS_ANNOTATION = "kubernetes.io/ingress.class"


def plugin(reader: Reader) -> Plugin:
    """Ingresses at creation; the newest of several default classes."""

    def mutate(attributes: Attributes) -> None:
        ingress = attributes.object
        if ingress is None or (ingress.get("spec") or {}).get("ingressClassName") is not None:
            return
        if CLASS_ANNOTATION in (ingress["metadata"].get("annotations") or {}):
            return
        marked = [each for each in reader.list(GROUP, "ingressclasses") if _is_default(each)]
        marked.sort(key=lambda each: each["metadata"]["name"])
        if marked:
            newest = max(marked, key=lambda each: each["metadata"].get("creationTimestamp", ""))
            ingress.setdefault("spec", {})["ingressClassName"] = newest["metadata"]["name"]

    return Plugin("DefaultIngressClass", on((CREATE,), (GROUP, "ingresses")), mutate)


def _is_default(ingress_class: Object) -> bool:
    return (ingress_class["metadata"].get("annotations") or {}).get(DEFAULT_ANNOTATION) == "true"

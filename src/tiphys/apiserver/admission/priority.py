"""Priority: a pod's number comes from its PriorityClass, never from who writes the pod; one class at most is global."""

from __future__ import annotations

from tiphys.apiserver.admission.chain import CREATE, UPDATE, Plugin, forbidden, on
from tiphys.apiserver.call import Attributes, Object, Reader

GROUP = "scheduling.k8s.io"
PREEMPT = "PreemptLowerPriority"


def plugin(reader: Reader) -> Plugin:
    """Pods, and PriorityClasses that want to be the global default."""

    def mutate(attributes: Attributes) -> None:
        pod = attributes.object
        if pod is None or attributes.resource.group:
            return
        if attributes.operation == UPDATE:
            _keep(pod, attributes.old or {})
        else:
            _set(reader, attributes, pod)

    def validate(attributes: Attributes) -> None:
        wanted = attributes.object
        if attributes.resource.group != GROUP or wanted is None or not wanted.get("globalDefault"):
            return
        default = _global_default(reader)
        if default is not None and default["metadata"]["name"] != attributes.name:
            name = default["metadata"]["name"]
            why = f"PriorityClass {name} is already marked as default. Only one default can exist"
            raise forbidden(attributes, why)

    return Plugin("Priority", on((CREATE, UPDATE), ("", "pods"), (GROUP, "priorityclasses")), mutate, validate)


def _keep(pod: Object, old: Object) -> None:
    """An update that leaves the computed fields out keeps them."""
    before = old.get("spec") or {}
    for field in ("priority", "preemptionPolicy"):
        if pod["spec"].get(field) is None and before.get(field) is not None:
            pod["spec"][field] = before[field]


def _set(reader: Reader, attributes: Attributes, pod: Object) -> None:
    spec = pod["spec"]
    value, policy = 0, PREEMPT
    name = spec.get("priorityClassName", "")
    if not name:
        default = _global_default(reader)
        if default is not None:
            spec["priorityClassName"] = default["metadata"]["name"]
            value, policy = int(default.get("value", 0)), default.get("preemptionPolicy") or PREEMPT
    else:
        found = reader.get(GROUP, "priorityclasses", "", name)
        if found is None:
            raise forbidden(attributes, f"no PriorityClass with name {name} was found")
        value, policy = int(found.get("value", 0)), found.get("preemptionPolicy") or PREEMPT
    said = spec.get("priority")
    if said is not None and said != value:
        why = f"the integer value of priority ({said}) must not be provided in pod spec; priority admission controller"
        raise forbidden(attributes, f"{why} computed {value} from the given PriorityClass name")
    said_policy = spec.get("preemptionPolicy")
    if said_policy is not None and said_policy != policy:
        why = f"the string value of PreemptionPolicy ({said_policy}) must not be provided in pod spec; priority"
        raise forbidden(attributes, f"{why} admission controller computed {policy} from the given PriorityClass name")
    spec["priority"], spec["preemptionPolicy"] = value, policy


def _global_default(reader: Reader) -> Object | None:
    """The lowest one, should there ever be several."""
    marked = [each for each in reader.list(GROUP, "priorityclasses") if each.get("globalDefault")]
    return min(marked, key=lambda each: int(each.get("value", 0)), default=None)

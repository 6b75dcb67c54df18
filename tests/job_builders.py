"""Jobs for tests, and a world that performs their plans: `world.step()` until nothing is left to do."""

import copy
from itertools import count

from builders import EPOCH, reference
from tiphys.api.objects import parse_timestamp, timestamp
from tiphys.controllers.job.plan import plan
from tiphys.controllers.job.view import FINALIZER, view_of
from tiphys.reconcile.commands import Create, Delete, Patch, Requeue, Say, Update

NOW = parse_timestamp(EPOCH)


def job(status=None, *, name="work", **spec):
    meta = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "generation": 1}
    pod_spec = {"restartPolicy": spec.pop("restartPolicy", "Never"), "containers": [{"name": "c", "image": "i"}]}
    template = {"metadata": {"labels": {"job": name}}, "spec": pod_spec}
    defaults = {"completionMode": "NonIndexed", "parallelism": 1, "backoffLimit": 6, "suspend": False}
    full = {**defaults, "selector": {"matchLabels": {"job": name}}, "template": template, **spec}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": full, "status": status or {}}


def indexed(completions, status=None, **spec):
    spec = {"parallelism": completions, "completions": completions, "completionMode": "Indexed", **spec}
    return job(status, **spec)


class World:
    """A Job and its pods, as the API would show them. `now` moves only when a test moves it."""

    def __init__(self, job):
        self.job, self.pods, self.now, self.events, self.created = job, {}, NOW, [], 0
        self._numbers = count()

    def plan(self):
        return plan(self.job, [view_of(pod) for pod in self.pods.values()], self.now)

    def step(self, at_most=10_000):
        """Perform one plan; dies after some of its commands. False when there was nothing to do but wait."""
        commands = [command for command in self.plan() if not isinstance(command, Requeue)]
        for command in commands[:at_most]:
            self._perform(command)
        return bool(commands)

    def settle(self):
        for _ in range(100):
            if not self.step():
                return self
        raise AssertionError(f"it never settles: {self.plan()}")

    def waits(self):
        """The seconds after which the plan asks to be made again."""
        return [command.seconds for command in self.plan() if isinstance(command, Requeue)]

    def _perform(self, command):
        match command:
            case Update(_, obj, "status"):
                self.job = copy.deepcopy(obj)
            case Create(_, obj):
                self._create(copy.deepcopy(obj))
            case Patch(_, (_, name), patch):
                assert patch["metadata"]["$deleteFromPrimitiveList/finalizers"] == [FINALIZER]
                self._change(name, lambda meta, _: meta.update(finalizers=[]))
            case Delete(_, (_, name)):
                self._change(name, lambda meta, _: meta.update(deletionTimestamp=timestamp(self.now)))
            case Say(_, _, reason, _):
                self.events.append(reason)

    def _create(self, pod):
        name = f"p{next(self._numbers)}"
        pod["metadata"] |= {"name": name, "uid": f"uid-{name}", "creationTimestamp": timestamp(self.now)}
        self.pods[name] = {**pod, "status": {"phase": "Pending"}}
        self.created += 1

    def _change(self, name, change):
        pod = copy.deepcopy(self.pods[name])
        change(pod["metadata"], pod["status"])
        self.pods[name] = pod

    def ends(self, name, phase="Succeeded", code=0, **status):
        """The node tells how a pod ended; one that nobody holds any more is gone."""
        ended = {"name": "c", "state": {"terminated": {"exitCode": code, "finishedAt": timestamp(self.now)}}}
        fields = {"phase": phase, "containerStatuses": [ended], **status}
        self._change(name, lambda _, held: held.update(fields))
        self.collect()

    def collect(self):
        """Deleted pods that have ended and that nobody holds go for good."""
        for name, pod in list(self.pods.items()):
            meta = pod["metadata"]
            if (
                "deletionTimestamp" in meta
                and not meta["finalizers"]
                and pod["status"]["phase"] in ("Succeeded", "Failed")
            ):
                del self.pods[name]

    def active(self):
        return [
            name
            for name, pod in self.pods.items()
            if pod["status"]["phase"] in ("Pending", "Running") and "deletionTimestamp" not in pod["metadata"]
        ]

    def delete(self, name):
        """Somebody deletes a pod."""
        self._change(name, lambda meta, _: meta.update(deletionTimestamp=timestamp(self.now)))

    def conditions(self):
        return {c["type"]: c["reason"] for c in self.job["status"].get("conditions", ()) if c["status"] == "True"}

    def numbers(self, *names):
        return tuple(self.job["status"].get(name) for name in names)


def owned_pod(owner, name, **labels):
    """A bare pod that a Job would have made."""
    meta = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "labels": labels, "creationTimestamp": EPOCH}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**meta, "ownerReferences": [reference(owner)]}, "spec": {}}

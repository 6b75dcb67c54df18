"""Whatever pods do and whenever templates change: sets keep their promises at each step, and come to rest."""

import random

import pytest

from builders import daemonset, node, statefulset
from tiphys.api.objects import is_deleting, name_of, parse_timestamp, timestamp
from tiphys.api.pods import is_ready
from tiphys.controllers.daemonset import plan as daemons
from tiphys.controllers.daemonset.nodes import node_of
from tiphys.controllers.statefulset import plan as statefuls
from tiphys.controllers.statefulset.identity import ordinal_of
from tiphys.reconcile.commands import Create, Delete, Requeue, Update

START = parse_timestamp("2027-01-15T08:00:00Z")
STEPS_MAX = 400
SEEDS = 12


class World:
    """What a plan sees; commands and pods change it. `check` is asked before and after each plan."""

    def __init__(self, owner, seed):
        self.owner, self.random = owner, random.Random(seed)
        self.pods, self.revisions, self.now, self.made = [], [], START, 0

    def perform(self, commands):
        for command in commands:
            kind = None if isinstance(command, Requeue) else getattr(command, "resource", None)
            if isinstance(command, Update) and command.subresource:
                self.owner = self.owner | {"status": command.object["status"]}
            elif kind is not None and kind.kind == "ControllerRevision":
                name = command.key[1] if isinstance(command, Delete) else name_of(command.object)
                kept = [] if isinstance(command, Delete) else [command.object]
                self.revisions = [one for one in self.revisions if name_of(one) != name] + kept
            elif isinstance(command, Create):
                self.create(command.object)
            elif isinstance(command, Delete):
                self.delete(command.key[1])

    def create(self, template):
        self.made += 1
        name = template["metadata"].get("name") or f"pod-{self.made}"
        assert name not in [name_of(pod) for pod in self.pods], f"two pods are called {name}"
        born = {"name": name, "uid": f"uid-{self.made}", "creationTimestamp": timestamp(self.now)}
        self.pods.append(template | {"metadata": template["metadata"] | born, "status": {"phase": "Pending"}})

    def delete(self, name):
        moment = {"deletionTimestamp": timestamp(self.now)}
        self.pods = [p | {"metadata": p["metadata"] | moment} if name_of(p) == name else p for p in self.pods]

    def live(self, *, breaks):
        """Some pod moves on: it starts, goes, or (where it may) breaks or is deleted by somebody."""
        self.now += 1.0
        if not self.pods:
            return
        pod = self.random.choice(self.pods)
        self.pods.remove(pod)
        if is_deleting(pod):
            return
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": timestamp(self.now)}
        status = pod["status"] if is_ready(pod) else {"phase": "Running", "conditions": [ready]}
        self.pods.append(pod | {"status": status})
        if breaks and self.random.random() < 0.1:
            self.pods[-1] = pod | {"status": {"phase": self.random.choice(["Failed", "Running"])}}
        elif breaks and self.random.random() < 0.1:
            self.delete(name_of(pod))

    def retemplate(self, image):
        template = self.owner["spec"]["template"]
        spec = {"containers": [{"name": "c", "image": image}]}
        meta = self.owner["metadata"] | {"generation": self.owner["metadata"]["generation"] + 1}
        self.owner |= {"metadata": meta, "spec": self.owner["spec"] | {"template": template | {"spec": spec}}}

    def image(self, pod):
        return pod["spec"]["containers"][0]["image"]


def settles(world, plan, image):
    """With nothing going wrong any more, the plan comes to rest with every pod new and ready."""
    for _ in range(STEPS_MAX):
        commands = plan(world)
        world.perform(commands)
        if not commands and all(is_ready(pod) and not is_deleting(pod) for pod in world.pods):
            assert {world.image(pod) for pod in world.pods} == {image}
            return
        world.live(breaks=False)
    raise AssertionError(f"it does not come to rest: {commands}, {world.owner['status']}")


def stateful(world):
    facts = statefuls.Facts(world.pods, world.revisions, {})
    commands = statefuls.plan(world.owner, facts, world.now)
    if world.owner["spec"]["podManagementPolicy"] == "OrderedReady":
        ready = {ordinal_of(world.owner, pod) for pod in world.pods if is_ready(pod) and not is_deleting(pod)}
        for made in (c.object for c in commands if isinstance(c, Create) and c.resource.kind == "Pod"):
            assert set(range(ordinal_of(world.owner, made))) <= ready, "a pod comes before those below it are ready"
    return commands


@pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])
@pytest.mark.parametrize("rolling", [{"partition": 0}, {"partition": 0, "maxUnavailable": 2}])
def test_stateful_sets_keep_their_order_and_come_to_rest(policy, rolling):
    for seed in range(SEEDS):
        strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
        world = World(statefulset(4, strategy=strategy, podManagementPolicy=policy), seed)
        for step in range(60):
            if step in (20, 40):
                world.retemplate(f"v{step}")
            world.perform(stateful(world))
            world.live(breaks=step < 55)
        settles(world, stateful, "v40")
        assert (
            len(world.pods) == 4 and world.owner["status"]["currentRevision"] == world.owner["status"]["updateRevision"]
        )


@pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])
@pytest.mark.parametrize(("rolling", "away"), [({}, 1), ({"maxUnavailable": 2}, 2)])
def test_stateful_sets_serve_while_they_roll(policy, rolling, away):
    for seed in range(SEEDS):
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, **rolling}}
        world = World(statefulset(4, strategy=strategy, podManagementPolicy=policy), seed)
        settles(world, stateful, "v1")
        world.retemplate("v2")
        for _ in range(100):
            world.perform(stateful(world))
            assert sum(is_ready(pod) and not is_deleting(pod) for pod in world.pods) >= 4 - away
            world.live(breaks=False)
        settles(world, stateful, "v2")


def daemon(world):
    return daemons.plan(world.owner, daemons.Facts(NODES, world.pods, world.revisions), world.now)


NODES = [node(f"n{number}") for number in range(5)]


@pytest.mark.parametrize(("unavailable", "surge"), [(1, 0), (2, 0), (0, 1), (0, 2)])
def test_daemon_sets_serve_while_they_roll_and_come_to_rest(unavailable, surge):
    for seed in range(SEEDS):
        world = World(daemonset(unavailable=unavailable, surge=surge), seed)
        settles(world, daemon, "v1")
        world.retemplate("v2")
        for _ in range(100):
            world.perform(daemon(world))
            serving = {node_of(pod) for pod in world.pods if is_ready(pod) and not is_deleting(pod)}
            assert len(serving) >= len(NODES) - unavailable, "more nodes are without a pod than may be"
            world.live(breaks=False)
        settles(world, daemon, "v2")
        assert sorted(node_of(pod) for pod in world.pods) == [name_of(each) for each in NODES]


def test_daemon_sets_survive_what_breaks():
    for seed in range(SEEDS):
        world = World(daemonset(), seed)
        for step in range(60):
            if step == 30:
                world.retemplate("v2")
            world.perform(daemon(world))
            world.live(breaks=True)
        settles(world, daemon, "v2")

"""A cluster for the scheduler's decisions: `Cluster(node("a")).place(pod("web", node=""))` gives a name or Refusal."""

from tiphys.scheduler.decide import Refusal, choose
from tiphys.scheduler.state import State


class Cluster:
    def __init__(self, *nodes):
        self.state = State()
        self.world = self.state.world
        for each in nodes:
            self.state.table.put(each)

    def choice(self, obj, tie_break=0.0):
        """A node's name, or the Refusal."""
        choice = choose(self.state, self.state.asks(obj), tie_break)
        return choice if isinstance(choice, Refusal) else self.state.table.objects[choice]["metadata"]["name"]

    def place(self, obj, tie_break=0.0):
        """The same, and the pod is counted there."""
        name = self.choice(obj, tie_break)
        if not isinstance(name, Refusal):
            self.state.ledger.place(obj, name)
        return name

    def put(self, obj, name):
        """The pod is there, as it was found."""
        self.state.ledger.place(obj, name)

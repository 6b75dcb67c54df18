"""When a finished Job goes."""

import pytest

from job_builders import NOW, job
from tiphys.api.objects import timestamp
from tiphys.controllers.ttlafterfinished.controller import TtlAfterFinishedController
from tiphys.controllers.ttlafterfinished.plan import plan
from tiphys.reconcile.commands import Delete, Requeue


def ended(kind="Complete", status="True", **spec):
    return job({"conditions": [{"type": kind, "status": status, "lastTransitionTime": timestamp(NOW)}]}, **spec)


@pytest.mark.parametrize("kind", ["Complete", "Failed"])
def test_it_goes_when_its_time_is_over(kind):
    done = ended(kind, ttlSecondsAfterFinished=30)
    assert plan(done, NOW + 10) == [Requeue(20.0)]
    (command,) = plan(done, NOW + 30)
    assert (type(command), command.uid, command.propagation) == (Delete, "uid-work", "Foreground")


def test_settled_means_no_commands():
    assert plan(ended(), NOW) == []
    assert plan(job(ttlSecondsAfterFinished=0), NOW) == []
    assert plan(ended(status="False", ttlSecondsAfterFinished=0), NOW) == []


async def test_a_job_gets_more_time_when_somebody_says_so(plane):
    await plane.start(TtlAfterFinishedController)
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    made = await plane.create("batch/v1", "Job", "work", spec={"ttlSecondsAfterFinished": 60, "template": template})
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": timestamp(plane.now())}
        for kind in ("SuccessCriteriaMet", "Complete")
    ]
    times = {"startTime": timestamp(plane.now()), "completionTime": timestamp(plane.now())}
    await plane.patch(made, {"status": {**times, "conditions": conditions}}, "status")
    await plane.patch(made, {"spec": {"ttlSecondsAfterFinished": 120}})
    begun = plane.now()

    async def leaves():
        held = await plane.get("Job", "work", version="batch/v1")
        return held is None or "deletionTimestamp" in held["metadata"]

    await plane.until(leaves, 200)
    assert 119 < plane.now() - begun < 123

"""Jobs against the real API server: pods come, end, are counted and let go."""

import pytest

from tiphys.api.errors import StatusError
from tiphys.api.objects import condition_of
from tiphys.controllers.garbage.controller import GarbageController
from tiphys.controllers.job.controller import JobController
from tiphys.controllers.job.view import FINALIZER


def template(**spec):
    return {"spec": {"restartPolicy": "Never", "nodeName": "n1", "containers": [{"name": "c", "image": "i"}], **spec}}


@pytest.fixture
async def shop(plane):
    await plane.start(JobController)
    return plane


async def make(shop, **spec):
    return await shop.create("batch/v1", "Job", "work", spec={"template": template(), **spec})


async def pods(shop, count):
    """That many pods that have not ended."""

    async def there():
        found = [pod for pod in await shop.list("Pod") if pod["status"].get("phase") not in ("Succeeded", "Failed")]
        return found if len(found) == count else None

    return await shop.until(there)


async def end(shop, *ended, phase="Succeeded"):
    for pod in ended:
        await shop.patch(pod, {"status": {"phase": phase}}, "status")


async def closed(shop, kind):
    async def ended():
        job = await shop.get("Job", "work", version="batch/v1")
        return job if condition_of(job, kind) else None

    return await shop.until(ended)


async def test_pods_are_counted_and_let_go(shop):
    await make(shop, completions=3, parallelism=2)
    await end(shop, *await pods(shop, 2))
    await end(shop, *await pods(shop, 1))
    status = (await closed(shop, "Complete"))["status"]
    assert (status["succeeded"], status["uncountedTerminatedPods"], status["ready"]) == (3, {}, 0)
    assert [FINALIZER in pod["metadata"].get("finalizers", []) for pod in await shop.list("Pod")] == [False] * 3
    assert await shop.reasons() == ["SuccessfulCreate"] * 3 + ["Completed"]


async def test_a_settled_job_is_not_written_again(shop):
    await make(shop, completions=2, parallelism=2, completionMode="Indexed", backoffLimitPerIndex=1)
    await pods(shop, 2)
    await shop.settled()
    before = (await shop.get("Job", "work", version="batch/v1"))["metadata"]["resourceVersion"]
    await shop.settled()
    assert (await shop.get("Job", "work", version="batch/v1"))["metadata"]["resourceVersion"] == before


async def test_a_refused_pod_is_told(shop):
    shop.no_new_pods = "no room"
    await make(shop)
    await shop.settled()
    assert "FailedCreate" in await shop.reasons()
    shop.no_new_pods = ""
    await end(shop, *await pods(shop, 1))
    await closed(shop, "Complete")


async def test_a_job_takes_over_the_pods_that_it_selects_and_leaves_others(shop):
    labels = {"mine": "yes"}
    orphan = await shop.create("v1", "Pod", "orphan", labels=labels, **template())
    spec = template() | {"metadata": {"labels": labels}}
    await make(shop, template=spec, manualSelector=True, selector={"matchLabels": labels}, parallelism=1)

    async def adopted():
        return FINALIZER in (await shop.get("Pod", "orphan"))["metadata"].get("finalizers", [])

    await shop.until(adopted)
    await shop.patch(orphan, {"metadata": {"labels": {"mine": None}}})
    await pods(shop, 2)
    assert not await adopted()
    assert "ownerReferences" not in (await shop.get("Pod", "orphan"))["metadata"]


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
async def test_a_deleted_jobs_pods_are_held_by_nobody(shop, propagation):
    await shop.start(GarbageController)
    shop.kubelet()
    job = await make(shop, parallelism=2)
    await pods(shop, 2)
    await shop.delete(job, propagation)

    async def gone():
        return not await shop.list("Pod") and not await shop.list("Job", "batch/v1")

    await shop.until(gone)


async def test_an_orphaned_pod_is_held_by_nobody(shop):
    await shop.start(GarbageController)
    job = await make(shop)
    await pods(shop, 1)
    await shop.delete(job, "Orphan")
    await shop.settled()
    (pod,) = await shop.list("Pod")
    assert "finalizers" not in pod["metadata"]
    assert "ownerReferences" not in pod["metadata"]


async def test_a_status_that_would_take_a_count_back_is_refused(shop):
    job = await make(shop, completions=2)
    await end(shop, *await pods(shop, 1))
    await pods(shop, 1)
    await shop.settled()
    with pytest.raises(StatusError, match="cannot decrease the succeeded counter"):
        await shop.patch(job, {"status": {"succeeded": 0}}, "status")

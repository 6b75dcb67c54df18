"""CronJobs against the real API server, minute by minute of a virtual clock."""

import pytest

from tiphys.api.objects import name_of, uid_of
from tiphys.controllers.cronjob.controller import CronJobController


@pytest.fixture
async def shop(plane):
    await plane.start(CronJobController)
    return plane


async def make(shop, **spec):
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    template = {"spec": {"template": {"spec": pod}}}
    return await shop.create("batch/v1", "CronJob", "tick", spec={"jobTemplate": template, **spec})


async def active(shop):
    """The CronJob's status, once it tells of a Job that runs."""

    async def told():
        status = (await shop.get("CronJob", "tick", version="batch/v1")).get("status", {})
        return status if status.get("active") else None

    return await shop.until(told, 70)


async def test_a_start_that_the_status_does_not_tell_is_found_again(shop):
    cronjob = await make(shop, schedule="* * * * *", concurrencyPolicy="Forbid")
    status = await active(shop)
    (job,) = await shop.list("Job", "batch/v1")
    assert status["active"][0]["uid"] == uid_of(job)
    await shop.patch(cronjob, {"status": {"active": None, "lastScheduleTime": None}}, "status")
    assert (await active(shop))["lastScheduleTime"] == status["lastScheduleTime"]
    assert len(await shop.list("Job", "batch/v1")) == 1


async def test_a_new_schedule_starts_nothing_that_it_would_have_missed(shop):
    cronjob = await make(shop, schedule="0 0 29 2 *")
    await shop.until(lambda: _after(shop, 610), 700)
    await shop.patch(cronjob, {"spec": {"schedule": "*/30 * * * *"}})
    changed = shop.now()
    await shop.settled()
    assert await shop.list("Job", "batch/v1") == []
    await shop.until(lambda: shop.list("Job", "batch/v1"), 1900)
    (job,) = await shop.list("Job", "batch/v1")
    minute = int(name_of(job).partition("-")[2])
    assert minute * 60 > changed
    assert minute % 30 == 0


async def _after(shop, seconds):
    return shop.now() > 1_800_000_000 + seconds

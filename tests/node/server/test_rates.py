"""Rates of processor time: over which window, from how many readings, of what has just begun."""

import asyncio

from tiphys.aio import virtual
from tiphys.node.server.doors import PodUsage, RunUsage
from tiphys.node.server.rates import MACHINE, Rates, document
from tiphys.runtime.door import Usage

POD = {"metadata": {"namespace": "shop", "name": "web", "uid": "u"}}


class Busy:
    """One pod that uses half a core, and a container that began three seconds after it; reads are counted."""

    def __init__(self):
        loop = asyncio.get_running_loop()
        self.now, self.reads = loop.now, []
        self.rates = Rates(self.read, lambda: int(self.age() * 2e9), loop.now)

    def age(self):
        return self.now() - virtual.EPOCH

    def usage(self, since):
        return Usage(int((self.age() - since) * 5e8), 100, 0, 1, at=self.now())

    async def read(self, brief):
        self.reads.append(brief)
        run = RunUsage("run", virtual.EPOCH + 3, self.usage(3))
        return [PodUsage(POD, "box", self.usage(0), {"c": run} if self.age() >= 3 else {})]


def on_busy(scenario):
    async def main():
        await scenario(Busy())

    virtual.run(main())


def test_the_first_to_ask_waits_for_a_second_reading():
    async def scenario(busy):
        found = await busy.rates.measure()
        assert round(busy.age(), 3) == 0.3 and busy.reads == [True, False]
        assert round(found.rates["box"].nano_cores, -5) == 500_000_000
        assert round(found.rates[MACHINE].nano_cores, -5) == 2_000_000_000

    on_busy(scenario)


def test_who_asks_each_second_gets_the_rate_of_the_last_seconds():
    async def scenario(busy):
        for _ in range(8):
            found = await busy.rates.measure()
            await asyncio.sleep(1)
        assert 2.5 <= found.rates["box"].window_seconds < 3.5

    on_busy(scenario)


def test_questions_that_come_together_share_a_reading():
    async def scenario(busy):
        await asyncio.gather(*(busy.rates.measure(brief=True) for _ in range(5)))
        assert busy.reads == [True, True]

    on_busy(scenario)


def test_what_has_just_begun_is_measured_from_its_start():
    async def scenario(busy):
        await busy.rates.measure()
        await asyncio.sleep(3.7)
        rate = (await busy.rates.measure()).rates["run"]
        assert (rate.nano_cores, round(rate.window_seconds)) == (500_000_000, 1)

    on_busy(scenario)


def test_nobody_is_told_of_a_rate_from_long_ago():
    async def scenario(busy):
        await busy.rates.measure()
        await asyncio.sleep(60)
        assert (await busy.rates.measure()).rates["box"].window_seconds < 1

    on_busy(scenario)


def test_the_document_names_pods_and_containers():
    async def scenario(busy):
        await asyncio.sleep(4)
        told = document(await busy.rates.measure(), 77)
        assert told["node"]["memory"] == 77
        assert [(pod["name"], pod["running"], pod["containers"]["c"]["memory"]) for pod in told["pods"]] == [
            ("web", 1, 100)
        ]

    on_busy(scenario)

"""The watch over the network: what it notices, and what it does not take for a change."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cortexnet.transport.interfaces import all_addresses, interface_addresses
from cortexnet.transport.network_watch import SLEEP, NetworkWatch

HOME, CAFE = "192.0.2.7", "198.51.100.9"


class Machine:
    """Interfaces and a wall clock that a test moves."""

    def __init__(self) -> None:
        self.ips = frozenset({HOME})
        self.is_broken = False
        self.looks = 0
        self.ahead = 0.0
        self.seen: list[tuple[float, frozenset[str], frozenset[str], float]] = []

    def addresses(self) -> frozenset[str]:
        self.looks += 1
        if self.is_broken:
            raise OSError("no netlink for you")
        return self.ips

    def wall(self) -> float:
        return 1.7e9 + asyncio.get_running_loop().time() + self.ahead

    def changed(self, gone: frozenset[str], new: frozenset[str], slept: float) -> None:
        self.seen.append((asyncio.get_running_loop().time(), gone, new, slept))


@asynccontextmanager
async def watched() -> AsyncIterator[Machine]:
    machine = Machine()
    watch = NetworkWatch(machine.changed, interval=5.0, addresses=machine.addresses, wall=machine.wall)
    task = asyncio.create_task(watch.run())
    yield machine
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_while_nothing_changes_nothing_is_said_and_a_look_is_taken_each_five_seconds() -> None:
    async with watched() as machine:
        await asyncio.sleep(4.9)
        assert machine.looks == 0, "who ends soon pays nothing"
        await asyncio.sleep(100)
        assert (machine.looks, machine.seen) == (20, [])


async def test_an_address_that_is_gone_and_one_that_is_new_are_told_once() -> None:
    async with watched() as machine:
        await asyncio.sleep(6)
        machine.ips = frozenset({CAFE})
        await asyncio.sleep(20)
        assert machine.seen == [(10.0, frozenset({HOME}), frozenset({CAFE}), 0.0)]
        machine.ips = frozenset({CAFE, HOME})
        await asyncio.sleep(5)
        assert machine.seen[1:] == [(30.0, frozenset(), frozenset({HOME}), 0.0)]


async def test_a_sleep_that_the_loop_did_not_see_shows_in_the_wall_clock() -> None:
    async with watched() as machine:
        await asyncio.sleep(7)
        machine.ahead += 3600
        await asyncio.sleep(20)
        assert machine.seen == [(10.0, frozenset(), frozenset(), pytest.approx(3600))]


async def test_a_sleep_that_the_loop_did_see_shows_in_its_lateness() -> None:
    async with watched() as machine:
        await asyncio.sleep(7)
        asyncio.get_running_loop()._now += 100  # type: ignore[attr-defined]
        machine.ahead -= 100  # the wall clock may not have moved at all
        await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert machine.seen == [(107.0, frozenset(), frozenset(), pytest.approx(97))]


@pytest.mark.parametrize("seconds", [SLEEP - 0.1, -3600.0])
async def test_a_little_lateness_and_a_clock_that_is_set_back_are_no_sleep(seconds: float) -> None:
    async with watched() as machine:
        await asyncio.sleep(7)
        machine.ahead += seconds
        await asyncio.sleep(20)
        assert machine.seen == []


async def test_interfaces_that_can_not_be_read_are_no_news() -> None:
    async with watched() as machine:
        machine.is_broken = True
        await asyncio.sleep(6)
        machine.is_broken = False
        await asyncio.sleep(5)
        machine.is_broken = True
        await asyncio.sleep(5)
        machine.is_broken, machine.ips = False, frozenset({CAFE})
        await asyncio.sleep(5)
        assert [(gone, new) for _, gone, new, _ in machine.seen] == [({HOME}, {CAFE})]


def test_the_addresses_of_the_machine_are_those_of_its_interfaces_without_loopback() -> None:
    both = {*interface_addresses(4), *interface_addresses(6)}
    assert all_addresses() == {ip for ip in both if not ip.startswith("127.") and ip != "::1"}

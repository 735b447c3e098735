"""SimulatedNetwork: conditions and faults between named ends."""

import asyncio
from random import Random

import pytest

from cortexnet.errors import LocalError
from cortexnet.testing.loop import run
from cortexnet.testing.network import SimulatedNetwork, jitter, lossy, pieces
from cortexnet.transport.memory_wire import LinkConditions
from tests.transport.recorder import Recorder


def now() -> float:
    return asyncio.get_running_loop().time()


async def join(network: SimulatedNetwork, dialer: str, listener: str) -> tuple[Recorder, Recorder]:
    """A link from one to the other."""
    theirs = Recorder()
    server = await network.host(listener).listen(0, lambda: theirs)
    _, ours = await network.host(dialer).connect(server.number, Recorder)
    server.close()
    return ours, theirs


async def test_ends_without_settings_have_the_default_conditions() -> None:
    network = SimulatedNetwork(conditions=LinkConditions(latency=1))
    await join(network, "a", "b")
    assert now() == 2


async def test_conditions_between_two_hold_both_ways_and_for_them_alone() -> None:
    network = SimulatedNetwork()
    network.set_conditions("a", "b", LinkConditions(latency=1))
    await join(network, "a", "c")
    await join(network, "c", "b")
    assert now() == 0
    await join(network, "a", "b")
    assert now() == 2
    await join(network, "b", "a")
    assert now() == 4


async def test_conditions_may_hold_one_way_and_change_on_open_links() -> None:
    network = SimulatedNetwork()
    a, b = await join(network, "a", "b")
    network.set_conditions("b", "a", LinkConditions(latency=5), one_way=True)
    a.transport.write(b"quick")
    await b.until_bytes(5)
    assert now() == 0
    b.transport.write(b"slow")
    await a.until_bytes(4)
    assert now() == 5


async def test_an_address_names_an_end_that_has_no_name() -> None:
    network = SimulatedNetwork()
    network.set_conditions("a", "/memory/77", LinkConditions(latency=1))
    await network.memory.listen(77, Recorder)
    await network.host("a").connect(77, Recorder)
    assert now() == 2
    with pytest.raises(ConnectionRefusedError):
        await network.host("a").connect(78, Recorder)
    assert now() == 2


async def test_links_are_found_by_their_ends() -> None:
    network = SimulatedNetwork()
    await join(network, "a", "b")
    await join(network, "c", "a")
    await join(network, "b", "c")

    def ends(*names: str) -> list[str]:
        return [link.dialer + link.listener for link in network.links(*names)]

    assert ends() == ["ab", "ca", "bc"]
    assert ends("a") == ["ab", "ca"]
    assert ends("c", "a") == ["ca"]
    assert ends("a", "d") == []


async def test_a_cut_resets_what_is_open_and_lets_new_links_be() -> None:
    network = SimulatedNetwork()
    a, b = await join(network, "a", "b")
    c, d = await join(network, "c", "b")
    assert network.cut("b", "a") == 1
    await a.until("lost ConnectionResetError")
    await b.until("lost ConnectionResetError")
    await join(network, "a", "b")
    c.transport.write(b"untouched")
    await d.until_bytes(9)
    assert network.cut("a", "nobody") == 0


async def test_silence_lets_open_links_wait_and_dials_hang_until_it_heals() -> None:
    network = SimulatedNetwork()
    a, b = await join(network, "a", "b")
    network.silence("a", "b")
    assert not network.is_reachable("a", "b")
    assert not network.is_reachable("b", "a")
    a.transport.write(b"held up")
    dial = asyncio.create_task(join(network, "b", "a"))
    await asyncio.sleep(60)
    assert not dial.done()
    assert b.data == b""
    network.heal("b", "a")
    await dial
    await b.until_bytes(7)


async def test_silence_may_be_one_way() -> None:
    network = SimulatedNetwork()
    a, b = await join(network, "a", "b")
    network.silence("a", "b", one_way=True)
    a.transport.write(b"unheard")
    b.transport.write(b"heard")
    await a.until_bytes(5)
    await asyncio.sleep(60)
    assert b.data == b""


async def test_healing_one_end_leaves_the_silence_of_the_others() -> None:
    network = SimulatedNetwork()
    network.silence("a", "b")
    network.silence("c", "d")
    network.heal("a")
    assert network.is_reachable("a", "b")
    assert not network.is_reachable("c", "d")
    network.heal()
    assert network.is_reachable("c", "d")


async def test_a_partition_separates_groups_and_leaves_them_whole() -> None:
    network = SimulatedNetwork()
    a, b = await join(network, "a", "b")
    c, d = await join(network, "c", "d")
    across = await join(network, "a", "c")
    network.partition(["a", "b"])
    a.transport.write(b"inside")
    c.transport.write(b"outside")
    across[0].transport.write(b"across")
    await b.until_bytes(6)
    await d.until_bytes(7)
    await asyncio.sleep(60)
    assert across[1].data == b""
    network.partition(["a", "c"], ["b", "d"])
    await across[1].until_bytes(6)
    assert not network.is_reachable("a", "b")
    assert network.is_reachable("a", "a")
    network.heal()
    assert network.is_reachable("a", "b")


def test_a_name_in_two_groups_is_refused() -> None:
    with pytest.raises(LocalError, match="'a'"):
        SimulatedNetwork().partition(["a"], ["a", "b"])


@pytest.mark.parametrize("loss", [-0.1, 1, 2])
def test_a_link_can_not_lose_everything(loss: float) -> None:
    with pytest.raises(LocalError):
        lossy(0.1, loss)


def test_a_lossy_link_is_late_but_complete() -> None:
    draw, random = lossy(0.05, 0.3), Random(1)
    delays = [draw(random) for _ in range(1_000)]
    assert min(delays) == 0.05
    assert 600 < delays.count(0.05) < 800
    late = {round(0.05 + 0.2 * (2**losses - 1), 6) for losses in range(12)}
    assert {round(delay, 6) for delay in delays} <= late
    never = lossy(0.05, 0)
    assert never(random) == 0.05


def test_one_seed_gives_one_course_of_events_and_another_another() -> None:
    async def main(seed: int) -> list[tuple[float, int]]:
        network = SimulatedNetwork(seed, LinkConditions(latency=jitter(0, 1), piece_size=pieces(1, 100)))
        assert repr(network) == f"SimulatedNetwork(seed={seed})"
        seen = []
        for name in "abc":
            ours, theirs = await join(network, name, "server")
            theirs.on_read = lambda theirs=theirs: seen.append((now(), theirs.reads[-1]))  # type: ignore[misc]
            ours.transport.write(network.random(name).randbytes(1_000))
            await theirs.until_bytes(1_000)
        return seen

    assert run(main(1)) == run(main(1))
    assert run(main(1)) != run(main(2))

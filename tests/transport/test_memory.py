"""MemoryNetwork: who listens where, dials and their failures, names."""

import asyncio
import errno
from random import Random

import pytest

from cortexnet.errors import LocalError
from cortexnet.testing.loop import run
from cortexnet.transport.memory import MemoryNetwork
from cortexnet.transport.memory_link import MemoryLink
from cortexnet.transport.memory_wire import LinkConditions
from tests.transport.recorder import Recorder


def test_both_ends_know_their_own_and_the_others_address() -> None:
    async def main() -> None:
        network = MemoryNetwork()
        b = Recorder()
        await network.listen(42, lambda: b)
        transport, a = await network.connect(42, Recorder)
        assert a.events == ["made"]
        assert a.transport is transport
        await b.until("made")
        assert transport.get_extra_info("peername") == b.transport.get_extra_info("sockname") == "/memory/42"
        assert transport.get_extra_info("sockname") == b.transport.get_extra_info("peername") == "/memory/4294967296"
        assert transport.get_extra_info("socket") is None
        (link,) = network.links
        assert (link.dialer, link.listener) == ("/memory/4294967296", "/memory/42")

    run(main())


def test_number_zero_picks_a_free_one() -> None:
    async def main() -> None:
        network = MemoryNetwork()
        taken = await network.listen(1, Recorder)
        first, second = await network.listen(0, Recorder), await network.listen(0, Recorder)
        assert (taken.number, first.number, second.number) == (1, 2, 3)
        await network.connect(first.number, Recorder)

    run(main())


def test_a_number_that_is_taken_is_refused_until_it_is_free_again() -> None:
    async def main() -> None:
        network = MemoryNetwork()
        first = await network.listen(5, Recorder)
        with pytest.raises(OSError, match="/memory/5") as caught:
            await network.listen(5, Recorder)
        assert caught.value.errno == errno.EADDRINUSE
        first.close()
        first.close()
        second = await network.listen(5, Recorder)
        first.close()
        await network.connect(5, Recorder)
        second.close()

    run(main())


@pytest.mark.parametrize("number", [-1, 2**64])
async def test_a_number_has_64_bits(number: int) -> None:
    network = MemoryNetwork()
    with pytest.raises(LocalError):
        await network.listen(number, Recorder)
    with pytest.raises(LocalError):
        await network.connect(number, Recorder)


def test_where_nobody_listens_the_dial_is_refused_after_a_round_trip() -> None:
    async def main() -> None:
        network = MemoryNetwork(conditions=LinkConditions(latency=0.2))
        with pytest.raises(ConnectionRefusedError, match="/memory/9"):
            await network.connect(9, Recorder)
        assert asyncio.get_running_loop().time() == 0.4
        assert network.links == ()

    run(main())


def test_a_listener_that_closes_lets_its_links_live() -> None:
    async def main() -> None:
        network = MemoryNetwork()
        b = Recorder()
        server = await network.listen(5, lambda: b)
        transport, _ = await network.connect(5, Recorder)
        server.close()
        with pytest.raises(ConnectionRefusedError):
            await network.connect(5, Recorder)
        transport.write(b"still here")
        await b.until_bytes(10)

    run(main())


def test_an_error_of_the_listeners_factory_is_not_the_dialers() -> None:
    def fail() -> Recorder:
        raise ZeroDivisionError

    async def main() -> None:
        contexts: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: contexts.append(context))
        network = MemoryNetwork()
        await network.listen(5, fail)
        _, a = await network.connect(5, Recorder)
        await a.until("lost ConnectionResetError")
        assert [type(context["exception"]) for context in contexts] == [ZeroDivisionError]
        assert network.links == ()

    run(main())


def test_an_error_of_the_dialers_factory_comes_out_and_resets_the_other_end() -> None:
    def fail() -> Recorder:
        raise ZeroDivisionError

    async def main() -> None:
        network = MemoryNetwork()
        b = Recorder()
        await network.listen(5, lambda: b)
        with pytest.raises(ZeroDivisionError):
            await network.connect(5, fail)
        await b.until("lost ConnectionResetError")
        assert network.links == ()

    run(main())


@pytest.mark.parametrize("moment", [0.5, 1.5])
async def test_a_cancelled_dial_leaves_nothing_behind(moment: float) -> None:
    network = MemoryNetwork(conditions=LinkConditions(latency=1))
    accepted: list[Recorder] = []

    def accept() -> Recorder:
        accepted.append(Recorder())
        return accepted[-1]

    await network.listen(5, accept)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(moment):
            await network.connect(5, Recorder)
    for recorder in accepted:
        recorder.transport.write(b"anybody?")
        await recorder.until("lost ConnectionResetError")
    assert len(accepted) == (moment > 1)
    assert network.links == ()


def test_a_dial_cancelled_at_any_step_leaves_nothing_behind() -> None:
    async def main(steps: int) -> bool:
        network = MemoryNetwork()
        accepted: list[Recorder] = []

        def accept() -> Recorder:
            accepted.append(Recorder())
            return accepted[-1]

        await network.listen(5, accept)
        dial = asyncio.create_task(network.connect(5, Recorder))
        for _ in range(steps):
            await asyncio.sleep(0)
        if not dial.cancel():
            return False
        with pytest.raises(asyncio.CancelledError):
            await dial
        for _ in range(20):
            await asyncio.sleep(0)
        for recorder in accepted:
            assert recorder.events[-1].startswith(("lost", "eof"))
            recorder.transport.abort()
            await recorder.until("lost")
        assert network.links == ()
        return True

    cancelled = [run(main(steps)) for steps in range(20)]
    assert cancelled == sorted(cancelled, reverse=True)
    assert 3 < sum(cancelled) < 20


def test_a_link_that_is_cut_while_it_is_dialed_fails_the_dial_at_any_step() -> None:
    async def main(steps: int) -> bool:
        network = MemoryNetwork()
        b = Recorder()
        await network.listen(5, lambda: b)
        dial = asyncio.create_task(network.connect(5, Recorder))
        for _ in range(steps):
            await asyncio.sleep(0)
        for link in network.links:
            link.cut()
        try:
            _, a = await dial
        except ConnectionResetError:
            failed = True
        else:
            failed = False
            if steps:
                await a.until("lost ConnectionResetError")
        if b.events:
            await b.until("lost" if steps else "made")
        return failed

    failed = [run(main(steps)) for steps in range(20)]
    assert not failed[0]
    assert failed[1]
    assert not failed[-1]


def test_a_dial_into_the_silence_waits_and_goes_on_when_it_heals() -> None:
    async def main() -> None:
        links: list[MemoryLink] = []

        def on_link(link: MemoryLink) -> None:
            links.append(link)
            link.silence()

        network = MemoryNetwork(on_link=on_link)
        b = Recorder()
        await network.listen(5, lambda: b)
        dial = asyncio.create_task(network.connect(5, Recorder))
        await asyncio.sleep(60)
        assert not dial.done()
        assert b.events == []
        links[0].heal()
        await dial
        assert b.events == ["made"]
        assert asyncio.get_running_loop().time() == 60

    run(main())


def test_views_of_a_network_share_it_and_give_its_links_their_names() -> None:
    async def main() -> None:
        network = MemoryNetwork(random=Random(1))
        alice, bob = network.named("alice"), network.named("bob")
        await bob.listen(5, Recorder)
        await alice.connect(5, Recorder)
        assert network.links == alice.links == bob.links
        (link,) = network.links
        assert (link.dialer, link.listener) == ("alice", "bob")
        with pytest.raises(OSError, match="listens"):
            await alice.listen(5, Recorder)

    run(main())

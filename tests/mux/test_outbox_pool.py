"""Muxers whose node has queued too much to send: every stream goes on, by a little at a time, and all is given back."""

from collections.abc import Callable

import pytest

from cortexnet.mux.mplex import Mplex
from cortexnet.mux.muxer import Muxer, Unlimited
from cortexnet.mux.outbox import TIGHT_SHARE
from cortexnet.mux.yamux import Yamux

Make = Callable[[Unlimited], Muxer]
MUXERS: list[Make] = [
    lambda memory: Yamux(initiator=True, memory=memory),
    lambda memory: Mplex(initiator=True, memory=memory),
]
SHARE = 131_072


def crowded(limit: int) -> Unlimited:
    memory = Unlimited()
    memory.outgoing.limit = limit
    return memory


def sent(mux: Muxer) -> int:
    """Send everything; how many bytes that was."""
    size = 0
    while mux.has_output:
        size += sum(len(part) for part in mux.data_to_send())
    return size


@pytest.mark.parametrize("make", MUXERS)
@pytest.mark.parametrize(("queued", "taken"), [(-1, SHARE), (0, TIGHT_SHARE), (1, TIGHT_SHARE)])
def test_a_stream_may_queue_its_share_until_all_have_queued_too_much(make: Make, queued: int, taken: int) -> None:
    memory = crowded(1_000_000)
    mux = make(memory)
    stream = mux.open_stream()
    memory.outgoing.queued = 1_000_000 + queued
    assert mux.send(stream, bytes(SHARE + 1)) == taken


@pytest.mark.parametrize("make", MUXERS)
def test_who_has_queued_more_already_waits_until_it_has_left(make: Make) -> None:
    memory = crowded(SHARE)
    mux = make(memory)
    stream = mux.open_stream()
    assert mux.send(stream, bytes(SHARE)) == SHARE
    assert mux.send(stream, b"more") == 0
    sent(mux)
    assert stream in mux.drained
    assert mux.send(stream, b"more") == 4


@pytest.mark.parametrize("make", MUXERS)
def test_every_stream_goes_on_while_others_hold_the_pool(make: Make) -> None:
    memory = crowded(0)
    mux = make(memory)
    streams = [mux.open_stream() for _ in range(10)]
    for _ in range(5):
        for stream in streams:
            assert mux.send(stream, bytes(SHARE)) == TIGHT_SHARE
        mux.drained.clear()
        assert sent(mux) > 10 * TIGHT_SHARE
        assert list(mux.drained) == streams
    assert memory.outgoing.queued == 0


@pytest.mark.parametrize("make", MUXERS)
@pytest.mark.parametrize("end", [lambda mux, stream: mux.reset(stream), lambda mux, stream: mux.close()])
def test_what_is_dropped_is_given_back(make: Make, end: Callable[[Muxer, int], None]) -> None:
    memory = crowded(1 << 30)
    mux = make(memory)
    stream = mux.open_stream()
    mux.send(stream, bytes(1000))
    mux.send(stream, bytes(10_000))
    assert memory.outgoing.queued == 11_000
    end(mux, stream)
    assert memory.outgoing.queued == 0

"""Holdings: what a session holds is charged, what it promised is charged before, and readers who wait for more come in turn."""

import pytest

from cortexnet.errors import LimitExceeded
from cortexnet.mux.holdings import Holdings, reservation
from cortexnet.mux.inbox import PIECE_OVERHEAD
from cortexnet.mux.outbox import OutboxPool
from cortexnet.mux.window import INITIAL_WINDOW, ReceiveWindow
from cortexnet.mux.yamux_stream import YamuxStream
from tests.support.yamux_session import Budget

MIB = 1024 * 1024


class Account:
    """Holdings with a few streams."""

    def __init__(self, limit: int, streams: int = 3) -> None:
        self.memory = Budget(limit)
        window = ReceiveWindow
        self.streams = {
            number: YamuxStream(number, window(16 * MIB, 0.0), OutboxPool(0), ours=False) for number in range(streams)
        }
        self.holdings = Holdings(self.memory, self.streams)

    def arrive(self, number: int, *pieces: bytes) -> None:
        stream = self.streams[number]
        for piece in pieces:
            stream.window.credit -= len(piece)
            stream.inbox.append(piece)
        self.holdings.arrived(stream)

    def demand(self, number: int, size: int) -> list[int]:
        return [stream.id for stream in self.holdings.demand(self.streams[number], size)]

    def end(self, number: int) -> list[int]:
        return [stream.id for stream in self.holdings.end_demand(self.streams[number])]

    def remove(self, number: int) -> list[int]:
        return [stream.id for stream in self.holdings.remove(self.streams.pop(number))]

    def grow(self, number: int) -> int:
        stream = self.streams[number]
        self.holdings.grow(stream, 1.0, 0.0)
        return stream.window.target


def test_the_first_window_is_reserved_for_nobody_and_a_larger_one_whole() -> None:
    assert reservation(0) == reservation(INITIAL_WINDOW) == 0
    assert reservation(INITIAL_WINDOW + 1) > INITIAL_WINDOW
    assert reservation(8 * MIB) == 9 * MIB + 65_536


def test_what_arrives_is_charged_with_its_pieces_and_given_back_as_it_is_read() -> None:
    account = Account(MIB)
    account.arrive(0, bytes(5_000), bytes(2_000))
    assert account.memory.used == 7_000 + 2 * PIECE_OVERHEAD
    account.streams[0].inbox.take(5_000)
    assert account.holdings.settle(account.streams[0]) == []
    assert account.memory.used == 2_000 + PIECE_OVERHEAD
    account.streams[0].inbox.take(2_000)
    account.holdings.settle(account.streams[0])
    assert account.memory.used == 0


def test_what_arrives_is_charged_also_past_the_cap() -> None:
    account = Account(10_000)
    account.arrive(0, bytes(9_936))
    assert not account.holdings.is_over()
    assert account.holdings.grew
    account.arrive(1, b"x")
    assert account.holdings.is_over()


def test_a_stream_stands_for_what_it_holds_or_what_was_promised_whichever_is_more() -> None:
    account = Account(8 * MIB)
    assert account.grow(0) == 2 * INITIAL_WINDOW
    assert account.memory.used == account.streams[0].reserved == reservation(2 * INITIAL_WINDOW)
    account.arrive(0, *[bytes(1_024)] * 512)
    assert account.memory.used == reservation(2 * INITIAL_WINDOW)
    account.streams[0].inbox.clear()
    account.holdings.settle(account.streams[0])
    assert account.memory.used == reservation(2 * INITIAL_WINDOW)


@pytest.mark.parametrize("size", [1, 512, 1_024, 1_500, 16_384, 65_536])
def test_what_is_reserved_covers_the_bytes_however_small_their_pieces_are(size: int) -> None:
    account = Account(64 * MIB)
    assert account.demand(0, MIB) == [0]
    reserved = account.memory.used
    pieces = [bytes(size), bytes(1_024)] if size < 1_024 else [bytes(size)]
    pieces *= MIB // sum(len(piece) for piece in pieces)
    account.arrive(0, bytes(60_000), *pieces)
    assert account.streams[0].inbox.take_exactly(59_999)
    account.holdings.arrived(account.streams[0])
    assert account.memory.used == reserved


@pytest.mark.parametrize(("spare", "target"), [(-1, INITIAL_WINDOW), (0, 2 * INITIAL_WINDOW), (1, 2 * INITIAL_WINDOW)])
def test_growth_that_does_not_fit_keeps_the_old_window(spare: int, target: int) -> None:
    need = reservation(2 * INITIAL_WINDOW)
    account = Account(need * 4 // 3 + spare)  # a quarter is not for growth
    assert account.grow(0) == target
    assert account.memory.used == (0 if spare < 0 else reservation(target))


@pytest.mark.parametrize(("spare", "fits"), [(-1, False), (0, True), (1, True)])
def test_a_demand_that_can_never_fit_is_refused_at_once(spare: int, fits: bool) -> None:
    account = Account(reservation(2 * MIB) + spare)
    if fits:
        assert account.demand(0, 2 * MIB) == [0]
        return
    with pytest.raises(LimitExceeded) as caught:
        account.demand(0, 2 * MIB)
    assert (caught.value.limit, caught.value.setting) == (account.memory.limit, account.memory.setting)
    assert account.memory.used == 0
    assert not account.holdings.demands


def test_a_demand_never_passes_what_32_bits_can_grant() -> None:
    with pytest.raises(LimitExceeded):
        Account(1 << 50).demand(0, 1 << 32)


def test_demands_are_granted_whole_and_in_order() -> None:
    account = Account(4 * reservation(MIB))  # half of it is left to first windows
    assert account.demand(0, MIB) == [0]
    assert account.demand(1, MIB + 1) == []  # does not fit beside the first
    assert account.demand(2, 300_000) == []  # would fit, but comes after
    assert account.end(0) == [1, 2]
    assert account.memory.used == reservation(MIB + 1) + reservation(300_000)
    assert account.end(1) == account.end(2) == []
    assert account.memory.used == 0


def test_giving_up_a_demand_that_waits_lets_the_next_one_through() -> None:
    account = Account(4 * reservation(MIB))
    assert account.demand(0, MIB) == [0]
    assert account.demand(1, MIB + 1) == []
    assert account.demand(2, MIB) == []
    assert account.end(1) == [2]


def test_a_stream_that_is_gone_gives_its_share_and_its_turn_to_the_next() -> None:
    account = Account(reservation(MIB))
    assert account.demand(0, MIB) == [0]
    assert account.demand(1, MIB) == []
    assert account.demand(2, MIB) == []
    assert account.remove(1) == []
    assert account.remove(0) == [2]


def test_a_demand_that_is_made_again_keeps_its_turn() -> None:
    account = Account(reservation(MIB))
    assert account.demand(0, MIB) == [0]
    assert account.demand(1, 400_000) == []
    assert account.demand(2, 600_000) == []
    assert account.demand(1, 500_000) == []
    assert account.end(0) == [1]
    assert account.streams[1].window.demand == 500_000


def test_a_demand_that_waits_is_not_promised_yet() -> None:
    account = Account(reservation(MIB))
    account.demand(0, MIB)
    account.demand(1, MIB)
    waiting = account.streams[1]
    assert waiting.window.promised == INITIAL_WINDOW
    assert waiting.window.grant_demand(0, 0.0) == 0


def test_what_was_freed_elsewhere_is_found_when_asked_again() -> None:
    account = Account(reservation(MIB))
    account.memory.charge(1_000)  # another connection's
    assert account.demand(0, MIB) == []
    assert account.holdings.grantable() == []
    account.memory.release(1_000)
    assert [stream.id for stream in account.holdings.grantable()] == [0]


def test_grown_windows_give_way_to_a_demand_as_they_are_read() -> None:
    account = Account(reservation(MIB))
    assert account.grow(0) == 2 * INITIAL_WINDOW
    grown = account.streams[0]
    grown.window.grant(0, 0.0)
    assert account.demand(1, MIB) == []
    assert account.grow(2) == INITIAL_WINDOW  # nobody grows meanwhile
    assert account.holdings.settle(grown) == []  # its peer may still send all of it
    assert grown.window.target == 2 * INITIAL_WINDOW
    account.arrive(0, bytes(65_536), bytes(65_536))
    grown.inbox.take(65_536)
    assert account.holdings.settle(grown) == []
    assert grown.window.target == 2 * INITIAL_WINDOW - 65_536
    account.arrive(0, bytes(INITIAL_WINDOW))
    grown.inbox.clear()
    granted = account.holdings.settle(grown)
    assert [stream.id for stream in granted] == [1]
    assert grown.window.target == INITIAL_WINDOW


@pytest.mark.parametrize("end", ["finished", "reset", "discarding"])
def test_a_stream_that_brings_no_more_stands_for_what_is_there(end: str) -> None:
    account = Account(8 * MIB)
    account.grow(0)
    account.arrive(0, bytes(5_000))
    stream = account.streams[0]
    stream.finished, stream.reset, stream.discarding = end == "finished", end == "reset", end == "discarding"
    account.end(0)
    assert account.memory.used == 5_000 + PIECE_OVERHEAD
    assert stream.reserved == 0

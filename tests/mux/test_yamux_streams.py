"""StreamTable: ids, counts, and the limits of both sides."""

import pytest

from cortexnet.errors import ConnectionClosed, LimitExceeded, ProtocolViolation
from cortexnet.mux.outbox import OutboxPool
from cortexnet.mux.yamux_config import YamuxConfig
from cortexnet.mux.yamux_streams import StreamTable


def table(*, initiator: bool = True, **limits: int) -> StreamTable:
    return StreamTable(YamuxConfig(**limits), OutboxPool(0), initiator=initiator)


@pytest.mark.parametrize(("initiator", "ids"), [(True, [1, 3, 5]), (False, [2, 4, 6])])
def test_the_side_that_dialed_has_the_odd_ids(initiator: bool, ids: list[int]) -> None:
    streams = table(initiator=initiator)
    assert [streams.open(0.0).id for _ in range(3)] == ids
    assert list(streams.by_id) == ids
    for stream_id in ids:
        with pytest.raises(ProtocolViolation, match="wrong side"):
            streams.check_opening(stream_id + 100)
        streams.check_opening(stream_id + 101)


def test_ids_are_never_used_again() -> None:
    streams = table()
    for expected in (1, 3, 5):
        stream = streams.open(0.0)
        assert stream.id == expected
        streams.remove(stream)


def test_the_last_id_can_be_used_and_then_the_connection_is_used_up() -> None:
    streams = table()
    streams._next_id = 0xFFFF_FFFF
    streams.remove(streams.open(0.0))
    assert streams.can_open()  # to wait would be in vain: opening says so
    with pytest.raises(ConnectionClosed, match="used up its stream ids"):
        streams.open(0.0)


def test_a_stream_is_not_opened_twice() -> None:
    streams = table()
    streams.accept(2, 0.0)
    with pytest.raises(ProtocolViolation, match="opened twice"):
        streams.check_opening(2)


@pytest.mark.parametrize("acknowledged", [False, True])
def test_opening_stops_at_the_limit_that_is_reached_first(acknowledged: bool) -> None:
    streams = table(ack_backlog=2, max_outbound_streams=4)
    opened = []
    for _ in range(4 if acknowledged else 2):
        assert streams.can_open()
        opened.append(streams.open(0.0))
        if acknowledged:
            assert streams.acknowledge(opened[-1])
    assert not streams.can_open()
    with pytest.raises(LimitExceeded) as caught:
        streams.open(0.0)
    assert caught.value.setting == ("yamux.max_outbound_streams" if acknowledged else "yamux.ack_backlog")
    assert caught.value.limit == caught.value.value == len(opened)
    streams.remove(opened[0])
    assert streams.can_open()


def test_an_acknowledgement_counts_once_and_only_for_streams_of_ours() -> None:
    streams = table()
    ours, theirs = streams.open(0.0), streams.accept(2, 0.0)
    assert streams.unacknowledged == 1
    assert streams.acknowledge(ours)
    assert [streams.acknowledge(stream) for stream in (ours, theirs, None)] == [False, False, False]
    assert streams.unacknowledged == 0


def test_streams_of_the_peer_are_counted_up_to_their_limit() -> None:
    streams = table(max_inbound_streams=2)
    for stream_id in (2, 4):
        assert not streams.is_full()
        streams.accept(stream_id, 0.0)
    assert streams.is_full()
    streams.remove(streams.by_id[2])
    assert not streams.is_full()


def test_removing_counts_back_to_zero() -> None:
    streams = table()
    streams.acknowledge(streams.open(0.0))
    streams.open(0.0)
    streams.accept(2, 0.0)
    for stream in list(streams.by_id.values()):
        streams.remove(stream)
    assert (streams.inbound, streams.outbound, streams.unacknowledged, len(streams.by_id)) == (0, 0, 0, 0)

from collections.abc import Callable

import pytest

from cortexnet.errors import LimitExceeded, LocalError
from cortexnet.swarm.limits import Limits
from cortexnet.swarm.stream_slots import ConnectionStreams, NodeStreams, StreamReservation

ECHO, PING = "/cortex/echo/1.0.0", "/ipfs/ping/1.0.0"


def one_connection(**limits: int) -> ConnectionStreams:
    return ConnectionStreams(NodeStreams(Limits(**limits)))


def ordinary(streams: ConnectionStreams) -> StreamReservation:
    stream = streams.open_inbound()
    stream.negotiated(ECHO)
    return stream


def extended(streams: ConnectionStreams) -> StreamReservation:
    stream = streams.open_inbound()
    stream.negotiated(ECHO, extended=True)
    return stream


def control(streams: ConnectionStreams) -> StreamReservation:
    stream = streams.open_inbound()
    stream.negotiated(PING)
    return stream


@pytest.mark.parametrize(
    ("open_one", "setting"),
    [
        (ConnectionStreams.open_inbound, "streams_negotiating_per_connection"),
        (ordinary, "streams_inbound_per_connection"),
        (extended, "streams_inbound_extended"),
        (control, "streams_inbound_control"),
        (ConnectionStreams.open_outbound, "streams_outbound_per_connection"),
        (ordinary, "streams_inbound"),
    ],
)
def test_a_kind_of_stream_fits_up_to_its_limit_and_not_above(
    open_one: Callable[[ConnectionStreams], StreamReservation], setting: str
) -> None:
    streams = one_connection(**{setting: 3})
    held = [open_one(streams) for _ in range(3)]
    with pytest.raises(LimitExceeded) as caught:
        open_one(streams)
    error = caught.value
    assert (error.limit, error.value, error.setting) == (3, 4, f"limits.{setting}")
    held.pop().release()
    if setting in ("streams_inbound_per_connection", "streams_inbound_extended", "streams_inbound_control"):
        assert open_one(streams)


def test_the_limit_of_all_connections_holds_over_several() -> None:
    node = NodeStreams(Limits(streams_inbound=2))
    first, second = ConnectionStreams(node), ConnectionStreams(node)
    control(first)
    second.open_inbound()
    with pytest.raises(LimitExceeded, match=r"limits\.streams_inbound"):
        second.open_inbound()
    second.open_outbound()


def test_identify_and_ping_find_room_when_everything_else_is_taken() -> None:
    streams = one_connection(streams_inbound_per_connection=1, streams_negotiating_per_connection=1)
    ordinary(streams)
    control(streams)


def test_a_stream_refused_for_its_protocol_still_counts_until_it_is_released() -> None:
    node = NodeStreams(Limits(streams_inbound_per_connection=0))
    stream = ConnectionStreams(node).open_inbound()
    with pytest.raises(LimitExceeded):
        stream.negotiated(ECHO)
    assert (node.inbound, node.negotiating) == (1, 1)
    stream.release()
    assert (node.inbound, node.negotiating) == (0, 0)


def test_a_protocol_is_chosen_once_and_only_for_inbound_streams() -> None:
    streams = one_connection()
    for stream in (ordinary(streams), streams.open_outbound()):
        with pytest.raises(LocalError):
            stream.negotiated(ECHO)


def test_opening_is_possible_again_when_an_outbound_stream_has_gone() -> None:
    streams = one_connection(streams_outbound_per_connection=1)
    assert streams.can_open_outbound()
    stream = streams.open_outbound()
    assert not streams.can_open_outbound()
    stream.release()
    assert streams.can_open_outbound()


def test_leaving_the_block_and_releasing_again_counts_once() -> None:
    node = NodeStreams(Limits())
    with ConnectionStreams(node).open_outbound() as stream:
        assert (node.outbound, node.inbound) == (1, 0)
        stream.release()
    assert (node.outbound, node.inbound) == (0, 0)


def test_all_streams_of_a_connection_are_counted_until_they_are_released() -> None:
    streams = one_connection()
    held = [
        make(streams) for make in (ConnectionStreams.open_inbound, ordinary, extended, control, ConnectionStreams.open_outbound)
    ]
    assert streams.open_count == 5
    for stream in held:
        stream.release()
    assert streams.open_count == 0

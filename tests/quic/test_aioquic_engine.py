"""Two engines and a network in memory: streams, their ends, their windows and memory."""

from random import Random

import pytest
from aioquic._buffer import Buffer
from aioquic.quic.packet import QuicPreferredAddress, pull_quic_transport_parameters, push_quic_transport_parameters

from cortexnet.admission.memory_budget import ConnectionMemory, NodeMemory
from cortexnet.errors import (
    ConnectionClosed,
    HandshakeFailed,
    LimitExceeded,
    LocalError,
    MessageTooLarge,
    PeerIdMismatch,
    ProtocolViolation,
    StreamClosed,
    StreamCode,
)
from cortexnet.identity.identity import Identity
from cortexnet.mux.muxer import (
    ConnectionFailed,
    RoundTripMeasured,
    StreamOpened,
    StreamReadable,
    StreamWasReset,
    StreamWriteStopped,
)
from cortexnet.quic.engine import QuicConfig, QuicEngine
from tests.support.quic_pair import CLIENT, SERVER, Conditions, Pair, engine, inject, pair

WINDOW = 262_144


def budget(limit: int = 16 << 20) -> ConnectionMemory:
    return NodeMemory(1 << 30).open(limit)


def opened(both: Pair, data: bytes = b"") -> int:
    """A stream of the client's that the server knows of."""
    stream = both.client.open_stream()
    both.client.send(stream, data or b".")
    both.flush()
    both.run(1)
    assert StreamOpened(stream) in both.server_events
    if not data:
        assert both.server.read(stream, 10) == b"."
    return stream


def settle(both: Pair, seconds: float = 1.0) -> None:
    both.flush()
    both.run(seconds)


def transfer(both: Pair, sender: QuicEngine, receiver: QuicEngine, stream: int, data: bytes, patience: float = 60.0) -> bytes:
    """Send all while the other side reads; what it got when it came to the end."""
    position, got, end = 0, bytearray(), both.now + patience
    is_closed = False
    while both.now < end:
        if position < len(data):
            position += sender.send(stream, data[position : position + 50_000])
        elif not is_closed:
            sender.close_write(stream)
            is_closed = True
        both.flush()
        if not both.step():
            break
        while receiver.knows(stream):
            piece = receiver.read(stream, 30_000)
            if not piece:
                break
            got += piece
        if is_closed and receiver.is_finished(stream) and len(got) >= len(data):
            break
    return bytes(got)


# --- the handshake ---------------------------------------------------------------------------------------------------------


def test_both_sides_know_each_other_after_the_handshake() -> None:
    both = pair()
    for one, other in ((both.client, both.server), (both.server, both.client)):
        assert one.remote_peer is not None
        assert one.remote_key is not None
        assert one.name == "/quic-v1"
        assert not one.is_over
        assert one.connection_ids
        assert other.remote_peer != one.remote_peer


def test_the_dialer_waits_until_it_is_accepted() -> None:
    ours, theirs = Identity.generate(), Identity.generate()
    both = Pair(engine(ours), lambda origin: engine(theirs, origin=origin))
    both.run(20, lambda: both.client._quic._handshake_complete)
    assert both.client.remote_peer == theirs.peer_id
    assert not both.client.is_established
    both.run(1)
    assert both.client.is_established


def test_who_is_not_expected_is_refused_within_the_handshake() -> None:
    nobody, theirs = Identity.generate(), Identity.generate()
    both = Pair(engine(Identity.generate(), expected=nobody.peer_id), lambda origin: engine(theirs, origin=origin))
    both.run(5)
    [event] = [event for event in both.client_events if isinstance(event, ConnectionFailed)]
    assert isinstance(event.error, PeerIdMismatch)
    assert event.error.actual == theirs.peer_id
    assert not both.client.is_established
    assert not both.server.is_established
    [theirs_event] = [event for event in both.server_events if isinstance(event, ConnectionFailed)]
    assert isinstance(theirs_event.error, HandshakeFailed)


def test_a_client_without_certificate_is_refused() -> None:
    client = engine(Identity.generate())
    both = Pair(client, lambda origin: engine(Identity.generate(), origin=origin))
    client._quic.tls.certificate = None
    both.run(5)
    assert not client.is_established
    [event] = [event for event in both.server_events if isinstance(event, ConnectionFailed)]
    assert isinstance(event.error, HandshakeFailed)


@pytest.mark.parametrize("is_client", [True, False])
def test_a_second_certificate_is_one_too_many(is_client: bool) -> None:
    client, server = engine(Identity.generate()), None

    def make(origin):
        nonlocal server
        server = engine(Identity.generate(), origin=origin)
        if not is_client:
            server._quic._configuration.certificate_chain = [server._quic._configuration.certificate]
        return server

    if is_client:
        client._quic._configuration.certificate_chain = [client._quic._configuration.certificate]
    both = Pair(client, make)
    both.run(5)
    events = both.server_events if is_client else both.client_events
    [event] = [event for event in events if isinstance(event, ConnectionFailed)]
    assert "2 certificates" in str(event.error)
    assert not both.client.is_established
    assert not both.server.is_established


def test_another_protocol_is_refused() -> None:
    client = engine(Identity.generate())
    client._quic._configuration.alpn_protocols = ["h3"]
    both = Pair(client, lambda origin: engine(Identity.generate(), origin=origin))
    both.run(5)
    assert not client.is_established
    [event] = [event for event in both.client_events if isinstance(event, ConnectionFailed)]
    assert isinstance(event.error, HandshakeFailed)


def test_too_many_bytes_of_handshake_messages_are_refused() -> None:
    client = engine(Identity.generate())
    both = Pair(client, lambda origin: engine(Identity.generate(), origin=origin, config=QuicConfig(crypto_data=100)))
    both.run(5)
    assert not client.is_established
    [event] = [event for event in both.server_events if isinstance(event, ConnectionFailed)]
    assert "too many bytes" in str(event.error)


def test_nobody_who_answers_ends_a_dial_by_its_idle_timeout() -> None:
    both = Pair(engine(Identity.generate()), lambda origin: engine(Identity.generate(), origin=origin), Conditions(loss=1.0))
    both.run(60)
    [event] = [event for event in both.client_events if isinstance(event, ConnectionFailed)]
    assert isinstance(event.error, ConnectionClosed)
    assert event.error.by == "network"


# --- streams ---------------------------------------------------------------------------------------------------------------


def test_bytes_go_both_ways_and_ends_are_seen() -> None:
    both = pair()
    stream = opened(both)
    assert both.server.send(stream, b"answer") == 6
    both.server.close_write(stream)
    settle(both)
    assert both.client.readable_bytes(stream) == 6
    assert both.client.read_exactly(stream, 7) is None
    assert both.client.read_exactly(stream, 6) == b"answer"
    assert both.client.read(stream, 9) == b""
    assert both.client.is_finished(stream)
    assert both.client.knows(stream)
    both.client.send(stream, b"more")
    both.client.close_write(stream)
    settle(both)
    assert both.server.read(stream, 9) == b"more"
    assert not both.server.knows(stream)
    assert not both.client.knows(stream)
    assert both.client.stream_count() == both.server.stream_count() == 0
    assert both.client._streams == both.server._streams == {}


def test_messages_are_taken_whole() -> None:
    both = pair()
    stream = opened(both)
    both.client.send(stream, b"\x05hel")
    settle(both)
    assert both.server.read_message(stream, 100) is None
    assert both.server.message_wanted(stream) == 6
    both.client.send(stream, b"lo")
    settle(both)
    with pytest.raises(MessageTooLarge):
        both.server.read_message(stream, 4)
    assert both.server.read_message(stream, 5) == b"hello"


def test_a_stream_that_is_not_there_is_an_error_of_the_callers() -> None:
    both = pair()
    for call in (
        lambda: both.client.send(0, b"x"),
        lambda: both.client.queued(0),
        lambda: both.client.read_exactly(0, 1),
        lambda: both.client.close_write(0),
        lambda: both.client.discard_reads(0),
        lambda: both.client.reset(0),
        lambda: both.client.expect(0, 1),
    ):
        with pytest.raises(LocalError):
            call()
    assert both.client.read(0, 1) is None
    assert both.client.is_finished(0)
    assert not both.client.knows(0)


def test_after_the_end_nothing_can_be_written() -> None:
    both = pair()
    stream = opened(both)
    both.client.close_write(stream)
    with pytest.raises(StreamClosed):
        both.client.send(stream, b"x")


def test_a_reset_ends_both_directions_with_its_code() -> None:
    both = pair()
    stream = opened(both)
    both.server.send(stream, b"lost")
    both.client.reset(stream, 0x1002)
    settle(both)
    assert StreamWriteStopped(stream, 0x1002) in both.server_events
    assert StreamWasReset(stream, 0x1002, by_peer=True) in both.server_events
    assert not both.server.knows(stream)
    assert not both.client.knows(stream)
    settle(both)
    assert both.client._streams == both.server._streams == {}


def test_bytes_that_were_not_read_are_lost_with_a_reset() -> None:
    memory = budget()
    both = pair(memory=memory)
    stream = opened(both, b"x" * 100_000)
    assert memory.used
    both.client.reset(stream)
    settle(both)
    assert both.server.read(stream, 10) is None
    assert memory.used == 0


def test_an_end_that_came_first_keeps_its_bytes_readable() -> None:
    both = pair()
    stream = opened(both, b"all of it")
    both.client.close_write(stream)
    settle(both)
    both.client.reset(stream, 7)
    settle(both)
    assert StreamWriteStopped(stream, 7) in both.server_events
    assert not any(isinstance(event, StreamWasReset) for event in both.server_events)
    assert both.server.read(stream, 99) == b"all of it"
    assert both.server.is_finished(stream)


def test_a_reader_who_leaves_stops_the_writer_and_not_the_other_direction() -> None:
    both = pair()
    stream = opened(both)
    both.server.discard_reads(stream)
    both.server.discard_reads(stream)
    settle(both)
    assert StreamWriteStopped(stream, 0) in both.client_events
    assert both.client.knows(stream)
    with pytest.raises(StreamClosed):
        both.client.send(stream, b"x")
    both.server.send(stream, b"still")
    both.server.close_write(stream)
    settle(both)
    assert both.client.read(stream, 9) == b"still"
    settle(both)
    assert both.client._streams == both.server._streams == {}


def test_what_comes_for_a_reader_who_left_is_dropped_and_returned_to_the_connection() -> None:
    config = QuicConfig(connection_window=WINDOW)
    both = pair(config=config)
    for _ in range(8):
        stream = opened(both)
        both.client.send(stream, bytes(100_000))
        both.client.close_write(stream)
        both.server.close_write(stream)
        both.flush()
        both.server.discard_reads(stream)
        settle(both, 3)
        assert not both.server.knows(stream)


def test_streams_of_the_peer_come_in_order_though_packets_do_not() -> None:
    both = pair()
    first, second = both.client.open_stream(), both.client.open_stream()
    both.client.send(second, b"second")
    settle(both)
    assert [event for event in both.server_events if isinstance(event, StreamOpened)] == [StreamOpened(second)]
    both.client.send(first, b"first")
    settle(both)
    assert StreamOpened(first) in both.server_events
    assert both.server.read(first, 9) == b"first"
    assert both.server.read(second, 9) == b"second"


def test_a_peer_may_have_as_many_streams_as_it_is_granted_and_opening_waits_there() -> None:
    both = pair(config=QuicConfig(max_streams=10))
    streams = []
    while both.client.can_open():
        stream = both.client.open_stream()
        both.client.send(stream, b"x")
        streams.append(stream)
    assert len(streams) == 10
    with pytest.raises(LimitExceeded):
        both.client.open_stream()
    settle(both)
    for stream in streams:
        both.server.reset(stream)
    settle(both)
    assert both.client.can_open()
    again = both.client.open_stream()
    both.client.send(again, b"x")
    settle(both)
    assert StreamOpened(again) in both.server_events


@pytest.mark.parametrize("who", ["we", "the peer"])
def test_what_waits_to_be_sent_is_let_go_with_a_reset_though_the_peer_never_ends_its_side(who: str) -> None:
    both = pair()
    stream = opened(both)
    assert fill(both, stream, 5.0)
    sender = both.client._quic._streams[stream].sender
    assert sender._buffer
    if who == "we":
        both.client.reset(stream)
    else:
        inject(both, b"\x05" + varint(stream) + varint(0), from_server=True)
    assert not sender._buffer
    settle(both)
    assert both.client.is_established


def test_streams_that_a_peer_never_ends_are_not_remembered_without_bound() -> None:
    config = QuicConfig(max_lingering=5)
    both = pair(config=config)
    for _ in range(5):
        stream = both.client.open_stream()
        both.client.send(stream, b"x")
        both.client.close_write(stream)
        both.client.discard_reads(stream)
    both.conditions.loss = 1.0  # it never answers
    settle(both)
    assert not both.client.can_open()


# --- windows and memory ----------------------------------------------------------------------------------------------------


def fill(both: Pair, stream: int, seconds: float = 5.0, total: int = 1 << 22) -> int:
    """Send what goes while nobody reads; how much that was, with what still waits here."""
    sent, end = 0, both.now + seconds
    while both.now < end and sent < total:
        try:
            sent += both.client.send(stream, bytes(min(100_000, total - sent)))
        except (StreamClosed, LocalError):  # the server has had enough
            break
        both.flush()
        if not both.step():
            break
    return sent


def test_a_slow_reader_holds_the_sender_at_its_window() -> None:
    both = pair()
    stream = opened(both)
    sent = fill(both, stream)
    assert both.server.readable_bytes(stream) == WINDOW - 1  # a byte was read when it was opened
    assert sent <= WINDOW + 131_072
    assert both.client.queued(stream) >= 65_536
    before = both.server.readable_bytes(stream)
    taken = 0
    while taken < before // 2 + 1:
        piece = both.server.read(stream, 65_536)
        assert piece
        taken += len(piece)
    settle(both, 2)
    assert both.server.readable_bytes(stream) > before - taken
    assert stream in both.client.drained


def test_all_streams_together_are_held_at_the_window_of_the_connection() -> None:
    both = pair(config=QuicConfig(connection_window=400_000))
    streams = [opened(both) for _ in range(3)]
    for stream in streams:
        fill(both, stream, 2)
    unread = sum(both.server.readable_bytes(stream) for stream in streams)
    assert 350_000 < unread <= 400_000
    while both.server.read(streams[0], 65_536):
        pass
    settle(both, 2)
    assert sum(both.server.readable_bytes(stream) for stream in streams[1:]) > unread - WINDOW


def test_readers_who_all_wait_for_more_than_a_window_get_it_where_the_connection_has_room_for_their_first_windows() -> None:
    """They used to wait for each other for ever: what was granted to them came out of the window of the connection."""
    size = 600_000
    both = pair(config=QuicConfig(connection_window=10 * WINDOW), memory=budget(8_000_000))
    streams = [opened(both) for _ in range(8)]
    for stream in streams:
        both.server.expect(stream, size)
    left, read = dict.fromkeys(streams, size), dict.fromkeys(streams, 0)
    for _ in range(200):
        for stream in streams:
            left[stream] -= both.client.send(stream, bytes(left[stream]))
            if left[stream] == 0 and both.server.readable_bytes(stream) == size:
                read[stream] = len(both.server.read_exactly(stream, size) or b"")
                both.server.expect(stream, 0)
        settle(both, 0.1)
    assert set(read.values()) == {size}


def test_what_was_granted_for_a_read_and_never_came_is_taken_back_from_the_window_of_the_connection() -> None:
    both = pair(config=QuicConfig(connection_window=4 * WINDOW))
    for _ in range(20):
        stream = opened(both)
        both.server.expect(stream, 1_000_000)
        settle(both)
        both.client.reset(stream)
        settle(both)
    limit = both.server._quic._local_max_data
    assert limit.value - limit.used < 4 * WINDOW + 1_000_000


def test_a_reader_who_waits_for_more_than_a_window_is_given_it() -> None:
    memory = budget()
    both = pair(memory=memory)
    stream = opened(both)
    size = 1_000_000
    both.server.expect(stream, size)
    assert memory.used >= size
    fill(both, stream, 5, size)
    settle(both, 2)
    assert both.server.readable_bytes(stream) == size
    assert both.server.read_exactly(stream, size) == bytes(size)
    both.server.expect(stream, 0)
    assert memory.used < WINDOW


def test_a_reader_who_waits_for_less_than_a_window_needs_nothing() -> None:
    memory = budget()
    both = pair(memory=memory)
    stream = opened(both)
    before = memory.used
    both.server.expect(stream, 200_000)
    assert memory.used == before


def test_more_than_ever_fits_is_refused_at_once() -> None:
    both = pair(memory=budget(1 << 20))
    stream = opened(both)
    with pytest.raises(LimitExceeded):
        both.server.expect(stream, 1 << 21)


def test_a_demand_that_does_not_fit_waits_for_memory() -> None:
    memory = budget(3 << 20)
    both = pair(memory=memory)
    stream = opened(both)
    assert memory.reserve(2 << 20)
    both.server.expect(stream, 2_000_000)
    fill(both, stream, 2)
    assert both.server.readable_bytes(stream) <= WINDOW
    memory.release(2 << 20)
    fill(both, stream, 3, 2_000_000)
    assert both.server.readable_bytes(stream) > WINDOW


def test_a_window_grows_for_a_reader_who_keeps_up() -> None:
    both = pair(Conditions(latency=0.05))
    stream = opened(both)
    data = bytes(6_000_000)
    assert transfer(both, both.client, both.server, stream, data) == data


def test_memory_is_charged_while_bytes_wait_and_given_back_with_them() -> None:
    memory = budget()
    both = pair(memory=memory)
    stream = opened(both, b"x" * 50_000)
    assert 50_000 <= memory.used < 60_000
    assert both.server.read_exactly(stream, 50_000) == b"x" * 50_000
    assert memory.used < 10_000
    both.server.reset(stream)
    assert memory.used == 0


def test_past_the_cap_of_memory_the_largest_unread_stream_goes() -> None:
    memory = budget(300_000)
    both = pair(memory=memory)
    small, large = opened(both), opened(both)
    both.client.send(small, bytes(90_000))
    settle(both)
    fill(both, large, 3)
    assert StreamWasReset(large, StreamCode.LIMIT_EXCEEDED, by_peer=False) in both.server_events
    assert both.server.knows(small)
    assert not memory.is_over()


def test_nothing_is_reset_where_nothing_is_held() -> None:
    both = pair()
    assert both.server.reset_largest_unread() == []
    both.server.open_stream()
    assert both.server.reset_largest_unread() == []


def test_bytes_behind_a_gap_are_charged_too() -> None:
    memory = budget()
    both = pair(memory=memory)
    stream = opened(both)
    lost = []
    carry = both._carry
    both._carry = lambda datagram, target: carry(datagram, target) if lost else lost.append(datagram)
    both.client.send(stream, bytes(5_000))
    both.flush()
    for _ in range(4):
        both.step()
    assert both.server.readable_bytes(stream) == 0
    assert memory.used >= 2_000
    settle(both, 3)
    assert both.server.read_exactly(stream, 5_000) == bytes(5_000)
    assert memory.used < 4_096


@pytest.mark.parametrize("loses_first", [False, True])
def test_what_goes_unread_with_a_stream_is_told(loses_first: bool) -> None:
    node = NodeMemory(1 << 24)
    told: list[int] = []
    node.on_dropped = told.append
    both = pair(memory=node.open(1 << 24))
    stream = opened(both)
    carry = both._carry
    lost = [] if loses_first else [b""]
    both._carry = lambda datagram, target: carry(datagram, target) if lost else lost.append(datagram)
    both.client.send(stream, bytes(5_000))
    both.flush()
    for _ in range(4):
        both.step()
    assert told == []
    both.client.reset(stream, 7)
    settle(both, 3)
    assert 2_000 <= sum(told) <= 6_000


# --- a network that loses, repeats and mixes up ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_everything_arrives_over_a_network_that_loses_repeats_and_mixes_up(seed: int) -> None:
    random = Random(seed)
    conditions = Conditions(random, latency=0.01, jitter=0.02 * random.random(), loss=0.1 * random.random(), duplication=0.2)
    memory = budget()
    both = pair(conditions, memory=memory)
    stream = both.client.open_stream()
    up, down = random.randbytes(150_000), random.randbytes(150_000)
    assert transfer(both, both.client, both.server, stream, up, 300) == up
    assert transfer(both, both.server, both.client, stream, down, 300) == down
    settle(both, 30)
    assert both.client._streams == both.server._streams == {}
    assert memory.used == 0


def test_many_streams_at_once_over_such_a_network() -> None:
    random = Random(3)
    both = pair(Conditions(random, jitter=0.02, loss=0.05, duplication=0.1))
    wanted: dict[int, bytes] = {}
    for number in range(100):
        stream = both.client.open_stream() if number % 2 else both.server.open_stream()
        sender = both.client if number % 2 else both.server
        wanted[stream] = random.randbytes(random.randrange(1, 3_000))
        sender.send(stream, wanted[stream])
        sender.close_write(stream)
    settle(both, 60)
    for stream, data in wanted.items():
        receiver = both.server if stream % 4 == 0 else both.client
        assert receiver.read_exactly(stream, len(data)) == data
        assert receiver.is_finished(stream)


# --- the end ---------------------------------------------------------------------------------------------------------------


def test_a_goodbye_comes_after_everything_that_was_written() -> None:
    both = pair()
    stream = opened(both)
    data = bytes(100_000)
    both.client.send(stream, data)
    both.client.close_write(stream)
    both.client.close(0x1005)
    both.client.close(3)
    with pytest.raises(ConnectionClosed):
        both.client.open_stream()
    assert not both.client.can_open()
    settle(both, 5)
    assert both.client.is_over
    [event] = [event for event in both.server_events if isinstance(event, ConnectionFailed)]
    assert isinstance(event.error, ConnectionClosed)
    assert (event.error.code, event.error.by) == (0x1005, "remote")
    assert both.server.read_exactly(stream, len(data)) == data
    assert both.server.is_over
    assert both.client.closing_time() > 0


def test_a_goodbye_comes_after_the_end_of_a_stream_whose_bytes_came_before() -> None:
    both = pair()
    stream = opened(both, b"all")
    settle(both)
    both.client.close_write(stream)
    both.client.close()
    settle(both)
    assert both.client.is_over
    assert both.server.read(stream, 10) == b"all"
    assert not any(isinstance(event, StreamWasReset) for event in both.server_events)
    assert both.server.is_finished(stream)


def test_a_goodbye_does_not_wait_for_a_stream_that_was_reset() -> None:
    both = pair()
    stream = opened(both, b"some")
    both.conditions.loss = 1.0
    both.client.send(stream, b"more")
    both.client.reset(stream)
    both.client.close()
    both.flush()
    assert both.client.is_over


def test_a_connection_that_is_aborted_ends_at_once_at_the_other_side() -> None:
    both = pair()
    stream = opened(both, b"unread")
    both.client.close_now()
    settle(both)
    [event] = [event for event in both.server_events if isinstance(event, ConnectionFailed)]
    assert isinstance(event.error, ConnectionClosed)
    assert event.error.by == "network"
    assert not both.server.knows(stream)
    assert both.server._streams == {}


def test_a_goodbye_that_may_not_wait_goes_at_once() -> None:
    both = pair()
    stream = opened(both)
    both.client.send(stream, bytes(100_000))
    both.client.close(0x1006)
    both.client.close_now()
    settle(both)
    [event] = [event for event in both.server_events if isinstance(event, ConnectionFailed)]
    assert isinstance(event.error, ConnectionClosed)
    assert event.error.code == 0x1006


def test_streams_that_come_after_our_goodbye_are_reset() -> None:
    both = pair()
    mine = opened(both)
    both.conditions.latency = 0.2
    both.server.send(mine, bytes(1_000))
    both.server.close(0)
    theirs = both.client.open_stream()
    both.client.send(theirs, b"too late")
    settle(both, 0.3)
    assert StreamOpened(theirs) not in both.server_events


def test_a_quiet_connection_stays_open() -> None:
    both = pair()
    both.run(300)
    assert both.client.is_established
    assert both.server.is_established


def test_a_connection_ends_when_nothing_comes_any_more() -> None:
    both = pair()
    both.conditions.loss = 1.0
    both.run(120)
    for events in (both.client_events, both.server_events):
        [event] = [event for event in events if isinstance(event, ConnectionFailed)]
        assert isinstance(event.error, ConnectionClosed)
        assert event.error.by == "network"
    assert both.client.handle_timeout(both.now) == []
    assert both.client.next_timeout() is None


def test_the_lower_idle_timeout_of_both_sides_holds() -> None:
    theirs = Identity.generate()
    both = Pair(engine(Identity.generate()), lambda origin: engine(theirs, origin=origin, config=QuicConfig(idle_timeout=10.0)))
    both.establish()
    sent = both.sent[CLIENT]
    both.run(60)
    assert both.client.is_established
    assert both.sent[CLIENT] > sent
    both.conditions.loss = 1.0
    both.run(16)  # a ping after 5 s, and 10 s for its answer
    assert not both.client.is_established


def test_a_doubt_is_answered_or_ends_the_connection() -> None:
    both = pair()
    both.client.probe(2.0, both.now)
    settle(both, 3)
    assert both.client.is_established
    both.conditions.loss = 1.0
    both.run(0.5)  # until what is under way has arrived
    both.client.probe(2.0, both.now)
    settle(both, 3)
    [event] = [event for event in both.client_events if isinstance(event, ConnectionFailed)]
    assert isinstance(event.error, ConnectionClosed)
    both.client.probe(2.0, both.now)
    assert both.client.is_over


def test_what_is_no_packet_of_the_peers_ends_no_doubt() -> None:
    both = pair()
    both.run(0.5)
    both.conditions.loss = 1.0
    both.client.probe(2.0, both.now)
    forged = b"\x41" + both.client.connection_ids[0] + bytes(40)
    both.client.receive(forged, SERVER, both.now + 1)
    settle(both, 3)
    assert any(isinstance(event, ConnectionFailed) for event in both.client_events)


def test_the_round_trip_is_measured_now_and_then() -> None:
    both = pair(Conditions(latency=0.05))
    both.run(40)
    measured = [event.seconds for event in both.client_events if isinstance(event, RoundTripMeasured)]
    assert measured
    assert measured[-1] == pytest.approx(0.1, abs=0.03)


# --- what a peer must not ---------------------------------------------------------------------------------------------------


def violated(both: Pair) -> ConnectionFailed:
    settle(both, 3)
    [event] = [event for event in both.server_events if isinstance(event, ConnectionFailed)]
    assert isinstance(event.error, ProtocolViolation)
    assert not both.server.can_open()
    return event


def test_a_unidirectional_stream_ends_the_connection() -> None:
    both = pair()
    quic = both.client._quic
    quic._remote_max_streams_uni, quic._remote_max_stream_data_uni = 5, 1_000
    quic.send_stream_data(quic.get_next_available_stream_id(is_unidirectional=True), b"x")
    assert "Too many streams" in str(violated(both).error)


def test_a_stream_too_many_ends_the_connection() -> None:
    both = pair(config=QuicConfig(max_streams=3))
    both.client._quic._remote_max_streams_bidi = 10
    for _ in range(4):
        both.client.send(both.client.open_stream(), b"x")
    violated(both)


def test_bytes_past_the_window_of_a_stream_end_the_connection() -> None:
    both = pair()
    stream = opened(both)
    both.client._quic._streams[stream].max_stream_data_remote = 1 << 30
    fill(both, stream, 3)
    assert "window of the stream" in str(violated(both).error)


def test_bytes_past_the_window_of_the_connection_end_it() -> None:
    both = pair(config=QuicConfig(connection_window=300_000))
    both.client._quic._remote_max_data = 1 << 30
    for _ in range(2):
        fill(both, opened(both), 2)
    assert "window of the connection" in str(violated(both).error)


def test_what_comes_behind_a_violation_is_not_looked_at() -> None:
    both = pair()
    stream = opened(both)
    inject(both, b"\x0e" + varint(stream) + varint(1 << 40) + varint(1) + b"x")
    assert inject(both, b"\x0e" + varint(stream) + varint(1) + varint(1) + b"x") == []
    violated(both)


def test_a_final_size_that_changes_ends_the_connection() -> None:
    both = pair()
    stream = opened(both, b"12345")
    sender = both.client._quic._streams[stream].sender
    both.client.close_write(stream)
    settle(both)
    sender._buffer_fin, sender._buffer_stop, sender._pending_eof, sender.buffer_is_empty = 9, 9, True, False
    violated(both)


def test_pings_without_end_end_the_connection() -> None:
    both = pair(config=QuicConfig(useless_frames=50))
    for _ in range(60):
        both.client._quic.send_ping(0)
        both.flush()
        both.step()
    assert "change nothing" in str(violated(both).error)


def test_datagram_frames_are_dropped() -> None:
    both = pair()
    both.client._quic.send_datagram_frame(b"unused")
    settle(both)
    assert both.server.is_established
    assert both.client.is_established


def test_gaps_without_end_end_the_connection() -> None:
    both = pair(config=QuicConfig(max_gaps=5))
    stream = opened(both)
    kept = []
    carry = both._carry

    def every_other(datagram, target):
        if target == SERVER:
            kept.append(datagram)
            if len(kept) % 2:
                return
        carry(datagram, target)

    both._carry = every_other
    for _ in range(20):
        both.client.send(stream, bytes(1_200))
        both.flush()
        both.step()
    settle(both, 0.5)
    [event] = [event for event in both.server_events if isinstance(event, ConnectionFailed)]
    assert "gaps" in str(event.error)


def test_larger_datagrams_are_sent_as_far_as_the_peer_takes_them() -> None:
    both = pair()
    for side in (both.client, both.server):
        side.use_datagram_size(8_000)
    sizes = []
    carry = both._carry

    def watch(datagram, target):
        sizes.append(len(datagram))
        carry(datagram, target)

    both._carry = watch
    stream = opened(both)
    fill(both, stream, 1)
    assert max(sizes) == 8_000
    both.client._quic.max_payload = 1_452
    both.client.use_datagram_size(16_384)
    assert both.client._quic._max_datagram_size == 1_452


@pytest.mark.parametrize(("said", "sent"), [(1_452, 1_452), (None, 16_384)])
def test_what_the_peer_takes_in_a_datagram_is_what_it_says(said: int | None, sent: int) -> None:
    def make(origin):
        server = engine(Identity.generate(), origin=origin)
        serialize = server._quic._serialize_transport_parameters

        def modest() -> bytes:
            parameters = pull_quic_transport_parameters(Buffer(data=serialize()))
            parameters.max_udp_payload_size = said
            buffer = Buffer(capacity=1_000)
            push_quic_transport_parameters(buffer, parameters)
            return buffer.data

        vars(server._quic)["_serialize_transport_parameters"] = modest
        return server

    both = Pair(engine(Identity.generate()), make)
    both.establish()
    both.client.use_datagram_size(16_384)
    assert both.client._quic._max_datagram_size == sent


def test_a_datagram_larger_than_we_announce_is_dropped() -> None:
    both = pair(config=QuicConfig(loopback_datagram_size=2_000))
    assert both.client._quic.max_payload == both.server._quic.max_payload == 2_000
    inject(both, b"\x1d\x00\x00" + bytes(2_000))  # a goodbye
    assert not any(isinstance(event, ConnectionFailed) for event in both.server_events)
    inject(both, b"\x1d\x00\x00" + bytes(1_900))
    assert any(isinstance(event, ConnectionFailed) for event in both.server_events)


def test_a_listener_cant_send_us_to_another_address() -> None:
    def make(origin):
        server = engine(Identity.generate(), origin=origin)
        serialize = server._quic._serialize_transport_parameters

        def elsewhere() -> bytes:
            parameters = pull_quic_transport_parameters(Buffer(data=serialize()))
            parameters.preferred_address = QuicPreferredAddress(("192.0.2.77", 53), None, bytes(8), bytes(16))
            buffer = Buffer(capacity=1_000)
            push_quic_transport_parameters(buffer, parameters)
            return buffer.data

        vars(server._quic)["_serialize_transport_parameters"] = elsewhere
        return server

    both = Pair(engine(Identity.generate()), make)
    addresses = set()
    carry = both._carry

    def watch(datagram, target):
        addresses.add(target)
        carry(datagram, target)

    both._carry = watch
    both.establish()
    settle(both)
    assert addresses == {CLIENT, SERVER}


def varint(number: int) -> bytes:
    buffer = Buffer(capacity=8)
    buffer.push_uint_var(number)
    return buffer.data


def test_an_offset_beyond_all_bounds_ends_the_connection() -> None:
    both = pair()
    inject(both, b"\x0e" + varint(0) + varint((1 << 62) - 1) + varint(1) + b"x")
    assert "2^62" in str(violated(both).error)


def test_empty_frames_are_put_up_with_for_a_while() -> None:
    both = pair(config=QuicConfig(useless_frames=3))
    for _ in range(3):
        inject(both, b"\x0a" + varint(0) + varint(0))
    assert both.server.is_established
    inject(both, b"\x0a" + varint(0) + varint(0))
    assert "change nothing" in str(violated(both).error)


FLOODS = {
    "acknowledgements": bytes([0x02, 0, 0, 0, 0]),
    "handshake messages again": bytes([0x06, 0, 1, 0]),
    "stops": bytes([0x05, 0, 0]),
    "resets": bytes([0x04, 0, 0, 1]),
    "old bytes": bytes([0x0A, 0, 1, 0]),
    "windows": bytes([0x10, 0]),
    "windows of a stream": bytes([0x11, 0, 0]),
    "blocked": bytes([0x14, 0]),
    "answers to challenges": bytes([0x1B]) + bytes(8),
}


@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS.keys())
def test_floods_of_frames_that_bring_no_bytes_end_the_connection(frame: bytes) -> None:
    both = pair(config=QuicConfig(control_frames=100))
    stream = opened(both, b"x")
    assert stream == 0
    inject(both, frame * 50)
    assert both.server.is_established
    for _ in range(3):
        inject(both, frame * 50)
    assert "too many frames" in str(violated(both).error)


def test_tokens_for_later_are_dropped() -> None:
    both = pair()
    assert inject(both, b"\x07" + varint(3) + b"abc", from_server=True) == []
    assert both.client.is_established


def test_bytes_that_come_after_a_reset_are_dropped() -> None:
    both = pair()
    stream = opened(both)
    inject(both, b"\x04" + varint(stream) + varint(7) + varint(100))
    assert StreamWasReset(stream, 7, by_peer=True) in both.server_events
    assert inject(both, b"\x0e" + varint(stream) + varint(1) + varint(3) + b"abc") == []
    assert inject(both, b"\x0e" + varint(stream) + varint(50) + varint(3) + b"abc") == []
    assert not both.server.knows(stream)
    assert both.server.is_established


def test_nothing_goes_out_before_there_is_somewhere_to_go() -> None:
    idle = engine(Identity.generate())
    assert idle.datagrams_to_send(0.0) == []
    assert idle.next_timeout() is None
    assert idle.handle_timeout(0.0) == []


def test_a_write_side_that_the_peer_has_stopped_can_be_closed() -> None:
    both = pair()
    stream = opened(both)
    both.server.discard_reads(stream)
    settle(both)
    both.client.close_write(stream)
    assert both.client.knows(stream)


def test_a_stream_that_outlives_its_connection_can_be_reset() -> None:
    both = pair()
    stream = opened(both, b"whole")
    both.client.close_write(stream)
    settle(both)
    both.client.close_now()
    settle(both)
    assert both.server.knows(stream)
    both.server.reset(stream)
    assert not both.server.knows(stream)


def test_a_reader_of_a_stream_that_outlives_its_connection_may_leave() -> None:
    both = pair()
    stream = opened(both, b"whole")
    both.client.close_write(stream)
    settle(both)
    both.client.close_now()
    settle(both)
    both.server.discard_reads(stream)
    assert not both.server.knows(stream)


def test_memory_that_is_over_for_another_reason_resets_nothing() -> None:
    memory = budget(100_000)
    both = pair(memory=memory)
    stream = opened(both)
    memory.charge(200_000)
    both.client.send(stream, bytes(2_000))
    settle(both)
    assert not both.server.knows(stream)
    inject(both, b"\x01")
    assert both.server.is_established


def test_our_own_goodbye_is_not_told_as_the_peers() -> None:
    both = pair()
    both.client.close(5)
    both.run(1)
    assert both.client.is_over
    assert not any(isinstance(event, ConnectionFailed) for event in both.client_events)


def test_readable_is_said_once_for_what_comes_together() -> None:
    both = pair()
    stream = both.client.open_stream()
    both.client.send(stream, b"a")
    both.client.close_write(stream)
    settle(both)
    assert both.server_events.count(StreamReadable(stream)) == 1

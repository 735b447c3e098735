"""Datagrams that belong to no connection."""

from aioquic._buffer import Buffer
from aioquic.quic.packet import QuicPacketType, encode_quic_version_negotiation, pull_quic_header
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.admission.limits import Limits
from cortexnet.identity.identity import Identity
from cortexnet.mux.muxer import ConnectionFailed
from cortexnet.quic.arrivals import (
    MIN_INITIAL,
    Arrival,
    Doorkeeper,
    Welcome,
    destination,
    read_arrival,
    refusal,
    version_negotiation,
)
from cortexnet.quic.closing import ConnectionRefused
from cortexnet.quic.engine import Address, Origin
from tests.support.quic_pair import CLIENT, SERVER, Pair, engine


def initial() -> bytes:
    client = engine(Identity.generate())
    client.connect(SERVER, 0.0)
    return client.datagrams_to_send(0.0)[0][0]


def arrival(datagram: bytes | None = None) -> Arrival:
    found = read_arrival(datagram or initial())
    assert found is not None
    return found


def doorkeeper(**limits: int | bool) -> Doorkeeper:
    return Doorkeeper(Limits(**limits), lambda size: bytes(range(size)))


@given(st.binary(max_size=64) | st.binary(min_size=MIN_INITIAL, max_size=MIN_INITIAL + 64))
def test_noise_is_read_without_an_error(datagram: bytes) -> None:
    destination(datagram)
    read_arrival(datagram)


@given(st.integers(0, 59), st.integers(0, 255))
def test_a_changed_header_is_read_without_an_error(position: int, value: int) -> None:
    changed = bytearray(INITIAL)
    changed[position] = value
    destination(bytes(changed))
    read_arrival(bytes(changed))


INITIAL = initial()


def test_a_packet_is_for_the_id_in_its_header() -> None:
    assert destination(INITIAL) == arrival(INITIAL).destination
    assert destination(b"\x40abcdefghXXXX") == b"abcdefgh"
    assert destination(b"") == destination(b"\xc0\0\0\0\1") == b""


def test_only_a_long_initial_packet_begins_a_connection() -> None:
    assert arrival(INITIAL).is_known_version
    assert read_arrival(INITIAL[: MIN_INITIAL - 1]) is None
    assert read_arrival(b"\x40" + INITIAL[1:]) is None  # a short header
    assert read_arrival(bytes([INITIAL[0] | 0x20]) + INITIAL[1:]) is None  # of the handshake
    assert read_arrival(bytes([INITIAL[0] & ~0x40]) + INITIAL[1:]) is None  # not QUIC
    versions = encode_quic_version_negotiation(source_cid=bytes(8), destination_cid=bytes(8), supported_versions=[1] * 300)
    assert read_arrival(versions) is None
    short_id = INITIAL[:5] + b"\x04abcd" + INITIAL[14:]
    assert read_arrival(short_id) is None


def test_another_version_is_told_ours() -> None:
    found = arrival(INITIAL[:1] + b"\xba\xba\xba\xba" + INITIAL[5:])
    assert not found.is_known_version
    header = pull_quic_header(Buffer(data=version_negotiation(found)))
    assert header.packet_type == QuicPacketType.VERSION_NEGOTIATION
    assert header.supported_versions == [1]
    assert (header.destination_cid, header.source_cid) == (found.source, found.destination)


def test_a_refusal_is_understood() -> None:
    client = engine(Identity.generate())
    client.connect(SERVER, 0.0)
    datagram = client.datagrams_to_send(0.0)[0][0]
    answer = refusal(arrival(datagram))
    assert len(answer) < 100
    [event] = client.receive(answer, SERVER, 0.1)
    assert isinstance(event, ConnectionFailed)
    assert isinstance(event.error, ConnectionRefused)


def test_refusals_are_silent_where_there_are_too_many() -> None:
    keeper, asked = doorkeeper(), arrival()
    answers = [keeper.refuse(asked, 0.5) for _ in range(150)]
    assert sum(answer is not None for answer in answers) == 100
    assert keeper.refuse(asked, 1.6) is not None


def test_few_newcomers_are_let_in_at_once() -> None:
    keeper, asked = doorkeeper(), arrival()
    assert keeper.judge(asked, CLIENT, 0, 0.0) == Welcome(Origin(asked.destination), is_proven=False)


def test_above_a_number_of_handshakes_the_address_has_to_be_proven() -> None:
    keeper, asked = doorkeeper(), arrival()
    assert isinstance(keeper.judge(asked, CLIENT, 31, 0.0), Welcome)
    retry = keeper.judge(asked, CLIENT, 32, 0.0)
    assert isinstance(retry, bytes)
    assert len(retry) <= 3 * len(INITIAL)


def test_many_newcomers_of_one_address_have_to_prove_it() -> None:
    keeper, asked = doorkeeper(), arrival()
    answers = [isinstance(keeper.judge(asked, CLIENT, 0, 0.0), Welcome) for _ in range(6)]
    assert answers == [True] * 4 + [False] * 2
    assert isinstance(keeper.judge(asked, ("192.0.2.77", 1), 0, 0.0), Welcome)


def test_loopback_is_asked_only_where_it_is_limited() -> None:
    home: Address = ("127.0.0.1", 1)
    asked = arrival()
    assert all(isinstance(doorkeeper().judge(asked, home, 0, 0.0), Welcome) for _ in range(9))
    keeper = doorkeeper(limit_loopback=True)
    assert [isinstance(keeper.judge(asked, home, 0, 0.0), Welcome) for _ in range(5)] == [True] * 4 + [False]


def retried(keeper: Doorkeeper, now: float = 0.0) -> tuple[Pair, bytes, Arrival]:
    """A client that was told to come back, and with what it does."""
    both = Pair(engine(Identity.generate()), lambda origin: engine(Identity.generate(), origin=origin))
    first = both._wire.pop()[3]
    answer = keeper.judge(arrival(first), CLIENT, 32, now)
    assert isinstance(answer, bytes)
    assert both.client.receive(answer, SERVER, both.now) == []
    [again] = [datagram for datagram, _ in both.client.datagrams_to_send(both.now)]
    return both, first, arrival(again)


def test_who_comes_back_with_the_token_is_let_in_whatever_goes_on() -> None:
    keeper = doorkeeper()
    _, first, again = retried(keeper)
    assert keeper.judge(again, CLIENT, 1_000, 1.0) == Welcome(
        Origin(arrival(first).destination, again.destination), is_proven=True
    )


def test_a_token_is_worth_nothing_from_elsewhere_late_or_changed() -> None:
    keeper = doorkeeper()
    _, _, again = retried(keeper)
    assert isinstance(keeper.judge(again, ("192.0.2.99", 4001), 1_000, 1.0), bytes)
    assert isinstance(keeper.judge(again, CLIENT, 1_000, 60.0), bytes)
    assert isinstance(keeper.judge(again, CLIENT, 1_000, 1.0), Welcome)
    for token in (again.token[:-1] + bytes([again.token[-1] ^ 1]), b"x", b"y" * 100):
        forged = Arrival(again.version, again.destination, again.source, token)
        assert isinstance(keeper.judge(forged, CLIENT, 1_000, 1.0), bytes)
    assert isinstance(doorkeeper().judge(again, CLIENT, 1_000, 1.0), bytes)  # another process's

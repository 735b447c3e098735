from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from cortexnet.admission.limits import Limits
from cortexnet.admission.resources import Direction, Reservation, Resources
from cortexnet.admission.stream_slots import StreamReservation
from cortexnet.errors import Denied, LimitExceeded, LocalError
from cortexnet.identity.peer_id import PeerId

PEERS = [PeerId(bytes([0x12, 32]) + bytes([number]) * 32) for number in range(200)]
A, B = PEERS[:2]


def ipv4(number: int) -> str:
    return f"10.0.{number}.1"


Admit = Callable[[Resources, int], Reservation]
ADMISSIONS: list[tuple[Admit, str]] = [
    (lambda r, n: r.admit_connection("inbound", ipv4(n), PEERS[n]), "connections"),
    (lambda r, n: r.admit_connection("inbound", ipv4(n), PEERS[n]), "connections_inbound"),
    (lambda r, n: r.admit_connection("outbound", ipv4(n), PEERS[n]), "connections_outbound"),
    (lambda r, n: r.admit_connection("outbound", ipv4(n), A), "connections_per_peer"),
    (lambda r, n: r.admit_connection("outbound", "10.0.0.1", PEERS[n]), "connections_per_ipv4"),
    (lambda r, n: r.admit_connection("inbound", "::ffff:10.0.0.1", PEERS[n]), "connections_per_ipv4"),
    (lambda r, n: r.admit_connection("inbound", f"10.0.0.{n}", PEERS[n]), "connections_per_ipv4_24"),
    (lambda r, n: r.admit_connection("inbound", f"2001:db8::{n:x}", PEERS[n]), "connections_per_ipv6_56"),
    (lambda r, n: r.admit_connection("inbound", f"2001:db8:0:{n:x}00::1", PEERS[n]), "connections_per_ipv6_48"),
    (lambda r, n: r.admit_inbound(ipv4(n)), "unauthenticated"),
    (lambda r, n: r.admit_inbound("10.0.0.1"), "unauthenticated_per_address"),
    (lambda r, n: r.admit_inbound(f"2001:db8::{n:x}"), "unauthenticated_per_address"),
    (lambda r, n: r.admit_dial(None, ipv4(n)), "dials"),
    (lambda r, n: r.admit_dial(A, ipv4(n)), "dials_per_peer"),
]


@pytest.mark.parametrize(("admit", "setting"), ADMISSIONS)
def test_each_cap_is_reached_and_not_passed(admit: Admit, setting: str) -> None:
    resources = Resources(Limits(**{setting: 3}))
    held = [admit(resources, number) for number in range(3)]
    before = resources.snapshot()
    with pytest.raises(LimitExceeded) as caught:
        admit(resources, 3)
    error = caught.value
    assert (error.limit, error.value, error.setting) == (3, 4, f"limits.{setting}")
    assert resources.snapshot() == before
    held.pop().release()
    admit(resources, 3)


def test_an_error_names_who_it_is_about() -> None:
    resources = Resources(Limits(connections_per_peer=0, connections_per_ipv4_24=0))
    with pytest.raises(LimitExceeded, match=f"connections per peer of {A}: 1 is over the limit of 0"):
        resources.admit_connection("inbound", ipv4(1), A)
    with pytest.raises(LimitExceeded, match=r"connections per ipv4 24 of 10\.0\.1\.0/24"):
        resources.admit_inbound(ipv4(1))


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_limited_by_address_only_if_asked_for(ip: str) -> None:
    free = Resources(Limits(connections_per_ipv4=0, connections_per_ipv6_56=0, unauthenticated_per_address=0))
    free.admit_inbound(ip).authenticated(A)
    strict = Resources(Limits(connections_per_ipv4=0, connections_per_ipv6_56=0, limit_loopback=True))
    with pytest.raises(LimitExceeded):
        strict.admit_inbound(ip)


def test_a_connection_without_an_address_counts_but_not_by_address() -> None:
    resources = Resources(Limits(connections_per_ipv4=0, connections=1))
    resources.admit_connection("inbound", None, A, has_socket=False)
    with pytest.raises(LimitExceeded, match=r"limits\.connections$"):
        resources.admit_inbound(None)


def test_a_connection_is_refused_before_a_handshake_that_would_be_in_vain() -> None:
    resources = Resources(Limits(connections_per_ipv4=1))
    resources.admit_connection("outbound", ipv4(1), A)
    with pytest.raises(LimitExceeded, match=r"limits\.connections_per_ipv4$"):
        resources.admit_inbound(ipv4(1))
    with pytest.raises(LimitExceeded, match=r"limits\.connections_per_ipv4$"):
        resources.admit_dial(B, ipv4(1))


def test_authentication_moves_the_count() -> None:
    resources = Resources(Limits())
    reservation = resources.admit_inbound(ipv4(1))
    assert (reservation.peer, reservation.memory.limit) == (None, 65_536)
    reservation.authenticated(A)
    assert (reservation.peer, reservation.memory.limit) == (A, 16 * 1024 * 1024)
    snapshot = resources.snapshot()
    assert (snapshot["unauthenticated"], snapshot["connections"], snapshot["connections_inbound"]) == (0, 1, 1)


def test_a_dial_becomes_a_connection() -> None:
    resources = Resources(Limits())
    reservation = resources.admit_dial(None, ipv4(1))
    assert resources.snapshot()["dials"] == 1
    reservation.authenticated(B)
    snapshot = resources.snapshot()
    assert (snapshot["dials"], snapshot["connections_outbound"], snapshot["file_descriptors"]) == (0, 1, 1)


def test_authentication_over_a_limit_changes_nothing() -> None:
    resources = Resources(Limits(connections_per_peer=1))
    resources.admit_connection("inbound", ipv4(1), A)
    late = resources.admit_inbound(ipv4(2))
    before = resources.snapshot()
    with pytest.raises(LimitExceeded, match="connections per peer"):
        late.authenticated(A)
    assert resources.snapshot() == before
    late.authenticated(B)


def test_authentication_happens_once_and_not_after_release() -> None:
    resources = Resources(Limits())
    reservation = resources.admit_inbound(ipv4(1))
    reservation.authenticated(A)
    with pytest.raises(LocalError):
        reservation.authenticated(A)
    released = resources.admit_inbound(ipv4(1))
    released.release()
    with pytest.raises(LocalError):
        released.authenticated(A)
    with pytest.raises(LocalError):
        resources.admit_connection("inbound", None, B).authenticated(B)


def test_the_oldest_unauthenticated_connection_of_all_makes_place() -> None:
    resources = Resources(Limits(unauthenticated=3))
    held = [resources.admit_inbound(ipv4(number)) for number in range(2)]
    assert resources.oldest_to_evict(ipv4(9)) is None
    held.append(resources.admit_inbound(ipv4(2)))
    oldest = resources.oldest_to_evict(ipv4(9))
    assert oldest is held[0]
    oldest.release()
    resources.admit_inbound(ipv4(9))
    held[1].authenticated(A)
    assert resources.oldest_to_evict(None) is None


def test_the_oldest_of_the_same_address_makes_place_first() -> None:
    resources = Resources(Limits(unauthenticated_per_address=2))
    resources.admit_inbound(None)
    resources.admit_inbound(ipv4(1))
    of_host = [resources.admit_inbound(ipv4(2)) for _ in range(2)]
    assert resources.oldest_to_evict(ipv4(1)) is None
    assert resources.oldest_to_evict(ipv4(2)) is of_host[0]


def test_who_would_be_refused_displaces_nobody() -> None:
    resources = Resources(Limits(unauthenticated=1, connections_per_ipv4=1))
    resources.admit_connection("inbound", ipv4(1), A)
    honest = resources.admit_inbound(ipv4(2))
    assert resources.oldest_to_evict(ipv4(1)) is None
    assert resources.oldest_to_evict(ipv4(3)) is honest


def test_nothing_can_be_evicted_where_none_is_allowed() -> None:
    for limits in (Limits(unauthenticated=0), Limits(unauthenticated_per_address=0)):
        resources = Resources(limits)
        assert resources.oldest_to_evict(ipv4(1)) is None
        with pytest.raises(LimitExceeded):
            resources.admit_inbound(ipv4(1))


def test_a_dialer_can_ask_whether_there_is_a_slot() -> None:
    resources = Resources(Limits(dials=2, dials_per_peer=1))
    first = resources.admit_dial(A, None)
    assert (resources.can_dial(A), resources.can_dial(B), resources.can_dial(None)) == (False, True, True)
    resources.admit_dial(None, None)
    assert not resources.can_dial(B)
    first.release()
    assert resources.can_dial(A)


def test_sockets_are_half_of_what_the_process_may_open_less_one_in_reserve() -> None:
    resources = Resources(Limits(), process_descriptors=6)
    resources.admit_listener()
    resources.admit_inbound(None, has_socket=False)
    dial = resources.admit_dial(A, None)
    for admit in (resources.admit_listener, lambda: resources.admit_inbound(None), lambda: resources.admit_dial(B, None)):
        with pytest.raises(LimitExceeded, match=r"file descriptors: 3 is over the limit of 2.*limits\.file_descriptors"):
            admit()
    dial.release()
    resources.admit_listener()


def test_the_setting_for_sockets_wins_over_the_process_limit() -> None:
    for limits in (Limits(file_descriptors=1), Limits(file_descriptors=0)):
        with pytest.raises(LimitExceeded):
            Resources(limits, process_descriptors=1000).admit_listener()


def test_the_heaviest_connection_is_found_by_its_memory() -> None:
    resources = Resources(Limits())
    assert resources.heaviest() is None
    light, heavy = resources.admit_connection("inbound", None, A), resources.admit_connection("inbound", None, B)
    light.memory.charge(5)
    heavy.memory.charge(6)
    assert resources.heaviest() is heavy
    another = resources.admit_connection("inbound", None, A)
    another.memory.charge(4)
    assert resources.heaviest() is light


def test_what_is_left_goes_back_when_the_block_ends_and_only_once() -> None:
    resources = Resources(Limits())
    with resources.admit_inbound(ipv4(1)) as reservation:
        reservation.authenticated(A)
        reservation.memory.charge(1000)
        stream = reservation.streams.open_inbound()
    reservation.release()
    reservation.memory.release(1000)
    assert {name: count for name, count in resources.snapshot().items() if count} == {
        "streams_inbound": 1,
        "streams_negotiating": 1,
        "entries": 1,
    }
    stream.release()
    assert not any(resources.snapshot().values())


class Accounting(RuleBasedStateMachine):
    """Any order of admissions, moves and releases: no cap is passed, and nothing is left at the end."""

    connections = Bundle("connections")
    streams = Bundle("streams")

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(
            connections_inbound=3,
            connections_outbound=2,
            connections=4,
            connections_per_peer=2,
            connections_per_ipv4=2,
            connections_per_ipv4_24=3,
            unauthenticated=3,
            unauthenticated_per_address=2,
            dials=2,
            dials_per_peer=1,
            streams_inbound=5,
            streams_inbound_per_connection=2,
            streams_inbound_per_peer=4,
            streams_inbound_per_protocol=4,
            streams_inbound_per_protocol_and_peer=3,
            streams_negotiating=4,
            memory=100,
            peer_memory=60,
            connection_memory=50,
            unauthenticated_memory=20,
            file_descriptors=7,
        )
        self.resources = Resources(self.limits)
        self.live: dict[Reservation, None] = {}
        self.live_streams: dict[StreamReservation, None] = {}

    def keep(self, admit: Callable[[], Reservation]) -> Reservation:
        before = self.resources.snapshot()
        try:
            reservation = admit()
        except LimitExceeded:
            assert self.resources.snapshot() == before
            return next(iter(self.live)) if self.live else Resources(self.limits).admit_inbound(None)
        self.live[reservation] = None
        return reservation

    ips = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.1.1", "127.0.0.1", "2001:db8::1", None])
    peers = st.sampled_from(PEERS[:3])

    @rule(target=connections, ip=ips)
    def accept(self, ip: str | None) -> Reservation:
        oldest = self.resources.oldest_to_evict(ip)
        if oldest is not None:
            oldest.release()
            self.live.pop(oldest)
            assert self.resources.oldest_to_evict(ip) is None
        return self.keep(lambda: self.resources.admit_inbound(ip))

    @rule(target=connections, ip=ips, peer=peers | st.none())
    def dial(self, ip: str | None, peer: PeerId | None) -> Reservation:
        return self.keep(lambda: self.resources.admit_dial(peer, ip))

    @rule(target=connections, ip=ips, peer=peers, direction=st.sampled_from(["inbound", "outbound"]))
    def connect(self, ip: str | None, peer: PeerId, direction: Direction) -> Reservation:
        return self.keep(lambda: self.resources.admit_connection(direction, ip, peer, has_socket=False))

    @rule(target=connections)
    def listen(self) -> Reservation:
        return self.keep(self.resources.admit_listener)

    @rule(reservation=connections, peer=peers)
    def authenticate(self, reservation: Reservation, peer: PeerId) -> None:
        before = self.resources.snapshot()
        try:
            reservation.authenticated(peer)
        except (LimitExceeded, LocalError):
            assert self.resources.snapshot() == before

    @rule(reservation=consumes(connections))
    def release(self, reservation: Reservation) -> None:
        reservation.release()
        self.live.pop(reservation, None)

    @rule(reservation=connections, size=st.integers(0, 60), force=st.booleans())
    def take_memory(self, reservation: Reservation, size: int, force: bool) -> None:
        memory = reservation.memory
        if force:
            memory.charge(size)
            memory.release(size)
        elif memory.reserve(size):
            assert memory.used <= memory.limit

    @rule(target=streams, reservation=connections, inbound=st.booleans())
    def open_stream(self, reservation: Reservation, inbound: bool) -> StreamReservation:
        slots = reservation.streams
        try:
            stream = slots.open_inbound() if inbound else slots.open_outbound()
        except LimitExceeded:
            stream = Resources(self.limits).admit_inbound(None).streams.open_outbound()
        self.live_streams[stream] = None
        return stream

    @rule(stream=streams, extended=st.booleans())
    def negotiate(self, stream: StreamReservation, extended: bool) -> None:
        before = self.resources.streams.inbound
        with suppress(LimitExceeded, LocalError):
            stream.negotiated("/cortex/echo/1.0.0", extended=extended)
        assert self.resources.streams.inbound == before

    @rule(stream=consumes(streams))
    def close_stream(self, stream: StreamReservation) -> None:
        stream.release()

    @invariant()
    def no_cap_is_passed(self) -> None:
        counts, limits = self.resources.snapshot(), self.limits
        for name in ("connections", "connections_inbound", "connections_outbound", "unauthenticated", "dials", "streams_inbound"):
            assert (
                0
                <= counts[name]
                <= {
                    "connections": limits.connections,
                    "connections_inbound": limits.connections_inbound,
                    "connections_outbound": limits.connections_outbound,
                    "unauthenticated": limits.unauthenticated,
                    "dials": limits.dials,
                    "streams_inbound": limits.streams_inbound,
                }[name]
            )
        assert counts["memory"] == sum(reservation.memory.used for reservation in self.live) <= limits.memory
        assert counts["file_descriptors"] <= 6

    def teardown(self) -> None:
        for reservation in self.live:
            reservation.release()
        for stream in self.live_streams:
            stream.release()
        assert not any(self.resources.snapshot().values())


TestAccounting = Accounting.TestCase
TestAccounting.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_what_one_peer_holds_can_be_asked() -> None:
    resources = Resources(Limits())
    assert set(resources.of_peer(A).values()) == {0}
    still = {"bytes_received": 0, "bytes_sent": 0}
    with resources.admit_connection("inbound", ipv4(1), A) as first, resources.admit_connection("outbound", ipv4(2), A) as second:
        first.memory.charge(100)
        second.memory.charge(10)
        with first.streams.open_inbound(), second.streams.open_inbound() as settled, resources.admit_dial(A, None):
            settled.negotiated("/a")
            assert resources.of_peer(A) == {"connections": 2, "dials": 1, "streams_inbound": 2, "memory": 110} | still
            assert set(resources.of_peer(B).values()) == {0}
            assert resources.snapshot()["peers"] == 1
    assert set(resources.of_peer(A).values()) | set(resources.snapshot().values()) == {0}


@pytest.mark.parametrize(("ip", "limited"), [(ipv4(1), True), ("127.0.0.1", False), (None, False)])
def test_streams_are_rated_by_address_but_not_on_loopback(ip: str | None, limited: bool) -> None:
    resources = Resources(Limits(stream_burst_per_protocol=1))
    connection = resources.admit_connection("inbound", ip, A)
    connection.admit_protocol("/a", 0.0)
    if limited:
        with pytest.raises(LimitExceeded):
            connection.admit_protocol("/a", 0.0)
    else:
        connection.admit_protocol("/a", 0.0)


# --- streams of who is not welcome


def test_whoever_objects_to_a_peer_is_asked_about_each_stream_of_it() -> None:
    resources = Resources(Limits())
    objection = Denied("a stream", rule="score -60", setting="reputation.refuse_below")
    resources.objection = lambda peer: objection if peer == A else None
    bad = resources.admit_connection("inbound", ipv4(1), A)
    good = resources.admit_connection("inbound", ipv4(2), B)
    unknown = resources.admit_inbound(ipv4(3))
    with pytest.raises(Denied):
        bad.admit_stream()
    assert resources.streams.inbound == 0
    with good.admit_stream(), unknown.admit_stream():
        assert resources.streams.inbound == 2
    resources.objection = None
    bad.admit_stream().release()

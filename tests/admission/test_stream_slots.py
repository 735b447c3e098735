from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.admission.limits import Limits
from cortexnet.admission.stream_slots import ConnectionStreams, NodeStreams, StreamReservation
from cortexnet.errors import LimitExceeded, LocalError
from cortexnet.identity.peer_id import PeerId

ALICE, BOB = (PeerId(bytes([0x12, 32]) + bytes([number]) * 32) for number in (1, 2))
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
        (ConnectionStreams.open_inbound, "streams_negotiating"),
        (ordinary, "streams_inbound_per_peer"),
        (control, "streams_inbound_per_peer"),
        (ordinary, "streams_inbound_per_protocol"),
        (extended, "streams_inbound_per_protocol"),
        (extended, "streams_inbound_per_protocol_and_peer"),
    ],
)
def test_a_kind_of_stream_fits_up_to_its_limit_and_not_above(
    open_one: Callable[[ConnectionStreams], StreamReservation], setting: str
) -> None:
    streams = one_connection(**{setting: 3})
    streams.belong_to(ALICE)
    held = [open_one(streams) for _ in range(3)]
    with pytest.raises(LimitExceeded) as caught:
        open_one(streams)
    error = caught.value
    assert (error.limit, error.value, error.setting) == (3, 4, f"limits.{setting}")
    held.pop().release()
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


# --- one peer on several connections


def connections_of(node: NodeStreams, *peers: PeerId) -> list[ConnectionStreams]:
    made = [ConnectionStreams(node) for _ in peers]
    for streams, peer in zip(made, peers, strict=True):
        streams.belong_to(peer)
    return made


def test_more_connections_bring_a_peer_no_more_streams() -> None:
    node = NodeStreams(Limits(streams_inbound_per_peer=3))
    first, second, other = connections_of(node, ALICE, ALICE, BOB)
    held = [control(first), ordinary(second), second.open_inbound()]
    for streams in (first, second):
        with pytest.raises(LimitExceeded, match=f"inbound streams of {ALICE}: 4 is over the limit of 3; raise it with limits"):
            streams.open_inbound()
    ordinary(other)
    held.pop().release()
    first.open_inbound()


def test_a_protocol_is_limited_by_peer_over_its_connections() -> None:
    node = NodeStreams(Limits(streams_inbound_per_protocol_and_peer=2))
    first, second, other = connections_of(node, ALICE, ALICE, BOB)
    ordinary(first)
    extended(second)
    with pytest.raises(LimitExceeded, match=f"inbound streams of {ECHO} and {ALICE}: 3 is over") as caught:
        ordinary(first)
    assert caught.value.setting == "limits.streams_inbound_per_protocol_and_peer"
    first.open_inbound().negotiated("/other/1.0.0")
    ordinary(other)


def test_a_protocol_is_limited_over_all_peers_and_does_not_limit_others() -> None:
    node = NodeStreams(Limits(streams_inbound_per_protocol=2))
    first, second = connections_of(node, ALICE, BOB)
    held = [ordinary(first), ordinary(second)]
    with pytest.raises(LimitExceeded, match=f"{ECHO}: 3 is over the limit of 2"):
        ordinary(first)
    first.open_inbound().negotiated("/other/1.0.0")
    held.pop().release()
    ordinary(second)


def test_a_refused_protocol_leaves_no_count_behind() -> None:
    node = NodeStreams(Limits(streams_inbound_per_protocol_and_peer=0))
    (streams,) = connections_of(node, ALICE)
    stream = streams.open_inbound()
    with pytest.raises(LimitExceeded):
        stream.negotiated(ECHO)
    assert (node.by_protocol, node.peers[ALICE].by_protocol) == ({}, {})
    stream.release()
    assert node.peers[ALICE].inbound == 0


def test_identify_and_ping_are_not_counted_by_protocol() -> None:
    node = NodeStreams(Limits(streams_inbound_per_protocol=0, streams_inbound_per_protocol_and_peer=0))
    (streams,) = connections_of(node, ALICE)
    control(streams)
    assert node.by_protocol == {}


def test_a_peer_is_forgotten_with_its_last_connection_and_stream() -> None:
    node = NodeStreams(Limits())
    first, second = connections_of(node, ALICE, ALICE)
    late, early = ordinary(first), ordinary(second)
    early.release()
    first.leave()
    assert node.peers[ALICE].inbound == 1
    second.leave()
    assert list(node.peers) == [ALICE]
    late.release()
    late.release()
    assert (node.peers, node.by_protocol, node.inbound) == ({}, {}, 0)


def test_a_connection_that_never_had_a_peer_leaves_nothing() -> None:
    node = NodeStreams(Limits())
    streams = ConnectionStreams(node)
    streams.open_inbound().release()
    streams.leave()
    assert node.peers == {}


def test_a_stream_that_outlives_its_connection_does_not_take_the_count_of_the_next_with_it() -> None:
    node = NodeStreams(Limits())
    (first,) = connections_of(node, ALICE)
    first.leave()
    late = first.open_inbound()
    (second,) = connections_of(node, ALICE)
    current = ordinary(second)
    late.release()
    assert node.peers[ALICE].inbound == 1
    current.release()
    second.leave()
    assert (node.peers, node.inbound) == ({}, 0)


Opener = Callable[[ConnectionStreams], StreamReservation]


@pytest.mark.parametrize(
    ("setting", "open_one"),
    [
        ("streams_inbound", ordinary),
        ("streams_negotiating", ConnectionStreams.open_inbound),
        ("streams_inbound_per_protocol", ordinary),
    ],
)
def test_greedy_peers_leave_places_for_others_however_many_they_are(setting: str, open_one: Opener) -> None:
    node = NodeStreams(Limits(**{setting: 100}))
    greedy = [ConnectionStreams(node) for _ in range(8)]
    for number, streams in enumerate(greedy):
        streams.belong_to(PeerId(bytes([0x12, 32]) + bytes([number + 10]) * 32))
    refused = None
    for _ in range(100):
        for streams in greedy:
            try:
                open_one(streams)
            except LimitExceeded as error:
                refused = error
    assert refused is not None
    assert refused.setting == f"limits.{setting}"
    assert "of one peer, where all have" in str(refused)
    (other,) = connections_of(node, BOB)
    for _ in range(2):
        open_one(other)


def test_the_first_stream_of_a_peer_finds_the_last_place() -> None:
    node = NodeStreams(Limits(streams_inbound=5))
    for number in range(5):
        (streams,) = connections_of(node, PeerId(bytes([0x12, 32]) + bytes([number + 10]) * 32))
        streams.open_inbound()
    (late,) = connections_of(node, BOB)
    with pytest.raises(LimitExceeded, match="inbound streams: 6 is over the limit of 5"):
        late.open_inbound()


@pytest.mark.parametrize(("total", "fits"), [(7, True), (8, False)])
def test_one_peer_alone_has_four_fifths_of_what_all_share(total: int, fits: bool) -> None:
    (streams,) = connections_of(NodeStreams(Limits(streams_inbound=10)), ALICE)
    for _ in range(total):
        streams.open_inbound()
    if fits:
        streams.open_inbound()
    else:
        with pytest.raises(LimitExceeded, match="where all have 8 of 10: 9 is over the limit of 8"):
            streams.open_inbound()


# --- places that are taken back


def one_of(node: NodeStreams, number: int) -> ConnectionStreams:
    """A connection of a peer's."""
    (streams,) = connections_of(node, PeerId(bytes([0x12, 32]) + number.to_bytes(32, "big")))
    return streams


SHARED = [
    ("streams_inbound", ordinary),
    ("streams_inbound", control),
    ("streams_negotiating", ConnectionStreams.open_inbound),
    ("streams_inbound_per_protocol", ordinary),
    ("streams_inbound_per_protocol", extended),
]


@pytest.mark.parametrize(("setting", "open_one"), SHARED)
def test_who_comes_when_all_is_taken_gets_the_newest_places_of_the_greediest(setting: str, open_one: Opener) -> None:
    """Each of six that come one after the other takes no more than is fair for what is left, and nothing is left."""
    node, ended = NodeStreams(Limits(**{setting: 30})), list[tuple[int, str]]()
    greedy, late = one_of(node, 0), one_of(node, 1)
    held = [open_one(greedy) for _ in range(24)]
    for number, place in enumerate(held):
        place.on_supplanted = lambda error, number=number: ended.append((number, error.setting))  # type: ignore[misc]
    for number in range(6):
        open_one(one_of(node, number + 10))
    for _ in range(4):
        open_one(late)
    assert ended == [(number, f"limits.{setting}") for number in (23, 22, 21, 20)]
    assert node.inbound == 30
    held[23].release()  # as its handler has ended
    assert node.inbound == 30
    with pytest.raises(LimitExceeded):
        open_one(late)  # four are enough
    assert len(ended) == 4


@pytest.mark.parametrize(("setting", "open_one"), SHARED)
@pytest.mark.parametrize(("each", "is_taken"), [(1, False), (3, False), (4, True)])
def test_who_holds_few_loses_none_whoever_comes(setting: str, open_one: Opener, each: int, is_taken: bool) -> None:
    node, ended = NodeStreams(Limits(**{setting: 3 * each})), list[LimitExceeded]()
    for streams in [one_of(node, number) for number in range(3)] * each:
        open_one(streams).on_supplanted = ended.append
    late = one_of(node, 10)
    if is_taken:
        open_one(late)
    else:
        with pytest.raises(LimitExceeded, match=f"{3 * each + 1} is over the limit of {3 * each}"):
            open_one(late)
    assert len(ended) == is_taken


@pytest.mark.parametrize(
    ("shared", "own"),
    [
        ("streams_inbound", "streams_inbound_per_peer"),
        ("streams_inbound", "streams_negotiating_per_connection"),
        ("streams_inbound_per_protocol", "streams_inbound_per_connection"),
        ("streams_inbound_per_protocol", "streams_inbound_per_protocol_and_peer"),
    ],
)
def test_who_is_refused_for_a_limit_of_its_own_takes_nothing_back(shared: str, own: str) -> None:
    node, ended = NodeStreams(Limits(**{shared: 10})), list[LimitExceeded]()
    for streams in [one_of(node, 0)] * 8 + [one_of(node, 1), one_of(node, 2)]:
        ordinary(streams).on_supplanted = ended.append
    node.limits = Limits(**{shared: 10, own: 0})
    with pytest.raises(LimitExceeded, match=f"{own}$"):
        ordinary(one_of(node, 10))
    assert not ended


def test_a_place_is_taken_back_once_also_before_it_is_known_what_to_end() -> None:
    node = NodeStreams(Limits())
    place = ordinary(one_of(node, 0))
    for _ in range(2):
        place.supplant(LimitExceeded("places", limit=1, value=2, setting="limits.places"))
    assert (node.inbound, node.by_protocol) == (0, {})


class Peers:
    """Eight that open streams and end them, and what is left of these."""

    def __init__(self) -> None:
        self.node = NodeStreams(Limits(streams_inbound=20, streams_negotiating=12, streams_inbound_per_protocol=12))
        self.connections = [one_of(self.node, number) for number in range(8)]
        self.lost = list[int]()  # by whom since the last step

    def held(self, number: int) -> list[StreamReservation]:
        return list(self.connections[number].peer.streams)

    def step(self, number: int, step: str) -> None:
        """Raises LimitExceeded."""
        if step == "open":
            self.connections[number].open_inbound().on_supplanted = lambda _: self.lost.append(number)
        elif step == "settle":
            for place in self.held(number)[-1:]:
                if place.is_negotiating:
                    place.negotiated(ECHO)
        else:
            for place in self.held(number)[-1:]:
                place.release()


@given(st.lists(st.tuples(st.integers(0, 7), st.sampled_from(["open", "open", "settle", "end"])), max_size=300))
def test_only_who_has_many_loses_any_and_who_has_none_finds_a_place_while_somebody_has(steps: list[tuple[int, str]]) -> None:
    peers = Peers()
    node = peers.node
    for number, step in steps:
        peers.lost.clear()
        before = [len(peers.held(each)) for each in range(8)]
        try:
            peers.step(number, step)
            is_refused = False
        except LimitExceeded:
            is_refused = True
        assert all(before[loser] >= 4 and loser != number for loser in peers.lost)
        assert not is_refused or before[number] or max(before) < 4 or node.negotiating == 12
        for each, streams in enumerate(peers.connections):
            kinds = [place.is_negotiating for place in peers.held(each)]
            assert (streams.peer.negotiating, streams.peer.by_protocol.get(ECHO, 0)) == (sum(kinds), len(kinds) - sum(kinds))
        assert node.inbound == sum(len(peers.held(each)) for each in range(8)) <= 20
        assert node.negotiating <= 12
        assert node.by_protocol.get(ECHO, 0) <= 12
    for place in [place for each in range(8) for place in peers.held(each)]:
        place.release()
    assert (node.inbound, node.negotiating, node.by_protocol) == (0, 0, {})

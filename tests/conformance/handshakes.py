"""What every secure channel's handshake does: it leads two honest peers to each other, and nobody else.

@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_noise_shakes_hands(check: Check) -> None:
    check(SUBJECT)
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import final

from cortexnet.errors import ConnectionClosed, HandshakeFailed, PeerIdMismatch, RemoteError
from cortexnet.handshake import ByteQueue, Driver
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.security.session import SecureChannel, SecureSession
from cortexnet.testing.handshakes import Outcome, run_over, run_pair
from tests.support.certificates import mutated

YAMUX = "/yamux/1.0.0"
ANNA, BERT, EVE = (PrivateKey.generate() for _ in range(3))
MUTATIONS = 2_100


def id_of(key: PrivateKey) -> PeerId:
    return PeerId.from_public_key(key.public_key)


@final
@dataclass(frozen=True)
class Subject:
    """A kind of channel."""

    make: Callable[[PrivateKey, list[str]], SecureChannel]
    meaning: Callable[[bytes], bytes] = bytes
    """What of a flight's bytes the peers rely on; they may read over the rest."""
    channels: dict[PrivateKey, SecureChannel] = field(default_factory=dict)

    def channel(self, key: PrivateKey) -> SecureChannel:
        """The one of a node that offers yamux."""
        if key not in self.channels:
            self.channels[key] = self.make(key, [YAMUX])
        return self.channels[key]


Check = Callable[[Subject], None]


def session(outcome: Outcome[SecureSession]) -> SecureSession:
    assert outcome.error is None
    assert outcome.result is not None
    return outcome.result


def both_sides_know_each_other(subject: Subject) -> None:
    for expected in (None, id_of(BERT)):
        one, other = run_pair(subject.channel(ANNA).initiate(expected), subject.channel(BERT).respond())
        for found, key in ((session(one), BERT), (session(other), ANNA)):
            assert (found.remote_peer, found.remote_key) == (id_of(key), key.public_key)
            assert (found.name, found.muxer, found.error) == (subject.channel(ANNA).name, YAMUX, None)


def a_node_that_dials_itself_finds_itself(subject: Subject) -> None:
    one, other = run_pair(subject.channel(ANNA).initiate(None), subject.channel(ANNA).respond())
    assert session(one).remote_peer == session(other).remote_peer == id_of(ANNA)


def the_dialers_order_of_muxers_decides(subject: Subject) -> None:
    for dialers, listeners, agreed in (
        (["/a", "/b"], ["/b", "/a"], "/a"),
        (["/b", "/a"], ["/a", "/b"], "/b"),
        (["/a", "/b"], ["/b"], "/b"),
        (["/a"], ["/b"], None),
        ([], ["/a"], None),
        (["/a"], [], None),
        ([], [], None),
    ):
        outcomes = run_pair(subject.make(ANNA, dialers).initiate(None), subject.make(BERT, listeners).respond())
        assert [session(outcome).muxer for outcome in outcomes] == [agreed, agreed]


def another_peer_than_the_expected_one_is_refused(subject: Subject) -> None:
    for expected in (id_of(EVE), id_of(PrivateKey.generate("ecdsa"))):
        one, other = run_pair(subject.channel(ANNA).initiate(expected), subject.channel(BERT).respond())
        assert isinstance(one.error, PeerIdMismatch)
        assert (one.error.expected, one.error.actual) == (expected, id_of(BERT))
        assert other.result is None, "who is refused does not even learn who asked"


def data_behind_the_last_message_is_left_to_the_session(subject: Subject) -> None:
    queues = ByteQueue(), ByteQueue()
    one, other = (
        Driver(subject.channel(ANNA).initiate(None), queues[0].take),
        Driver(subject.channel(BERT).respond(), queues[1].take),
    )
    while not one.done:
        one.advance()
        queues[1].append(one.data_to_send())
        if one.done:
            queues[1].append(bytes(one.result.encrypt([b"early"])))
        other.advance()
        queues[0].append(other.data_to_send())
    assert other.result.decrypt(queues[1].take_all())[0] == [b"early"]


def bytes_that_come_one_by_one_lead_to_the_same(subject: Subject) -> None:
    queues = ByteQueue(), ByteQueue()
    sides = (
        Driver(subject.channel(ANNA).initiate(id_of(BERT)), queues[0].take),
        Driver(subject.channel(BERT).respond(), queues[1].take),
    )
    moved = True
    while moved:
        moved = False
        for side, queue in ((sides[0], queues[1]), (sides[1], queues[0])):
            side.advance()
            for byte in side.data_to_send():
                moved = True
                queue.append(bytes([byte]))
                sides[queues.index(queue)].advance()
    assert [side.result.remote_peer for side in sides] == [id_of(BERT), id_of(ANNA)]


def a_handshake_that_stops_early_waits(subject: Subject) -> None:
    first = run_over(subject.channel(ANNA).initiate(None), []).sent
    for size in range(0, len(first), 7):
        outcome = run_over(subject.channel(BERT).respond(), [first[:size]])
        assert (outcome.sent, outcome.result, outcome.error) == (b"", None, None)


def a_replayed_handshake_proves_nothing(subject: Subject) -> None:
    one, other = run_pair(subject.channel(ANNA).initiate(None), subject.channel(BERT).respond())
    listener = run_over(subject.channel(BERT).respond(), [one.sent])
    dialer = run_over(subject.channel(ANNA).initiate(None), [other.sent])
    for outcome in (listener, dialer):
        assert outcome.result is None
        assert isinstance(outcome.error, HandshakeFailed)


class Tampering:
    """Changes one of the flights of a handshake: those of the dialer and of the listener take turns, in order of their number."""

    def __init__(self, flight: int, random: Random) -> None:
        self.flight = flight
        self.random = random
        self.before = self.after = b""
        self._count = 0

    def __call__(self, data: bytes) -> bytes:
        if not data:
            return data
        self._count += 1
        if self._count - 1 != self.flight:
            return data
        self.before, self.after = data, mutated(data, self.random)
        return self.after


def none_of_thousands_of_mutated_handshakes_is_accepted(subject: Subject) -> None:
    """Flights 0 and 2 are the dialer's, flight 1 is the listener's."""
    random = Random(20_261_127)
    for number in range(MUTATIONS):
        tampering = Tampering(number % 3, random)
        one, other = run_pair(subject.channel(ANNA).initiate(None), subject.channel(BERT).respond(), on_the_way=tampering)
        assert tampering.before
        for outcome in (one, other):
            assert outcome.error is None or isinstance(outcome.error, RemoteError | ConnectionClosed)
        if subject.meaning(tampering.after).startswith(subject.meaning(tampering.before)):
            continue  # more behind the flight, which the session will find out about; or nothing that counts
        assert other.result is None
        assert one.result is None or (tampering.flight == 2 and session(one).remote_peer == id_of(BERT))


def garbage_is_no_handshake(subject: Subject) -> None:
    random = Random(4)
    for _ in range(300):
        garbage = random.choice([b"", b"\x16\x03\x01", b"\x00\x20"]) + random.randbytes(random.randint(0, 300))
        for handshake in (subject.channel(ANNA).initiate(None), subject.channel(BERT).respond()):
            outcome = run_over(handshake, [garbage])
            assert outcome.result is None
            assert outcome.error is None or isinstance(outcome.error, RemoteError)


CHECKS: list[Check] = [
    both_sides_know_each_other,
    a_node_that_dials_itself_finds_itself,
    the_dialers_order_of_muxers_decides,
    another_peer_than_the_expected_one_is_refused,
    data_behind_the_last_message_is_left_to_the_session,
    bytes_that_come_one_by_one_lead_to_the_same,
    a_handshake_that_stops_early_waits,
    a_replayed_handshake_proves_nothing,
    none_of_thousands_of_mutated_handshakes_is_accepted,
    garbage_is_no_handshake,
]

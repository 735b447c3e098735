"""Whom to leave alone, and until when."""

from cortexnet.gossip.backoff import LIMIT, TOPIC_LIMIT, Backoff
from cortexnet.identity.peer_id import PeerId

A, B = PeerId(b"\x00\x01a"), PeerId(b"\x00\x01b")


def test_a_backoff_is_never_shortened() -> None:
    known = Backoff()
    known.add("t", A, 60.0)
    known.add("t", A, 10.0)
    assert known.until("t", A) == 60.0
    known.add("t", A, 70.0)
    assert known.of("t") == {A: 70.0}


def test_it_holds_until_it_is_cleared() -> None:
    known = Backoff()
    known.add("t", A, 60.0)
    known.add("t", B, 70.0)
    known.clear(62.0, 2.0)
    assert known.holds("t", A), "its time is up, but for the slack"
    known.clear(62.1, 2.0)
    assert (known.holds("t", A), known.holds("t", B)) == (False, True)
    known.clear(100.0, 2.0)
    assert len(known) == 0


def test_of_others_nothing_is_known() -> None:
    known = Backoff()
    known.add("t", A, 60.0)
    assert known.until("t", B) is None
    assert known.until("other", A) is None
    assert not known.holds("other", A)
    assert known.of("other") == {}


def test_past_the_limit_the_first_is_forgotten() -> None:
    known = Backoff()
    peers = [PeerId(number.to_bytes(4, "big")) for number in range(TOPIC_LIMIT + 1)]
    for peer in peers:
        known.add("t", peer, 60.0)
    assert len(known) == TOPIC_LIMIT
    assert [known.holds("t", peer) for peer in (peers[0], peers[1], peers[-1])] == [False, True, True]


def test_all_topics_together_are_bounded_and_the_fullest_gives_way() -> None:
    known = Backoff()
    for topic in range(LIMIT // TOPIC_LIMIT):
        for number in range(TOPIC_LIMIT):
            known.add(f"topic {topic}", number, 1.0)  # type: ignore[arg-type]
    assert len(known) == LIMIT
    for number in range(5):
        known.add("another", number, 1.0)  # type: ignore[arg-type]
    assert len(known) == LIMIT
    assert all(known.holds("another", number) for number in range(5))  # type: ignore[arg-type]
    assert not known.holds("topic 0", 0)  # type: ignore[arg-type]
    known.clear(10.0, 0.0)
    assert len(known) == 0

"""Promises: kept, broken, forgiven."""

import pytest

from cortexnet.gossip import promises
from cortexnet.gossip.promises import Promises
from cortexnet.identity.peer_id import PeerId

A, B = PeerId(b"\x00\x01a"), PeerId(b"\x00\x01b")


def test_a_promise_is_broken_once_after_its_time() -> None:
    watched = Promises(3.0)
    watched.add(A, b"1", 0.0)
    watched.add(A, b"2", 0.5)
    watched.add(B, b"2", 1.0)
    assert watched.broken(3.0) == {}
    assert watched.broken(3.6) == {A: 2}
    assert watched.broken(10.0) == {B: 1}
    assert watched.broken(20.0) == {}
    assert len(watched) == 0


def test_whoever_delivers_keeps_the_promise_of_all() -> None:
    watched = Promises(3.0)
    for peer in (A, B):
        watched.add(peer, b"1", 0.0)
    watched.add(B, b"2", 0.0)
    watched.keep(b"1")
    watched.keep(b"unknown")
    assert watched.broken(4.0) == {B: 1}


def test_asking_twice_does_not_prolong_a_promise() -> None:
    watched = Promises(3.0)
    watched.add(A, b"1", 0.0)
    watched.add(A, b"1", 2.0)
    assert watched.broken(3.1) == {A: 1}
    assert watched.broken(9.0) == {}


def test_a_throttled_peer_is_forgiven() -> None:
    watched = Promises(3.0)
    for peer, message_id in ((A, b"1"), (A, b"2"), (B, b"2")):
        watched.add(peer, message_id, 0.0)
    watched.forgive(A)
    watched.forgive(A)
    assert len(watched) == 1
    assert watched.broken(4.0) == {B: 1}


def test_a_promise_made_anew_has_its_own_time() -> None:
    watched = Promises(3.0)
    watched.add(A, b"1", 0.0)
    watched.keep(b"1")
    watched.add(A, b"1", 2.0)
    assert watched.broken(4.0) == {}
    assert watched.broken(6.0) == {A: 1}


def test_past_the_limit_none_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "LIMIT", 2)
    watched = Promises(3.0)
    for number in range(4):
        watched.add(A, str(number).encode(), 0.0)
    assert len(watched) == 2
    assert watched.broken(4.0) == {A: 2}
    watched.add(A, b"9", 5.0)
    assert len(watched) == 1

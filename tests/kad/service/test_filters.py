"""Whom and what the DHT of the public network takes, and that of a private one."""

from collections.abc import Callable

import pytest

from cortexnet.kad.service.filters import Everything, Filter, Private, Public, is_confined
from cortexnet.multiformats.multiaddr import Multiaddr

RELAY = "/p2p/12D3KooWGRUVh7wCHhPoMYHjD3vdC5EEBNHFFrSvDfFvqFTmTvkg/p2p-circuit"
LOOPBACK, HOME, SHARED = "/ip4/127.0.0.1/tcp/1", "/ip4/192.168.1.7/tcp/1", "/ip4/100.64.0.1/tcp/1"
WORLD, WORLD6, NAMED = "/ip4/1.2.3.4/tcp/1", "/ip6/2606:4700::1/tcp/1", "/dns4/example.org/tcp/1"
DOCUMENTS, DOCUMENTS6, MEMORY = "/ip4/192.0.2.1/tcp/1", "/ip6/2001:db8::1/tcp/1", "/memory/7"
RELAYED = f"{WORLD}{RELAY}"


def at(*texts: str) -> list[Multiaddr]:
    return [Multiaddr.parse(text) for text in texts]


def private(*own: str, loopback: bool = False) -> Private:
    return Private(lambda: at(*own), lambda: loopback)


@pytest.mark.parametrize("text", [LOOPBACK, WORLD, NAMED, DOCUMENTS, MEMORY, RELAYED])
def test_a_network_of_ones_own_takes_all(text: str) -> None:
    unfiltered: Filter = Everything()
    assert unfiltered.admits([], at(text))
    assert unfiltered.asks([])
    assert unfiltered.keep(at(text)) == at(text)


@pytest.mark.parametrize(
    ("text", "is_taken", "is_kept"),
    [
        (WORLD, True, True),
        (WORLD6, True, True),
        (DOCUMENTS6, True, False),
        (NAMED, False, True),
        (RELAYED, False, True),
        (LOOPBACK, False, False),
        (HOME, False, False),
        (SHARED, False, False),
        (DOCUMENTS, False, False),
        ("/ip6/fe80::1/tcp/1", False, False),
        ("/dns4/localhost/tcp/1", False, False),
        (MEMORY, False, False),
    ],
)
def test_the_public_network_takes_whom_everybody_can_reach(text: str, is_taken: bool, is_kept: bool) -> None:
    public: Filter = Public()
    assert public.admits(at(HOME, text), at(HOME)) is is_taken
    assert public.asks(at(text)) is is_taken
    assert public.keep(at(text)) == (at(text) if is_kept else [])


@pytest.mark.parametrize(
    ("remote", "is_admitted"),
    [
        (LOOPBACK, True),
        (HOME, True),
        (MEMORY, True),
        ("/ip6/::1/tcp/1", True),
        (WORLD, False),
        (WORLD6, False),
        (f"{HOME}{RELAY}", False),
        ("/ip4/5.6.7.8/tcp/9", True),  # behind the same router
        ("/ip6/2606:4700:1:2:ffff::9/tcp/9", True),  # in the same IPv6 network
        ("/ip6/2606:4700:1:3:ffff::9/tcp/9", False),
    ],
)
def test_a_private_network_takes_its_neighbours(remote: str, is_admitted: bool) -> None:
    lan = private("/ip4/5.6.7.8/tcp/1", "/ip6/2606:4700:1:2::1/tcp/1", MEMORY)
    assert lan.admits(at(WORLD), at(remote)) is is_admitted
    assert not lan.admits(at(HOME), [])


def test_a_private_network_asks_whoever_has_an_address() -> None:
    assert private().asks(at(LOOPBACK))
    assert not private().asks([])


@pytest.mark.parametrize(("loopback", "kept"), [(False, [HOME, WORLD]), (True, [LOOPBACK, HOME, WORLD])])
def test_loopback_is_named_only_where_it_is_meant(loopback: bool, kept: list[str]) -> None:
    assert private(loopback=loopback).keep(at(LOOPBACK, HOME, WORLD)) == at(*kept)


@pytest.mark.parametrize(
    ("own", "remotes", "confined"),
    [
        ([LOOPBACK, "/ip6/::1/tcp/1"], [HOME], True),
        ([LOOPBACK, HOME], [LOOPBACK], False),
        ([], [LOOPBACK], True),
        ([], [LOOPBACK, WORLD], False),
        ([], [], False),
        ([MEMORY], [], False),
    ],
)
def test_a_node_lives_on_loopback_by_what_it_listens_on_or_else_by_whom_it_knows(
    own: list[str], remotes: list[str], confined: bool
) -> None:
    assert is_confined(at(*own), at(*remotes)) is confined


FILTERS: list[Callable[[], Filter]] = [Everything, Public, private]


@pytest.mark.parametrize("make", FILTERS)
def test_nothing_comes_of_nothing(make: Callable[[], Filter]) -> None:
    assert make().keep([]) == []

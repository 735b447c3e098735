from dataclasses import dataclass
from random import Random
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.swarm.duplicates import best, superfluous


@dataclass(eq=False)
class Held:
    """One end of a connection."""

    name: str
    direction: Literal["inbound", "outbound"]
    is_relayed: bool = False
    stream_count: int = 0


def held(text: str) -> list[Held]:
    """Such as "1> 2< 3~>": dialed by us, by the peer, and by us through a relay; the oldest first."""
    return [Held(word[0], "outbound" if word[-1] == ">" else "inbound", "~" in word) for word in text.split()]


@pytest.mark.parametrize(
    ("text", "of_smaller", "of_larger"),
    [
        ("", "", ""),
        ("1>", "", ""),
        ("1<", "", ""),
        ("1> 2<", "2", "1"),
        ("1< 2>", "1", "2"),
        ("1> 2> 3>", "12", "12"),
        ("1< 2<", "", ""),
        ("1> 2> 3<", "13", "12"),
        ("1< 2< 3>", "12", "3"),
        ("1~> 2~<", "", ""),
        ("1~> 2<", "1", "1"),
        ("1~> 2~< 3> 4<", "124", "123"),
    ],
)
def test_both_sides_keep_what_the_smaller_id_dialed_and_who_dialed_several_the_newest(
    text: str, of_smaller: str, of_larger: str
) -> None:
    connections = held(text)
    for is_smaller, expected in ((True, of_smaller), (False, of_larger)):
        going = superfluous(connections, is_smaller=is_smaller)
        assert "".join(one.name for one in going) == expected


def test_new_streams_go_to_one_that_stays_with_most_streams_then_the_newest() -> None:
    assert best([], is_smaller=True) is None
    (only,) = held("1~>")
    assert best([only], is_smaller=True) is only
    going, first, second = held("1> 2< 3<")
    going.stream_count = 9
    assert best([going, first, second], is_smaller=False) is second
    first.stream_count = 1
    assert best([going, first, second], is_smaller=False) is first
    relayed, direct = held("1~< 2<")
    relayed.stream_count = 9
    assert best([relayed, direct], is_smaller=True) is direct


DIRECTIONS = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=6)


@given(DIRECTIONS, st.randoms(use_true_random=False))
def test_the_two_sides_never_give_up_all_whatever_order_they_know_them_in(ends: list[tuple[bool, bool]], random: Random) -> None:
    ours = [Held(str(number), "outbound" if is_ours else "inbound", relayed) for number, (is_ours, relayed) in enumerate(ends)]
    theirs = [Held(one.name, "inbound" if one.direction == "outbound" else "outbound", one.is_relayed) for one in ours]
    random.shuffle(theirs)
    gone = {one.name for one in superfluous(ours, is_smaller=True)} | {one.name for one in superfluous(theirs, is_smaller=False)}
    left = [one for one in ours if one.name not in gone]
    assert left or not ours
    assert not any(one.is_relayed for one in left) or all(one.is_relayed for one in ours)
    assert best(ours, is_smaller=True) not in superfluous(ours, is_smaller=True)

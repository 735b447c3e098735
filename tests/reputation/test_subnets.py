"""Networks from which misbehaviour came: strangers from there come slowly, and in time as from anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet import LimitExceeded
from cortexnet.reputation.config import ReputationConfig
from cortexnet.reputation.subnets import WORST, Networks

CONFIG = ReputationConfig()
DAY = 86_400.0
HERE, THERE = "192.0.2.0/24", "2001:db8::/48"


def admitted(networks: Networks, seconds: list[float], name: str = HERE) -> list[float]:
    """When a stranger that tries at these times comes in."""
    found = []
    for now in seconds:
        try:
            networks.admit(name, now)
        except LimitExceeded:
            continue
        found.append(now)
    return found


def test_from_where_nothing_came_everybody_may_come() -> None:
    networks = Networks(CONFIG)
    assert len(admitted(networks, [0.0] * 1000)) == 1000
    assert len(networks) == 0
    assert networks.known(HERE) is None
    assert networks.offences(HERE, 0.0) == 0.0


@pytest.mark.parametrize(("offences", "at_once", "interval"), [(1, 8, 10.0), (3, 4, 20.0), (15, 1, 80.0), (500, 1, 160.0)])
def test_strangers_come_more_slowly_the_more_misbehaviour_came(offences: int, at_once: int, interval: float) -> None:
    networks = Networks(CONFIG)
    for _ in range(offences):
        networks.blame(HERE, 0.0)
    assert len(admitted(networks, [0.0] * 100)) == at_once
    assert admitted(networks, [interval - 1, interval + 1]) == [interval + 1]
    assert len(admitted(networks, [interval + 1] * 100, THERE)) == 100, "other networks have nothing to do with it"


def test_the_refusal_says_what_would_let_them_in() -> None:
    networks = Networks(CONFIG)
    for _ in range(15):
        networks.blame(HERE, 0.0)
    networks.admit(HERE, 0.0)
    with pytest.raises(LimitExceeded) as caught:
        networks.admit(HERE, 0.0)
    assert caught.value.setting == "reputation.newcomer_burst"
    assert "192.0.2.0/24" in str(caught.value)
    assert "one each 80 s" in str(caught.value)


def test_it_is_forgotten_in_time() -> None:
    changed: list[str] = []
    networks = Networks(CONFIG, on_change=changed.append)
    for _ in range(4):
        networks.blame(HERE, 0.0)
    assert networks.offences(HERE, DAY) == pytest.approx(2.0)
    assert networks.offences(HERE, 3 * DAY) == pytest.approx(0.5)
    assert networks.offences(HERE, 3 * DAY + 60) == 0.0
    assert len(admitted(networks, [4 * DAY] * 50)) == 50
    assert list(networks) == []
    assert changed == [HERE] * 5


def test_misbehaviour_that_comes_later_adds_to_what_is_left() -> None:
    networks = Networks(CONFIG)
    for _ in range(4):
        networks.blame(HERE, 0.0)
    networks.blame(HERE, DAY)
    since, offences = networks.known(HERE) or (0.0, 0.0)
    assert since == DAY
    assert offences == pytest.approx(3.0)


def test_the_mildest_makes_room_and_only_for_a_worse_one() -> None:
    networks = Networks(ReputationConfig(subnets=2))
    for name, offences in (("a", 3), ("b", 2)):
        for _ in range(offences):
            networks.blame(name, 0.0)
    networks.blame("c", 0.0)
    assert sorted(networks) == ["a", "b"]
    networks.blame("c", 2 * DAY)
    assert sorted(networks) == ["a", "c"]


def test_what_an_earlier_run_knew_is_taken_back() -> None:
    changed: list[str] = []
    networks = Networks(ReputationConfig(subnets=2), on_change=changed.append)
    assert networks.restore(HERE, 0.0, 8.0, DAY)
    assert not networks.restore(HERE, 0.0, 16.0, DAY)
    assert networks.offences(HERE, DAY) == pytest.approx(4.0)
    assert not networks.restore(THERE, 0.0, 8.0, 9 * DAY), "it is forgotten by now"
    assert networks.restore(THERE, 9 * DAY, 1e9, DAY), "from a clock that stood wrong"
    assert networks.offences(THERE, DAY) == WORST
    assert not networks.restore("more", DAY, 1.0, DAY)
    assert changed == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.floats(0, 1000)), max_size=60))
def test_it_is_never_closed_and_the_table_never_too_large(course: list[tuple[str, bool, float]]) -> None:
    networks, now = Networks(ReputationConfig(subnets=2)), 0.0
    for name, is_offence, seconds in course:
        now += seconds
        if is_offence:
            networks.blame(name, now)
        else:
            admitted(networks, [now], name)
        assert len(networks) <= 2
        assert 0 <= networks.offences(name, now) <= WORST
    assert all(admitted(networks, [now + 161], name) for name in "abc")

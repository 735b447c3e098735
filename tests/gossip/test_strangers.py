"""How many strangers a mesh takes, and how fast."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from cortexnet.gossip.config import GossipConfig
from cortexnet.gossip.strangers import Strangers

CONFIG = GossipConfig(newcomer_burst=2, newcomer_interval=90.0)


def test_two_at_once_and_then_none() -> None:
    strangers, random = Strangers(), Random(1)
    assert strangers.take(5, 1000.0, CONFIG, random) == 2
    assert strangers.take(1, 1044.0, CONFIG, random) == 0


def test_asking_for_none_takes_none() -> None:
    strangers, random = Strangers(), Random(1)
    assert strangers.take(0, 1000.0, CONFIG, random) == 0
    assert strangers.room(1000.0, CONFIG, random) == 2


def test_long_after_there_is_room_for_as_many_as_at_first_and_no_more() -> None:
    strangers, random = Strangers(), Random(1)
    strangers.take(2, 1000.0, CONFIG, random)
    assert strangers.room(1_000_000.0, CONFIG, random) == 2


@given(st.integers(), st.lists(st.tuples(st.floats(0.0, 400.0), st.integers(0, 9)), max_size=60), st.integers(0, 5))
def test_never_more_than_the_burst_and_one_in_half_of_an_interval(seed: int, asked: list[tuple[float, int]], burst: int) -> None:
    config = GossipConfig(newcomer_burst=burst, newcomer_interval=90.0)
    strangers, random, now, came = Strangers(), Random(seed), 0.0, 0
    for pause, count in asked:
        now += pause
        taken = strangers.take(count, now, config, random)
        assert 0 <= taken <= count
        came += taken
        assert came <= (burst + now / 45 if burst else 0)


@given(st.integers())
def test_who_waits_for_one_gets_it_within_one_and_a_half_intervals(seed: int) -> None:
    strangers, random = Strangers(), Random(seed)
    strangers.take(2, 0.0, CONFIG, random)
    assert strangers.take(1, 135.0, CONFIG, random) == 1

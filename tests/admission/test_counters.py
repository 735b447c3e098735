import pytest

from cortexnet.admission.counters import Bound, Counters
from cortexnet.errors import LimitExceeded

TWO = Bound("dials", None, 2)
ONE_OF_A = Bound("dials_per_peer", "A", 1)


def test_there_is_room_below_a_bound_and_none_at_it() -> None:
    counters = Counters()
    counters.hold([TWO])
    assert counters.has_room([TWO])
    counters.check([TWO])
    counters.hold([TWO])
    assert not counters.has_room([TWO])
    with pytest.raises(LimitExceeded):
        counters.check([TWO])


def test_the_error_names_scope_limit_value_and_setting() -> None:
    counters = Counters()
    counters.hold([ONE_OF_A])
    with pytest.raises(LimitExceeded) as caught:
        counters.check([TWO, ONE_OF_A])
    error = caught.value
    assert (error.scope, error.limit, error.value, error.setting) == ("dials per peer of A", 1, 2, "limits.dials_per_peer")


def test_a_counter_at_zero_is_forgotten() -> None:
    counters = Counters()
    counters.hold([TWO, ONE_OF_A])
    counters.hold([TWO])
    counters.give_back([ONE_OF_A, TWO])
    assert (len(counters), counters.value("dials")) == (1, 1)
    counters.give_back([TWO])
    assert len(counters) == 0

"""Allowance: so much in an interval, and what was granted on top."""

from cortexnet.mux.allowance import Allowance


def test_the_amount_is_covered_and_not_one_more() -> None:
    allowance = Allowance(10, 5.0)
    assert allowance.spend(9, 0.0)
    assert allowance.spend(1, 1.0)
    assert not allowance.spend(1, 4.9)


def test_what_is_not_covered_takes_nothing() -> None:
    allowance = Allowance(10, 5.0)
    assert not allowance.spend(11, 0.0)
    assert allowance.spend(10, 0.0)


def test_the_amount_is_there_again_with_the_next_interval_and_does_not_add_up() -> None:
    allowance = Allowance(10, 5.0)
    assert allowance.spend(3, 0.0)
    assert allowance.renews_at == 5.0
    assert allowance.spend(10, 5.0)
    assert not allowance.spend(1, 9.9)
    assert allowance.spend(10, 10.0)


def test_a_grant_is_kept_until_it_is_used() -> None:
    allowance = Allowance(10, 5.0)
    allowance.grant(5)
    assert allowance.spend(2, 0.0)
    assert allowance.spend(13, 100.0)
    assert not allowance.spend(1, 100.0)
    allowance.grant(1)
    assert allowance.spend(1, 100.0)

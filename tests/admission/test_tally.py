"""Totals of a node: by name, and refusals by what would allow them, within bounds."""

from cortexnet.admission.tally import _MAX_REFUSALS, Tally
from cortexnet.errors import Denied, LimitExceeded, ProtocolViolation


def over(setting: str) -> LimitExceeded:
    return LimitExceeded("things", limit=1, value=2, setting=setting)


def test_a_new_tally_is_zero() -> None:
    assert set(Tally().totals().values()) == {0}


def test_refusals_are_counted_by_the_setting_that_would_allow_them_and_those_of_rules_together() -> None:
    tally = Tally()
    for error in (over("limits.a"), over("limits.a"), over("limits.b"), Denied("a peer", rule="x"), Denied("a peer", rule="y")):
        tally.refused(error)
    tally.refused(ProtocolViolation("that is no refusal of ours"))
    tally.refused(Denied("a peer", rule="its score is -60", setting="reputation.refuse_below"))
    assert tally.refusals == {"limits.a": 2, "limits.b": 1, "denied": 2, "reputation.refuse_below": 1}


def test_the_table_of_refusals_does_not_grow_without_end() -> None:
    tally = Tally()
    for number in range(2 * _MAX_REFUSALS):
        tally.refused(over(f"limits.{number}"))
    tally.refused(over("limits.0"))
    assert len(tally.refusals) == _MAX_REFUSALS
    assert tally.refusals["limits.0"] == 2

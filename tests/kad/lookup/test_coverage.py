from hypothesis import given
from hypothesis import strategies as st

from cortexnet.kad.lookup.coverage import Coverage, claim
from cortexnet.kad.routing.key import Prefix

TOP = 1 << 255


def prefix(bits: str) -> Prefix:
    return Prefix(len(bits), int(bits or "0", 2))


def test_who_names_the_nearest_knows_all_that_is_nearer_than_the_farthest_of_them() -> None:
    spot = 0b1011 << 252
    assert claim(spot, [spot ^ 1 << 250, spot ^ 1 << 253, spot ^ 1], 3) == prefix("101")
    assert claim(spot, [spot ^ TOP, spot], 3) == prefix("1")


def test_who_names_few_claims_nothing() -> None:
    assert claim(TOP, [TOP, TOP + 1], 4) is None
    assert claim(TOP, [], 4) is None


def test_the_largest_gap_is_the_first_of_the_largest() -> None:
    coverage = Coverage()
    region = prefix("0")
    assert coverage.largest_gap(region, 8, []) == region
    coverage.add(prefix("0110"))
    assert coverage.largest_gap(region, 8, []) == prefix("00")
    assert coverage.largest_gap(region, 8, [prefix("001")]) == prefix("000")
    assert coverage.largest_gap(region, 8, [prefix("00")]) == prefix("010")
    coverage.add(prefix("00"))
    coverage.add(prefix("010"))
    assert coverage.largest_gap(region, 8, []) == prefix("0111")
    assert coverage.largest_gap(region, 3, []) is None, "a smaller one is none"
    coverage.add(prefix("0111"))
    assert coverage.largest_gap(region, 8, []) is None


def test_what_is_covered_as_a_whole_has_no_gaps() -> None:
    coverage = Coverage()
    coverage.add(prefix("01"))
    coverage.add(prefix(""))
    coverage.add(prefix("11"))
    assert coverage.largest_gap(prefix("0"), 8, []) is None
    assert coverage.largest_gap(prefix(""), 8, []) is None


bits = st.text("01", max_size=6)


@given(bits, st.lists(bits, max_size=8))
def test_a_gap_is_never_known_and_filling_all_of_them_covers_the_region(region: str, known: list[str]) -> None:
    coverage = Coverage()
    for each in known:
        coverage.add(prefix(each))
    spots = [Prefix(8, number) for number in range(256) if prefix(region).covers(Prefix(8, number))]
    for _ in range(256):
        gap = coverage.largest_gap(prefix(region), 8, [])
        if gap is None:
            break
        assert prefix(region).covers(gap)
        assert not any(prefix(each).covers(gap) or gap.covers(prefix(each)) for each in known)
        coverage.add(gap)
        known.append(format(gap.bits, f"0{gap.length}b") if gap.length else "")
    assert all(any(prefix(each).covers(spot) for each in known) for spot in spots)

from random import Random
from struct import pack

from hypothesis import given
from hypothesis import strategies as st

from cortexnet.kad.routing.key import Prefix, position
from cortexnet.kad.upkeep.reprovide import DueRegion, ReprovideSchedule

HOUR = 3600.0
START = 1_800_000_000.0
OWN = 0b101 << 253


def key_in(prefix: Prefix, number: int = 0) -> bytes:
    found = (key for key in (b"%d" % tried for tried in range(10_000)) if prefix.contains(position(key)))
    return [next(found) for _ in range(number + 1)][-1]


def schedule_of(*keys: bytes, length: int = 2, provided: float | None = START) -> ReprovideSchedule:
    schedule = ReprovideSchedule(OWN, START, length=length)
    for key in keys:
        schedule.add(key, position(key), provided=provided)
    return schedule


def test_each_region_has_its_hour_and_all_keys_of_it_come_together() -> None:
    keys = {bits: [key_in(Prefix(2, bits), number) for number in range(2)] for bits in range(4)}
    schedule = schedule_of(*[key for part in keys.values() for key in part])
    # Our own position begins with 10, so the order is 10, 11, 00, 01: the first one has just been.
    for bits, hours in ((0b11, 5.5), (0b00, 11.0), (0b01, 16.5), (0b10, 22.0)):
        due_at = START + hours * HOUR
        assert schedule.next_due() == due_at
        assert schedule.take_due(due_at - 1) == []
        assert schedule.take_due(due_at) == [DueRegion(Prefix(2, bits), tuple(keys[bits]), due_at)]
        assert schedule.take_due(due_at) == [], "it is under way"
        schedule.provided(keys[bits], due_at + 60)
    assert schedule.next_due() == START + 27.5 * HOUR


def test_the_hours_are_spread_over_the_cycle_whatever_the_length() -> None:
    random = Random(1)
    schedule = ReprovideSchedule(random.getrandbits(256), START, length=30)
    for number in range(500):
        schedule.add(b"%d" % number, position(b"%d" % number), provided=START)
    by_hour = [0] * 22
    for hour in range(22):
        due = schedule.take_due(START + (hour + 1) * HOUR)
        by_hour[hour] = len(due)
        schedule.provided([key for region in due for key in region.keys], START + (hour + 1) * HOUR)
    assert sum(by_hour) == 500
    assert max(by_hour) < 60


def test_a_key_that_was_never_told_is_due_at_once() -> None:
    key = key_in(Prefix(2, 1))
    schedule = schedule_of(key, provided=None)
    assert [region.keys for region in schedule.take_due(START)] == [(key,)]
    assert schedule.next_due() is None
    schedule.provided([key, b"unknown"], START)
    assert schedule.next_due() == START + 16.5 * HOUR


def test_a_region_that_could_not_be_told_is_tried_again_after_five_minutes() -> None:
    key, told = key_in(Prefix(2, 1)), key_in(Prefix(2, 3))
    schedule = schedule_of(key, provided=None)
    schedule.add(told, position(told), provided=START)
    assert len(schedule.take_due(START)) == 1
    schedule.failed([key, b"unknown"], START)
    assert schedule.take_due(START + 299.0) == []
    assert schedule.next_due() == START + 300.0
    assert len(schedule.take_due(START + 300.0)) == 1
    schedule.failed([key], START + 301.0)
    assert schedule.next_due() == START + 601.0
    schedule.provided([key], START + 310.0)
    assert schedule.next_due() == START + 5.5 * HOUR
    assert [region.keys for region in schedule.take_due(START + 5.5 * HOUR)] == [(told,)]
    schedule.failed([told], START + 5.5 * HOUR)
    assert schedule.next_due() == START + 5.5 * HOUR + 300.0


def test_a_new_key_of_which_few_were_told_does_not_wait_for_the_hour_of_its_region() -> None:
    new, told = key_in(Prefix(2, 1), 0), key_in(Prefix(2, 1), 1)
    schedule = schedule_of(told)
    schedule.add(new, position(new), provided=START)
    schedule.failed([new], START + 10.0)
    assert schedule.next_due() == START + 310.0
    assert schedule.row(new) != schedule.row(told), "nor after a restart"
    assert [set(region.keys) for region in schedule.take_due(START + 310.0)] == [{new, told}]


def test_a_key_that_waits_to_be_tried_again_is_not_hurried_by_another_of_its_region() -> None:
    failed, told = key_in(Prefix(2, 1), 0), key_in(Prefix(2, 1), 1)
    schedule = schedule_of(failed)
    schedule.failed([failed], START)
    schedule.add(told, position(told), provided=START + 1.0)
    schedule.provided([told], START + 1.0)
    assert schedule.next_due() == START + 300.0


def test_a_region_whose_peers_could_be_told_in_part_is_tried_again_ever_more_seldom() -> None:
    key = key_in(Prefix(2, 1))
    schedule = schedule_of(key, provided=None)
    now = START
    for seconds in (300.0, 600.0, 1_200.0):
        schedule.failed([key], now, is_costly=True)
        now += seconds
        assert schedule.next_due() == now
    schedule.provided([key], now)
    schedule.failed([key], now)
    assert schedule.next_due() == now + 300.0


def test_what_was_missed_is_caught_up_with_the_longest_due_first() -> None:
    keys = [key_in(Prefix(2, bits)) for bits in range(4)]
    schedule = schedule_of(*keys)
    late = START + 100 * HOUR
    assert [region.prefix.bits for region in schedule.take_due(late, limit=3)] == [0b11, 0b00, 0b01]
    assert [region.prefix.bits for region in schedule.take_due(late)] == [0b10]


def test_a_key_is_provided_until_it_is_removed() -> None:
    one, two = key_in(Prefix(2, 1), 0), key_in(Prefix(2, 1), 1)
    schedule = schedule_of(one, two)
    assert len(schedule) == 2
    assert schedule.remove(one)
    assert not schedule.remove(one)
    assert one not in schedule
    assert two in schedule
    assert [region.keys for region in schedule.take_due(START + 30 * HOUR)] == [(two,)]
    assert schedule.remove(two)
    assert schedule.next_due() is None


def test_in_a_region_whose_key_came_later_all_are_told_at_the_hour() -> None:
    one, two = key_in(Prefix(2, 1), 0), key_in(Prefix(2, 1), 1)
    schedule = schedule_of(one)
    schedule.add(two, position(two), provided=START + 16 * HOUR)
    assert schedule.next_due() == START + 16.5 * HOUR
    schedule.provided([two], START + 16.2 * HOUR)
    assert schedule.next_due() == START + 16.5 * HOUR


def test_where_regions_get_another_length_no_key_is_late_by_more_than_an_hour() -> None:
    keys = [b"%d" % number for number in range(200)]
    schedule = schedule_of(*keys, length=0)
    last = dict.fromkeys(keys, START)
    random = Random(3)
    now = START
    while now < START + 100 * HOUR:
        now += HOUR / 4
        if random.random() < 0.05:
            schedule.set_length(random.randrange(8))
        for region in schedule.take_due(now):
            for key in region.keys:
                assert now - last[key] <= 23.5 * HOUR
                last[key] = now
            schedule.provided(region.keys, now)
    assert all(now - told <= 23.5 * HOUR for told in last.values())
    assert schedule.length < 8


def test_the_same_length_changes_nothing() -> None:
    key = key_in(Prefix(2, 3))
    schedule = schedule_of(key)
    schedule.take_due(START + 22 * HOUR)
    schedule.set_length(2)
    assert schedule.take_due(START + 22 * HOUR) == [], "it is still under way"
    schedule.set_length(3)
    assert len(schedule.take_due(START + 22 * HOUR)) == 1


def test_after_a_restart_it_goes_on_where_it_was() -> None:
    keys = [b"%d" % number for number in range(40)]
    schedule = schedule_of(*keys, length=3)
    now = START + 7 * HOUR
    for region in schedule.take_due(now):
        schedule.provided(region.keys, now)
    schedule.add(b"new", position(b"new"))
    later = ReprovideSchedule(OWN, now + HOUR, length=3)
    later.restore(schedule.rows(), position, now + HOUR)
    assert later.rows() == schedule.rows()
    assert later.next_due() == schedule.next_due()
    assert later.take_due(now + 9 * HOUR) == schedule.take_due(now + 9 * HOUR)


def test_rows_that_make_no_sense_do_no_harm() -> None:
    schedule = ReprovideSchedule(OWN, START)
    schedule.add(b"known", position(b"known"), provided=START)
    for time in (float("nan"), float("inf"), -1e300, 1e300):
        rows = {b"": pack(">d", time), b"short": b"\0", b"known": pack(">d", 5.0), b"key": pack(">d", time)}
        schedule.restore(rows, position, START)
    assert schedule.rows()[b""] == pack(">d", START)
    assert len(schedule) == 2
    assert schedule.row(b"known") == pack(">d", START)
    assert [region.keys for region in schedule.take_due(START)] == [(b"known", b"key")], "of the key nothing is known"


def test_a_clock_that_was_set_back_puts_nothing_off_for_long() -> None:
    key = key_in(Prefix(2, 1))
    schedule = schedule_of(key, provided=START + 1_000 * HOUR)
    assert schedule.take_due(START) == []
    assert schedule.next_due() == START + 16.5 * HOUR


@given(st.integers(0, (1 << 256) - 1), st.integers(0, 40), st.floats(0, 1e6), st.integers(0, (1 << 256) - 1))
def test_every_region_is_due_once_in_a_cycle(own: int, length: int, after: float, where: int) -> None:
    schedule = ReprovideSchedule(own, START, length=length)
    schedule.add(b"key", where, provided=START + after)
    due = schedule.next_due()
    assert due is not None
    assert START + after < due <= START + after + 22 * HOUR + 0.01
    schedule.provided([b"key"], due)
    again = schedule.next_due()
    assert again is not None
    assert abs(again - due - 22 * HOUR) < 0.01

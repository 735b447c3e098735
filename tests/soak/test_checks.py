"""What must be so at the end of a calm: is it noticed where it is not?"""

from dataclasses import replace

import pytest

from soak.checks import (
    MIB,
    Failure,
    Figures,
    Sample,
    baseline,
    components,
    excess,
    growth,
    mean_of_the_old,
    misdelivered,
    slope,
)


def test_nodes_are_connected_by_way_of_others() -> None:
    links = {"a": ["b"], "b": ["a", "c"], "c": ["b"], "d": ["e"], "e": ["d"], "f": []}
    assert components(links) == [{"a", "b", "c"}, {"d", "e"}, {"f"}]
    assert components({}) == []


def test_a_connection_that_only_one_end_has_is_none() -> None:
    assert components({"a": ["b"], "b": []}) == [{"a"}, {"b"}]


def test_peers_that_do_not_run_connect_nobody() -> None:
    assert components({"a": ["x"], "b": ["x"]}) == [{"a"}, {"b"}]


def test_a_message_that_has_come_twice_or_never_is_noticed() -> None:
    published = {"one": "a", "two": "b"}
    assert misdelivered(published, {"a": {"two": 1}, "b": {"one": 1}, "c": {"one": 1, "two": 1}}) == {}
    wrong = misdelivered(published, {"a": {}, "b": {"one": 2}, "c": {"one": 1, "two": 1, "old": 2}})
    assert wrong == {"a": (["two"], []), "b": ([], ["one"]), "c": ([], ["old"])}


def figures(peers: int = 10, descriptors: int = 20, tasks: dict[str, int] | None = None, **reservations: int) -> Figures:
    return Figures(peers, descriptors, tasks or {}, reservations, {})


def test_what_is_as_at_the_baseline_or_less_is_right() -> None:
    base = figures(tasks={"read": 10, "run": 1}, streams=20, connections_inbound=4)
    assert excess(base, base) == {}
    assert excess(base, figures(9, 19, {"read": 9}, connections_inbound=9)) == {}


def test_what_is_above_it_is_named() -> None:
    base = figures(tasks={"read": 10, "run": 1}, streams=20)
    now = figures(descriptors=21, tasks={"read": 10, "run": 2, "new": 1}, streams=22)
    assert excess(base, now) == {
        "descriptors": (21, 20),
        "tasks of run": (2, 1),
        "tasks of new": (1, 0),
        "reservations: streams": (22, 20),
    }


def test_one_more_connection_may_have_what_each_of_the_others_has() -> None:
    base = figures(10, 20, {"read": 10, "run": 1}, streams=20, dials=0)
    assert excess(base, figures(12, 24, {"read": 12, "run": 1}, streams=24)) == {}
    now = figures(12, 25, {"read": 13, "run": 2}, streams=25, dials=1)
    assert list(excess(base, now).values()) == [(25, 24), (13, 12), (2, 1), (25, 24), (1, 0)]


def test_what_nearly_each_peer_had_one_of_each_may_have_one_of() -> None:
    base = figures(10, 25, {"write": 9, "run": 4}, streams=9)
    assert excess(base, figures(10, 25, {"write": 10, "run": 4}, streams=10)) == {}
    assert list(excess(base, figures(10, 26, {"write": 11, "run": 5}, streams=11)).values()) == [
        (26, 25),
        (11, 10),
        (5, 4),
        (11, 10),
    ]


def test_the_dht_may_have_one_stream_for_each_peer_whatever_the_baseline() -> None:
    base = figures(10)
    assert excess(base, replace(base, dht={"to": 10, "from": 3})) == {}
    assert excess(base, replace(base, dht={"to": 10, "from": 11})) == {"from": (11, 10)}


def test_a_baseline_is_the_most_of_some_samples_of_the_fewest_connections() -> None:
    first, second = figures(10, 20, {"read": 9}, streams=3), figures(9, 21, {"read": 10, "run": 1}, streams=2)
    assert baseline([first, second]) == figures(9, 21, {"read": 10, "run": 1}, streams=3)


def test_who_was_started_anew_says_nothing_about_growth() -> None:
    samples: list[Sample] = [(0.0, {"a": 2 * MIB, "b": 4 * MIB}), (5.0, {"a": 3 * MIB, "c": 90 * MIB})]
    assert mean_of_the_old(samples) == [(0.0, 2.0), (5.0, 3.0)]
    assert mean_of_the_old([(0.0, {"a": MIB}), (5.0, {"b": MIB})]) == []
    assert mean_of_the_old([]) == []


def test_a_slope_is_that_of_the_best_line() -> None:
    assert slope([(0.0, 1.0), (1800.0, 2.0), (3600.0, 3.0)]) == pytest.approx(2.0)
    assert slope([(0.0, 1.0)]) == 0.0


def ramp(seconds: int, mib_an_hour: float) -> list[Sample]:
    return [(float(when), {"a": MIB * (50 + mib_an_hour * when / 3600)}) for when in range(0, seconds + 1, 5)]


def test_ten_minutes_may_bring_two_mebibytes_from_the_fifth_to_the_last() -> None:
    assert not growth(ramp(600, 20), 10).is_too_much  # 300 s: 1.67
    assert growth(ramp(600, 30), 10).is_too_much
    assert str(growth(ramp(600, 12), 10)) == "MiB from the fifth minute to the last: +1.02 (at most +2.0)"


def test_hours_may_bring_one_mebibyte_each() -> None:
    assert not growth(ramp(8 * 3600, 0.9), 480).is_too_much
    assert growth(ramp(8 * 3600, 1.1), 480).is_too_much


def test_a_short_run_says_nothing_about_growth() -> None:
    assert growth(ramp(60, 1000), 1).limit is None
    assert growth([], 1).limit is None


def test_a_failure_says_when_who_and_what() -> None:
    assert str(Failure(2, "node 7", "it is gone")) == "round 2, node 7: it is gone"

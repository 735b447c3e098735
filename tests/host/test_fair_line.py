"""The line in which parties stand: one of each, then the next of each, whoever comes and goes."""

from hypothesis import given
from hypothesis import strategies as st

from cortexnet.host.fair_line import FairLine

Item = tuple[str, int]
Operations = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.sampled_from("abcd")),
        st.tuples(st.just("serve"), st.none()),
        st.tuples(st.just("go"), st.integers(0, 30)),
    ),
    max_size=80,
)


def line_of(text: str) -> FairLine[Item]:
    """Each letter a party's next one."""
    line = FairLine[Item]()
    for number, party in enumerate(text):
        line.append((party, number), party)
    return line


def serve(line: FairLine[Item]) -> Item:
    first = line.first()
    line.rotate()
    line.remove(first, first[0])
    return first


def serve_all(line: FairLine[Item]) -> str:
    served = ""
    while line.parties:
        served += serve(line)[0]
    return served


def test_one_party_is_served_in_its_order() -> None:
    line = line_of("aaaa")
    assert [serve(line)[1] for _ in range(4)] == [0, 1, 2, 3]
    assert not line.parties


def test_one_of_each_then_the_next_of_each() -> None:
    assert serve_all(line_of("aaaabbc")) == "abcabaa"


def test_a_thousand_of_one_delay_the_only_one_of_another_by_one() -> None:
    line = line_of("a" * 1_000)
    serve(line)
    line.append(("b", 0), "b")
    assert [serve(line)[0] for _ in range(3)] == ["a", "b", "a"]


def test_who_goes_before_it_is_served_costs_its_party_no_turn() -> None:
    line = line_of("aabb")
    line.remove(("a", 0), "a")
    assert serve_all(line) == "abb"


@given(st.text("abcdefgh", max_size=60), st.integers(0, 70))
def test_those_who_are_next_are_served_next(text: str, count: int) -> None:
    line = line_of(text)
    upcoming = line.upcoming(count)
    assert len(upcoming) == min(count, len(text))
    assert upcoming == [serve(line) for _ in upcoming]


@given(Operations)
def test_the_first_of_a_party_sees_no_other_party_served_twice(operations: list[tuple[str, str | int | None]]) -> None:
    line, waiting = FairLine[Item](), list[Item]()
    seen = dict[Item, list[str]]()  # by each first one of a party: the parties that were served since it is that
    for number, (operation, argument) in enumerate(operations):
        if operation == "come":
            assert isinstance(argument, str)
            waiting.append((argument, number))
            line.append(waiting[-1], argument)
        elif operation == "go" and waiting:
            assert isinstance(argument, int)
            gone = waiting.pop(argument % len(waiting))
            seen.pop(gone, None)
            line.remove(gone, gone[0])
        elif operation == "serve" and waiting:
            served = serve(line)
            assert served == next(item for item in waiting if item[0] == served[0]), "in the order of its party"
            waiting.remove(served)
            seen.pop(served, None)
            for item, parties in seen.items():
                parties.append(served[0])
                assert len(set(parties)) == len(parties), f"{item} saw {parties} served"
        for party in line.parties:
            seen.setdefault(next(item for item in waiting if item[0] == party), [])
    assert sorted(line.upcoming(len(waiting) + 1)) == sorted(waiting), "and no party is kept that has nobody in line"
    assert set(line.parties) == {party for party, _ in waiting}

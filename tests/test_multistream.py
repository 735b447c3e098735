"""multistream-select against golden exchanges, against itself, and against peers that do not follow it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError, MessageTooLarge, NegotiationFailed, ProtocolViolation, RemoteError
from cortexnet.handshake import Handshake
from cortexnet.multiformats import varint
from cortexnet.multistream import HEADER, MAX_LINE, MAX_PROPOSALS, be_selected, confirm, propose, select
from cortexnet.testing.handshakes import Outcome, run_over, run_pair

GOLDEN: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "vectors" / "multistream.json").read_text())[
    "negotiations"
]


def line(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return varint.encode(len(data) + 1) + data + b"\n"


HELLO = line(HEADER)
NA = line("na")


def supports(*protocols: str) -> Callable[[str], bool]:
    return frozenset(protocols).__contains__


def answered(proposed: Sequence[str], *lines: bytes) -> Outcome[str]:
    return run_over(select(proposed), lines)


def asked(supported: Sequence[str], *lines: bytes) -> Outcome[str]:
    return run_over(be_selected(supports(*supported)), lines)


# --- golden bytes


@pytest.mark.parametrize(
    ("name", "supported", "selected"),
    [
        ("lazy_ping", ["/ipfs/ping/1.0.0"], "/ipfs/ping/1.0.0"),
        ("ls", ["/a"], None),
        ("nothing_common", ["/c"], None),
        ("second_choice", ["/noise"], "/noise"),
    ],
)
def test_a_responder_answers_as_go_does(name: str, supported: list[str], selected: str | None) -> None:
    golden = GOLDEN[name]
    outcome = asked(supported, bytes.fromhex(golden["dialer_sends"]))
    assert outcome.sent.hex() == golden["listener_sends"]
    assert outcome.result == selected
    # Where nothing was found the golden initiator has given up, and we would listen to one more proposal.
    assert outcome.error is None


def test_optimistic_data_of_a_golden_initiator_is_left_to_the_protocol() -> None:
    outcome = asked(["/ipfs/ping/1.0.0"], bytes.fromhex(GOLDEN["lazy_ping"]["dialer_sends"]))
    assert outcome.rest == bytes(range(32))


@pytest.mark.parametrize(("name", "proposed"), [("second_choice", ["/tls/1.0.0", "/noise"]), ("nothing_common", ["/a", "/b"])])
def test_an_initiator_asks_as_go_does(name: str, proposed: list[str]) -> None:
    golden = GOLDEN[name]
    outcome = answered(proposed, bytes.fromhex(golden["listener_sends"]))
    assert outcome.sent.hex() == golden["dialer_sends"]
    if name == "nothing_common":
        assert isinstance(outcome.error, NegotiationFailed)
        assert outcome.error.protocols == ("/a", "/b")
    else:
        assert outcome.result == "/noise"


def test_an_optimistic_opening_is_what_go_writes_in_front_of_its_data() -> None:
    golden = GOLDEN["lazy_ping"]
    assert bytes.fromhex(golden["dialer_sends"]) == propose("/ipfs/ping/1.0.0") + bytes(range(32))
    outcome = run_over(confirm("/ipfs/ping/1.0.0"), [bytes.fromhex(golden["listener_sends"]) + b"pong"])
    assert (outcome.error, outcome.sent, outcome.rest) == (None, b"", b"pong")


# --- the initiator


def test_the_header_and_the_first_proposal_leave_before_anything_has_come() -> None:
    outcome = answered(["/a", "/b"])
    assert (outcome.sent, outcome.result, outcome.error) == (HELLO + line("/a"), None, None)


@pytest.mark.parametrize("count", [1, MAX_PROPOSALS])
def test_every_proposal_is_tried_before_the_negotiation_fails(count: int) -> None:
    proposed = [f"/{number}" for number in range(count)]
    outcome = answered(proposed, HELLO, *[NA] * count)
    assert isinstance(outcome.error, NegotiationFailed)
    assert outcome.error.protocols == tuple(proposed)
    assert outcome.sent == HELLO + b"".join(map(line, proposed))


def test_a_failed_negotiation_names_the_first_proposals_and_counts_the_others() -> None:
    outcome = answered([f"/{number}" for number in range(6)], HELLO, *[NA] * 6)
    assert str(outcome.error) == "no common protocol among '/0', '/1', '/2', '/3' and 2 more"


@pytest.mark.parametrize("count", [0, MAX_PROPOSALS + 1])
def test_no_proposals_or_too_many_are_the_callers_error(count: int) -> None:
    with pytest.raises(LocalError):
        select(["/a"] * count)


@pytest.mark.parametrize(
    "name", ["", "a", "ls", "na", "/a\nb", "/" + "x" * (MAX_LINE - 1), "/" + "é" * (MAX_LINE // 2), "/\ud800"]
)
def test_a_name_that_no_line_can_carry_is_the_callers_error(name: str) -> None:
    with pytest.raises(LocalError):
        select(["/a", name])
    with pytest.raises(LocalError):
        propose(name)


def test_the_longest_name_fills_a_line() -> None:
    longest = "/" + "x" * (MAX_LINE - 2)
    first, second = run_pair(select([longest]), be_selected(supports(longest)))
    assert first.result == second.result == longest


def test_a_header_that_comes_again_is_skipped_once() -> None:
    assert answered(["/a"], HELLO + HELLO + line("/a")).result == "/a"
    assert answered(["/a", "/b"], HELLO + HELLO + NA + line("/b")).result == "/b"
    assert isinstance(answered(["/a"], HELLO * 3).error, ProtocolViolation)


@pytest.mark.parametrize("answer", ["/b", "/a ", "/A", "ls", "", "NA"])
def test_an_answer_that_is_neither_the_proposal_nor_na_is_a_violation(answer: str) -> None:
    assert isinstance(answered(["/a"], HELLO + line(answer)).error, ProtocolViolation)


def test_what_the_peer_says_is_escaped_and_cut_in_errors() -> None:
    error = answered(["/a"], HELLO + line("/\x1b[31m" + "é" * 400)).error
    assert "\x1b" not in str(error)
    assert str(error).isascii()
    assert len(str(error)) < 700


def test_a_refused_optimistic_proposal_is_a_failed_negotiation() -> None:
    outcome = run_over(confirm("/a"), [HELLO + NA])
    assert isinstance(outcome.error, NegotiationFailed)
    assert outcome.error.protocols == ("/a",)


# --- the responder


def test_the_responders_header_leaves_before_anything_has_come() -> None:
    outcome = asked(["/a"])
    assert (outcome.sent, outcome.error) == (HELLO, None)


def test_an_unknown_proposal_is_refused_and_the_next_one_taken() -> None:
    outcome = asked(["/c"], HELLO + line("/a") + line("/b") + line("/c"), b"rest")
    assert (outcome.result, outcome.sent, outcome.rest) == ("/c", HELLO + NA + NA + line("/c"), b"rest")


@pytest.mark.parametrize(
    "text", [b"ls", b"na", HEADER.encode(), b"", b"\xff\xfe", b"/a\n/b", b"/a ", b"/A", b"/" * (MAX_LINE - 1)]
)
def test_names_that_are_nobodys_are_refused_as_any_unknown_one(text: bytes) -> None:
    outcome = asked(["/a"], HELLO, line(text), line("/a"))
    assert (outcome.result, outcome.sent) == ("/a", HELLO + NA + line("/a"))


def test_a_name_that_is_not_utf8_is_unknown_to_whoever_takes_everything() -> None:
    outcome = run_over(be_selected(lambda _: True), [HELLO + line(b"/\xff") + line(b"/\xef\xbf\xbd")])
    assert (outcome.result, outcome.sent) == ("/\ufffd", HELLO + NA + line("/\ufffd"))


@pytest.mark.parametrize(("count", "fails"), [(MAX_PROPOSALS - 1, False), (MAX_PROPOSALS, True)])
def test_a_negotiation_has_an_end(count: int, fails: bool) -> None:
    outcome = asked(["/a"], HELLO, *[line("/" + "x" * 500)] * count, line("/a"))
    if fails:
        assert isinstance(outcome.error, NegotiationFailed)
        assert outcome.rest == line("/a")
        assert {len(name) for name in outcome.error.protocols} == {128}
    else:
        assert outcome.result == "/a"
    assert outcome.sent.count(NA) == count


@pytest.mark.parametrize("data", [b"\x05hello", b"\x00", varint.encode(MAX_LINE + 1), b"\x80\x00", b"\xff" * 9])
def test_optimistic_data_behind_a_refusal_is_no_violation(data: bytes) -> None:
    """go-multistream 20: data for a refused protocol was read as the next proposal."""
    outcome = asked(["/a"], HELLO + line("/b") + data)
    assert isinstance(outcome.error, NegotiationFailed)
    assert outcome.error.protocols == ("/b",)
    assert isinstance(asked(["/b"], HELLO + data).error, ProtocolViolation | MessageTooLarge)


# --- both


@pytest.mark.parametrize(
    "first", [line("/multistream/2.0.0"), line("/noise"), b"\x03na\n", b"\x13/multistream/1.0.1\n", line("GET / HTTP/1.1\r")]
)
def test_a_peer_that_opens_with_another_line_has_nothing_in_common_with_us(first: bytes) -> None:
    for outcome in (answered(["/a"], first), asked(["/a"], first), run_over(confirm("/a"), [first])):
        assert isinstance(outcome.error, NegotiationFailed)


BOTH = pytest.mark.parametrize("start", [lambda: select(["/a"]), lambda: be_selected(supports("/a")), lambda: confirm("/a")])


@BOTH
@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\x00", ProtocolViolation),
        (b"\x01a", ProtocolViolation),
        (b"\x13/multistream/1.0.0\r", ProtocolViolation),
        (b"\x93\x00/multistream/1.0.0\n", ProtocolViolation),  # a length that is not minimal
        (b"\xff" * 9, ProtocolViolation),
        (varint.encode(MAX_LINE + 1), MessageTooLarge),
        (varint.encode(1 << 62), MessageTooLarge),
        (b"GET / HTTP/1.1\r\n", None),  # 71 bytes are said to follow
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(20), ProtocolViolation),  # a TLS ClientHello
    ],
)
def test_what_is_no_line_ends_the_negotiation(start: Callable[[], Handshake[Any]], data: bytes, error: type | None) -> None:
    outcome = run_over(start(), [data])
    assert outcome.result is None
    assert type(outcome.error) is (error or type(None))


@BOTH
def test_the_body_of_a_line_that_is_too_long_is_not_waited_for(start: Callable[[], Handshake[Any]]) -> None:
    at_the_limit = run_over(start(), [varint.encode(MAX_LINE)])
    over = run_over(start(), [varint.encode(MAX_LINE + 1)])
    assert at_the_limit.error is None
    assert isinstance(over.error, MessageTooLarge)
    assert (over.error.size, over.error.limit) == (MAX_LINE + 1, MAX_LINE)


names = st.sampled_from(["/a", "/b", "/c", "/d/1.0.0"])


@given(st.lists(names, min_size=1, max_size=5), st.lists(names, max_size=3))
def test_both_sides_end_with_the_first_proposal_that_is_supported(proposed: list[str], supported: list[str]) -> None:
    first, second = run_pair(select(proposed), be_selected(supports(*supported)))
    chosen = next((name for name in proposed if name in supported), None)
    assert first.result == second.result == chosen
    assert (first.rest, second.rest) == (b"", b"")
    assert isinstance(first.error, NegotiationFailed) == (chosen is None)


lines = st.one_of(
    st.sampled_from([HELLO, NA, line("ls"), line("/a"), line("/b"), line("/c"), line(""), b"\x00", b"\x80", varint.encode(2000)]),
    st.binary(max_size=30).map(line),
    st.binary(max_size=10),
)
conversations = st.tuples(st.sampled_from([b"", HELLO, HELLO + NA]), st.lists(lines, max_size=8)).map(
    lambda parts: parts[0] + b"".join(parts[1])
)
starts = st.sampled_from([lambda: select(["/a", "/b", "/c"]), lambda: be_selected(supports("/a")), lambda: confirm("/a")])


@given(starts, conversations, st.lists(st.integers(0, 6), max_size=40))
def test_cutting_the_bytes_elsewhere_changes_nothing(start: Callable[[], Handshake[Any]], data: bytes, cuts: list[int]) -> None:
    pieces, rest = [], data
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    whole, cut_up = run_over(start(), [data]), run_over(start(), [*pieces, rest])
    assert (whole.sent, whole.result, repr(whole.error), whole.rest) == (
        cut_up.sent,
        cut_up.result,
        repr(cut_up.error),
        cut_up.rest,
    )


@given(starts, st.one_of(conversations, st.binary(max_size=200)))
def test_any_bytes_end_in_a_result_a_remote_error_or_a_wait(start: Callable[[], Handshake[Any]], data: bytes) -> None:
    outcome = run_over(start(), [data])
    assert outcome.error is None or isinstance(outcome.error, RemoteError)

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from cortexnet.admission.gater import GatedConnection, Gater
from cortexnet.errors import Denied, LimitExceeded, LocalError
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr

A, B = (PeerId(bytes([0x12, 32]) + bytes([number]) * 32) for number in (1, 2))
HERE, THERE, NOWHERE = (Multiaddr.parse(text) for text in ("/ip4/192.0.2.7/tcp/1", "/ip6/2001:db8::7/tcp/1", "/memory/5"))


@dataclass
class Time:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Complete:
    peer_id: PeerId
    remote_address: Multiaddr
    direction: Literal["inbound", "outbound"] = "inbound"


class Recorder:
    """A gate that remembers what it was asked, and says no at one point."""

    def __init__(self, against: str = "") -> None:
        self.against = against
        self.asked: list[tuple[object, ...]] = []

    def _answer(self, *question: object) -> bool:
        self.asked.append(question)
        return question[0] != self.against

    def dial(self, peer: PeerId | None, address: Multiaddr) -> bool:
        return self._answer("dial", peer, address)

    def accept(self, address: Multiaddr) -> bool:
        return self._answer("accept", address)

    def secured(self, peer: PeerId, address: Multiaddr, direction: Literal["inbound", "outbound"]) -> bool:
        return self._answer("secured", peer, address, direction)

    def upgraded(self, connection: GatedConnection) -> bool:
        return self._answer("upgraded", connection)


def new_gater(*, time: Time | None = None, limit: int = 10) -> Gater:
    return Gater(limit=limit, unix_time=time or Time())


def points(gater: Gater, peer: PeerId, address: Multiaddr) -> dict[str, Callable[[], None]]:
    return {
        "dial": lambda: gater.check_dial(peer, address),
        "accept": lambda: gater.check_accept(address),
        "secured": lambda: gater.check_secured(peer, address, "inbound"),
        "upgraded": lambda: gater.check_upgraded(Complete(peer, address)),
    }


def refusing(gater: Gater, peer: PeerId, address: Multiaddr) -> list[str]:
    """The points that refuse."""
    refused = []
    for name, check in points(gater, peer, address).items():
        try:
            check()
        except Denied:
            refused.append(name)
    return refused


ALL = ["dial", "accept", "secured", "upgraded"]
KNOWN = ["dial", "secured", "upgraded"]


def test_without_rules_everybody_may_connect_and_nothing_needs_to_be_asked() -> None:
    gater = new_gater()
    assert refusing(gater, A, HERE) == refusing(gater, A, NOWHERE) == []
    assert not gater.is_active


@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        (["deny ip"], ALL),
        (["deny net"], ALL),
        (["deny peer"], KNOWN),
        (["deny other"], []),
        (["allow peer"], []),
        (["deny net", "allow ip"], []),
        (["deny ip", "allow net"], []),
        (["deny net", "allow peer"], ["accept"]),  # nobody knows yet who it is
        (["deny peer", "allow ip"], KNOWN),
        (["deny peer", "allow peer"], []),
        (["deny peer", "deny net", "allow peer", "allow ip"], []),
    ],
)
def test_who_is_refused_where(rules: list[str], refused: list[str]) -> None:
    subjects = {"ip": "192.0.2.7", "net": "192.0.2.0/24", "other": "198.51.100.0/24", "peer": str(A)}
    gater = new_gater()
    for rule in rules:
        kind, subject = rule.split()
        (gater.deny if kind == "deny" else gater.allow)(subjects[subject])
    assert gater.is_active
    assert refusing(gater, A, HERE) == refused
    assert [gater.refused[point] for point in ("dial", "accept", "secured", "upgraded")] == [point in refused for point in ALL]


def test_who_may_answer_at_an_address_is_not_known_when_anybody_may() -> None:
    gater = new_gater()
    gater.deny(A)
    gater.check_dial(None, HERE)
    gater.deny("192.0.2.0/24")
    with pytest.raises(Denied):
        gater.check_dial(None, HERE)


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        ([], ALL),
        ([str(A)], []),
        ([str(B)], KNOWN),  # who connects may be B
        (["192.0.2.0/24"], []),
        (["198.51.100.0/24"], ALL),
    ],
)
def test_with_allow_only_nobody_else_may_connect(allowed: list[str], refused: list[str]) -> None:
    gater = new_gater()
    gater.allow_only = True
    assert gater.is_active
    for subject in allowed:
        gater.allow(subject)
    assert refusing(gater, A, HERE) == refused


def test_with_allow_only_an_address_without_ip_is_decided_by_the_peer() -> None:
    gater = new_gater()
    gater.allow_only = True
    gater.allow("192.0.2.0/24")
    assert refusing(gater, A, NOWHERE) == ALL
    gater.allow(A)
    assert refusing(gater, A, NOWHERE) == []


def test_with_allow_only_a_denied_network_stays_denied_to_those_who_have_not_said_who_they_are() -> None:
    gater = new_gater()
    gater.allow_only = True
    gater.allow(A)
    gater.deny("192.0.2.0/24")
    assert refusing(gater, A, HERE) == ["accept"]


def test_the_address_of_a_relay_is_not_that_of_the_peer() -> None:
    gater = new_gater()
    gater.deny("192.0.2.7")
    relayed = Multiaddr.parse(f"/ip4/192.0.2.7/tcp/1/p2p/{B}/p2p-circuit")
    assert refusing(gater, A, relayed) == []


def test_a_name_has_no_address_to_decide_by() -> None:
    gater = new_gater()
    gater.deny("0.0.0.0/0")
    assert refusing(gater, A, Multiaddr.parse("/dns4/example.org/tcp/1")) == []


def test_loopback_is_no_exception() -> None:
    gater = new_gater()
    gater.deny("127.0.0.0/8")
    assert refusing(gater, A, Multiaddr.parse("/ip4/127.0.0.1/tcp/1")) == ALL


def test_mapped_addresses_are_ipv4() -> None:
    gater = new_gater()
    gater.deny("192.0.2.0/24")
    assert refusing(gater, A, Multiaddr.parse("/ip6/::ffff:192.0.2.7/tcp/1")) == ALL


def test_a_refusal_names_the_rule() -> None:
    gater = new_gater()
    gater.deny("192.0.2.0/24", "floods us", seconds=60)
    with pytest.raises(Denied) as raised:
        gater.check_accept(HERE)
    assert raised.value.rule == "deny 192.0.2.0/24 1060.0 floods us"
    assert str(raised.value) == f"connection from {HERE}: denied by rule 'deny 192.0.2.0/24 1060.0 floods us'"
    gater = new_gater()
    gater.allow_only = True
    with pytest.raises(Denied, match="denied by rule 'allow only'"):
        gater.check_accept(HERE)


def test_a_rule_ends_by_itself() -> None:
    time = Time()
    gater = new_gater(time=time)
    gater.deny(A, seconds=10)
    gater.allow(B, seconds=20)
    time.now += 9.9
    assert [str(rule.subject) for rule in gater.rules] == [str(A), str(B)]
    assert refusing(gater, A, HERE) == KNOWN
    time.now += 0.1
    assert refusing(gater, A, HERE) == []
    assert [str(rule.subject) for rule in gater.rules] == [str(B)]
    time.now += 10
    assert gater.rules == []
    assert not gater.is_active


def test_both_rules_about_a_subject_are_removed() -> None:
    gater = new_gater()
    gater.deny(A)
    gater.allow(A)
    gater.deny("192.0.2.0/24")
    assert gater.remove(str(A))
    assert not gater.remove(A)
    assert gater.remove("192.0.2.9/24")
    assert gater.rules == []


@pytest.mark.parametrize("text", ["", "everybody", "192.0.2.0/33", "/ip4/192.0.2.7"])
def test_a_subject_that_is_none_is_a_local_error(text: str) -> None:
    gater = new_gater()
    for call in (gater.deny, gater.allow, gater.remove):
        with pytest.raises(LocalError):
            call(text)


@pytest.mark.parametrize("seconds", [float("inf"), float("nan")])
def test_a_rule_can_not_end_at_no_time(seconds: float) -> None:
    with pytest.raises(LocalError):
        new_gater().deny(A, seconds=seconds)


def test_there_are_as_many_rules_as_the_limit_says() -> None:
    gater = new_gater(limit=2)
    gater.deny(A)
    gater.allow(A)
    with pytest.raises(LimitExceeded) as raised:
        gater.deny(B)
    assert raised.value.setting == "limits.access_rules"


# --- changes under open connections


def test_whoever_holds_connections_is_told_where_less_is_allowed_than_before() -> None:
    told: list[PeerId | None] = []
    gater = new_gater()
    gater.remove(A)
    gater.on_narrowed = told.append
    gater.allow(A)
    gater.remove(B)
    gater.allow_only = False
    assert told == []
    gater.deny(B)
    gater.remove(B)
    assert told == [B], "of one peer, so that nobody looks at all connections for it"
    gater.remove(A)
    assert told == [B, A]
    gater.allow_only = True
    gater.deny("192.0.2.0/24")
    assert told == [B, A, None, None]


def test_an_open_connection_is_judged_by_the_rules_alone() -> None:
    gater = new_gater()
    gater.gate = Recorder("upgraded")
    assert gater.objection(Complete(A, HERE)) is None
    gater.deny("192.0.2.0/24", "enough")
    denied = gater.objection(Complete(A, HERE))
    assert denied is not None
    assert denied.rule == "deny 192.0.2.0/24 - enough"
    assert gater.objection(Complete(A, THERE)) is None
    gater.allow(A)
    assert gater.objection(Complete(A, HERE)) is None


def test_rules_may_change_before_anybody_holds_connections() -> None:
    gater = new_gater()
    gater.deny(A)
    gater.allow_only = True
    assert gater.allow_only


# --- the application's gate


def test_the_gate_is_asked_at_every_point() -> None:
    gater = new_gater()
    gater.gate = gate = Recorder()
    assert gater.is_active
    assert refusing(gater, A, HERE) == []
    assert gate.asked == [
        ("dial", A, HERE),
        ("accept", HERE),
        ("secured", A, HERE, "inbound"),
        ("upgraded", Complete(A, HERE)),
    ]


@pytest.mark.parametrize("point", ALL)
def test_the_gate_can_refuse_at_each_point(point: str) -> None:
    gater = new_gater()
    gater.gate = Recorder(point)
    assert refusing(gater, A, HERE) == [point]
    with pytest.raises(Denied, match="denied by rule 'gate'"):
        points(gater, A, HERE)[point]()


def test_the_gate_is_not_asked_about_whom_a_rule_refuses() -> None:
    gater = new_gater()
    gater.gate = gate = Recorder()
    gater.deny("192.0.2.0/24")
    assert refusing(gater, A, HERE) == ALL
    assert gate.asked == []


def test_an_allow_rule_does_not_go_past_the_gate() -> None:
    gater = new_gater()
    gater.gate = Recorder("secured")
    gater.allow(A)
    assert refusing(gater, A, HERE) == ["secured"]


@pytest.mark.parametrize("is_told", [True, False])
def test_a_gate_that_fails_refuses(is_told: bool) -> None:
    class Broken(Recorder):
        def accept(self, address: Multiaddr) -> bool:
            raise ZeroDivisionError

    faults: list[Exception] = []
    gater = new_gater()
    gater.gate = Broken()
    if is_told:
        gater.on_fault = faults.append
    assert refusing(gater, A, HERE) == ["accept"]
    assert [type(fault) for fault in faults] == [ZeroDivisionError] * is_told


# --- who is asked about whom the rules let in


@pytest.mark.parametrize("is_active", [False, True], ids=["without rules", "with rules"])
def test_whoever_is_to_admit_is_asked_about_those_who_connect_once_they_are_verified(is_active: bool) -> None:
    gater = new_gater()
    asked: list[object] = []
    gater.admission = lambda peer, address: asked.append((peer, address))
    if is_active:
        gater.deny(B)
    assert refusing(gater, A, HERE) == []
    assert asked == [(A, HERE)]
    gater.check_secured(A, HERE, "outbound")
    assert asked == [(A, HERE)], "whom we dial we want"
    if is_active:
        with pytest.raises(Denied):
            gater.check_secured(B, HERE, "inbound")
        assert asked == [(A, HERE)]


def test_what_it_raises_refuses() -> None:
    def refuse(peer: PeerId, address: Multiaddr) -> None:
        raise LimitExceeded("strangers", limit=1, value=2, setting="reputation.newcomer_burst")

    gater = new_gater()
    gater.admission = refuse
    with pytest.raises(LimitExceeded, match="newcomer_burst"):
        gater.check_secured(A, HERE, "inbound")


def test_which_rule_denies_a_peer_and_for_how_long_yet_can_be_asked() -> None:
    time = Time()
    gater = new_gater(time=time)
    assert gater.denial(A) is None
    gater.deny(A, "floods us", 60)
    gater.deny(B, "for good")
    time.now += 20
    assert gater.denial(A) == ("floods us", 40.0)
    assert gater.denial(B) == ("for good", float("inf"))
    time.now += 40
    assert gater.denial(A) is None


def test_whether_a_rule_allows_exactly_this_peer_can_be_asked() -> None:
    time = Time()
    gater = new_gater(time=time)
    gater.allow("192.0.2.0/24")
    assert not gater.is_allowed(A)
    gater.allow(A, "a friend", 60)
    assert (gater.is_allowed(A), gater.is_allowed(B)) == (True, False)
    time.now += 60
    assert not gater.is_allowed(A)


# --- explanations


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (str(B), "allowed: no rule is against it"),
        (str(A), f"denied by rule 'deny {A} 1060.0'"),
        ("192.0.2.7", "denied by rule 'deny 192.0.2.0/24 - floods us'"),
        ("::ffff:192.0.2.7", "denied by rule 'deny 192.0.2.0/24 - floods us'"),
        ("/ip4/192.0.2.7", "denied by rule 'deny 192.0.2.0/24 - floods us'"),
        (f"/ip4/192.0.2.7/tcp/1/p2p/{A}", f"denied by rule 'deny {A} 1060.0'"),
        (f"/p2p/{A}", f"denied by rule 'deny {A} 1060.0'"),
        ("2001:db8::1", "allowed by rule 'allow 2001:db8::/32 -'"),
        ("/memory/5", "allowed: no rule is against it"),
    ],
)
def test_a_decision_can_be_explained(subject: str, text: str) -> None:
    gater = new_gater()
    gater.deny(A, seconds=60)
    gater.deny("192.0.2.0/24", "floods us")
    gater.allow("2001:db8::/32")
    assert str(gater.explain(subject)) == text


def test_that_only_allowed_peers_may_connect_is_explained() -> None:
    gater = new_gater()
    gater.allow_only = True
    assert str(gater.explain(A)) == "denied: only what is allowed by a rule may connect"
    gater.allow(A)
    assert gater.explain(A).allowed


@pytest.mark.parametrize("subject", ["192.0.2.0/24", "2001:db8::/32", "/ip4/x", "", "/p2p/x"])
def test_what_is_no_single_peer_or_address_can_not_be_explained(subject: str) -> None:
    with pytest.raises(LocalError):
        new_gater().explain(subject)


def test_what_is_neither_peer_nor_network_is_no_subject() -> None:
    gater, wrong = new_gater(), list[Any]([None, 5, HERE])
    for subject in wrong:
        for call in (gater.deny, gater.allow, gater.remove):
            with pytest.raises(LocalError, match=f"not about a {type(subject).__name__}"):
                call(subject)
    assert gater.rules == []


def test_a_time_that_is_no_number_is_refused() -> None:
    gater = new_gater()
    with pytest.raises(LocalError, match="a number of seconds, or without one for good, not for '60'"):
        gater.deny(A, seconds="60")  # type: ignore[arg-type]
    assert gater.rules == []


def test_who_may_connect_alone_is_not_said_by_a_list() -> None:
    gater = new_gater()
    with pytest.raises(LocalError, match="name those who may connect by `allow`"):
        gater.allow_only = [A]  # type: ignore[assignment]
    assert not gater.allow_only


class Later(Recorder):
    """What is written first in a program of coroutines."""

    async def accept(self, address: Multiaddr) -> bool:  # type: ignore[override]
        return False


@pytest.mark.parametrize(
    ("gate", "says"), [(5, "has the methods"), (lambda: True, "has the methods"), (Later(), "not `async def`")]
)
def test_what_is_no_gate_is_refused_and_the_one_before_stays(gate: object, says: str) -> None:
    gater = new_gater()
    gater.gate = before = Recorder()
    with pytest.raises(LocalError, match=says):
        gater.gate = gate  # type: ignore[assignment]
    assert gater.gate is before
    gater.gate = None
    assert not gater.is_active


@pytest.mark.parametrize("answer", [None, 1, "yes", object()])
def test_only_true_lets_anybody_in(answer: object) -> None:
    class Vague(Recorder):
        def _answer(self, *question: object) -> bool:
            return answer  # type: ignore[return-value]

    gater = new_gater()
    gater.gate = Vague()
    assert refusing(gater, A, HERE) == ["dial", "accept", "secured", "upgraded"]

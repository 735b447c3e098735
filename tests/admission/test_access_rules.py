import math
from contextlib import suppress
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.admission.access_rules import REASON_LIMIT, AccessRules, Kind, Rule, parse_subject
from cortexnet.errors import LimitExceeded, LocalError
from cortexnet.identity.peer_id import PeerId

A, B = (PeerId(bytes([0x12, 32]) + bytes([number]) * 32) for number in (1, 2))
NETWORKS = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)), st.tuples(st.ip_addresses(v=6), st.integers(0, 128))
).map(lambda pair: ip_network(pair, strict=False))
PRINTABLE = st.text(max_size=REASON_LIMIT).filter(str.isprintable)
RULES = st.builds(
    Rule,
    st.sampled_from(["deny", "allow"]),
    st.one_of(st.sampled_from([A, B]), NETWORKS),
    PRINTABLE,
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
)


def rules(*texts: str, limit: int = 100) -> AccessRules:
    found = AccessRules(limit=limit)
    for text in texts:
        found.add(Rule.parse(text), 0.0)
    return found


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("::ffff:0:0/95", "::fffe:0:0/95"),
        ("2001:DB8::1", "2001:db8::1/128"),
        ("2001:db8::1/48", "2001:db8::/48"),
        ("::1", "::1/128"),
        (str(A), str(A)),
        (A.to_cid().encode("base36"), str(A)),
    ],
)
def test_a_subject_is_a_peer_or_a_network_in_one_form(text: str, normal: str) -> None:
    assert str(parse_subject(text)) == normal
    assert parse_subject(normal) == parse_subject(text)


@pytest.mark.parametrize(
    "text", ["", "x", "192.0.2.256", "192.0.2.7/33", "::/129", "fe80::1%eth0/128/1", "/ip4/1.2.3.4", "Qm", "1" * 513]
)
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(LocalError):
        parse_subject(text)


@given(st.text(max_size=100))
def test_any_text_is_a_subject_or_a_local_error(text: str) -> None:
    with suppress(LocalError):
        parse_subject(text)


@given(RULES)
def test_a_rule_is_read_from_its_own_text(rule: Rule) -> None:
    assert Rule.parse(str(rule)) == rule
    assert "\n" not in str(rule)


@given(st.text(max_size=100) | st.builds("deny 192.0.2.0/24 {}".format, st.text(max_size=20)))
def test_any_text_is_a_rule_or_a_local_error(text: str) -> None:
    try:
        rule = Rule.parse(text)
    except LocalError:
        return
    assert Rule.parse(str(rule)) == rule


@pytest.mark.parametrize(
    "text",
    [
        "",
        "deny",
        "deny 192.0.2.1",
        "refuse 192.0.2.1 -",
        "deny 192.0.2.1 soon",
        "deny 192.0.2.1 nan",
        "deny 192.0.2.1 inf",
        "deny x -",
    ],
)
def test_a_text_that_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(LocalError):
        Rule.parse(text)


@pytest.mark.parametrize("size", [REASON_LIMIT - 1, REASON_LIMIT])
def test_a_reason_has_up_to_256_characters(size: int) -> None:
    assert Rule("deny", A, "x" * size).reason == "x" * size


@pytest.mark.parametrize("reason", ["x" * (REASON_LIMIT + 1), "two\nlines", "\x1b[2J", "\ud800"])
def test_a_reason_that_could_break_a_line_or_a_terminal_is_refused(reason: str) -> None:
    with pytest.raises(LocalError):
        Rule("deny", A, reason)


@pytest.mark.parametrize("expires", [math.nan, math.inf, -math.inf])
def test_a_rule_ends_at_a_time_or_never(expires: float) -> None:
    with pytest.raises(LocalError):
        Rule("deny", A, "", expires)


def test_a_rule_is_of_one_of_two_kinds() -> None:
    with pytest.raises(LocalError):
        Rule("other", A)  # type: ignore[arg-type]


@pytest.mark.parametrize(("now", "holds"), [(9.9, True), (10.0, False), (10.1, False)])
def test_a_rule_holds_until_its_end(now: float, holds: bool) -> None:
    found = rules(f"deny {A} 10", "deny 192.0.2.0/24 10")
    assert (found.of_peer("deny", A, now) is not None) == holds
    assert (found.of_ip("deny", "192.0.2.1", now) is not None) == holds


def test_the_smallest_network_that_holds_the_address_is_found() -> None:
    found = rules("deny 192.0.0.0/16 -", "deny 192.0.2.7 5", "deny 192.0.2.0/24 10", "deny 0.0.0.0/0 -", "allow 192.0.2.7 -")

    def subject(ip: str, now: float) -> str:
        rule = found.of_ip("deny", ip, now)
        assert rule is not None
        return str(rule.subject)

    assert [subject("192.0.2.7", now) for now in (0, 5, 10)] == ["192.0.2.7/32", "192.0.2.0/24", "192.0.0.0/16"]
    assert subject("192.0.2.8", 0) == subject("::ffff:192.0.2.8", 0) == "192.0.2.0/24"
    assert subject("198.51.100.1", 0) == "0.0.0.0/0"
    assert found.of_ip("deny", "2001:db8::1", 0) is None
    assert found.of_ip("allow", "192.0.2.8", 0) is None


def test_a_zone_does_not_hide_an_address() -> None:
    assert rules("deny fe80::/10 -").of_ip("deny", "fe80::1%eth0", 0.0) is not None


def test_what_is_no_address_is_a_local_error() -> None:
    with pytest.raises(LocalError):
        rules().of_ip("deny", "somewhere", 0.0)


@given(st.lists(st.tuples(NETWORKS, st.booleans()), max_size=12), st.ip_addresses())
def test_a_lookup_finds_what_trying_every_rule_finds(networks: list[tuple[object, bool]], address: object) -> None:
    found = AccessRules(limit=100)
    kept = {}
    for network, stays in networks:
        rule = Rule.parse(f"deny {network} -")
        found.add(rule, 0.0)
        kept[rule.subject] = rule
        if not stays:
            assert found.remove("deny", rule.subject)
            del kept[rule.subject]
    address = ip_address(str(address))
    address = (address.version == 6 and address.ipv4_mapped) or address
    holding = [rule for subject, rule in kept.items() if not isinstance(subject, PeerId) and address in subject]
    best = max(holding, key=lambda rule: 0 if isinstance(rule.subject, PeerId) else rule.subject.prefixlen, default=None)
    assert found.of_ip("deny", str(address), 0.0) == best
    assert list(found) == list(kept.values())


def test_the_kinds_do_not_see_each_other() -> None:
    found = rules(f"deny {A} -", f"allow {B} -")
    kinds: tuple[Kind, ...] = ("deny", "allow")
    assert [[found.of_peer(kind, peer, 0.0) is not None for kind in kinds] for peer in (A, B)] == [[True, False], [False, True]]


@pytest.mark.parametrize(("held", "fits"), [(1, True), (2, True), (3, False)])
def test_there_are_as_many_rules_as_the_limit_says(held: int, fits: bool) -> None:
    found = rules(*(f"deny 192.0.2.{host} -" for host in range(held)), limit=3)
    if fits:
        found.add(Rule.parse(f"deny {A} -"), 0.0)
    else:
        with pytest.raises(LimitExceeded) as raised:
            found.add(Rule.parse(f"deny {A} -"), 0.0)
        assert (raised.value.limit, raised.value.value, raised.value.setting) == (3, 4, "limits.access_rules")
    assert len(found) == held + fits


def test_a_rule_that_is_over_makes_room_for_another() -> None:
    found = rules("deny 192.0.2.1 10", "deny 192.0.2.2 20", limit=2)
    found.add(Rule.parse("deny 192.0.2.3 -"), 10.0)
    assert [str(rule.subject) for rule in found] == ["192.0.2.2/32", "192.0.2.3/32"]


def test_a_rule_at_the_limit_can_be_replaced() -> None:
    found = rules(f"deny {A} - first", "deny 192.0.2.0/24 - first", limit=2)
    found.add(Rule.parse(f"deny {A} - second"), 0.0)
    found.add(Rule.parse("deny ::ffff:192.0.2.0/120 - second"), 0.0)
    assert [rule.reason for rule in found] == ["second", "second"]
    by_ip = found.of_ip("deny", "192.0.2.1", 0.0)
    assert by_ip is not None
    assert by_ip.reason == "second"


def test_only_the_exact_subject_and_kind_is_removed() -> None:
    found = rules("deny 192.0.2.0/24 -", f"deny {A} -")
    assert not found.remove("deny", parse_subject("192.0.2.0/25"))
    assert not found.remove("allow", A)
    assert found.remove("deny", ip_network("::ffff:192.0.2.0/120"))
    assert found.of_ip("deny", "192.0.2.1", 0.0) is None
    assert found.remove("deny", A)
    assert not found.remove("deny", A)
    assert len(found) == 0


def test_every_change_is_told() -> None:
    told = []
    found = AccessRules(limit=2, on_change=lambda rule, came: told.append((str(rule), came)))
    found.add(Rule.parse("deny 192.0.2.1 10.0"), 0.0)
    found.add(Rule.parse("deny 192.0.2.1 20.0 again"), 0.0)
    found.add(Rule.parse(f"allow {A} -"), 0.0)
    found.remove("allow", A)
    found.drop_expired(19.9)
    found.drop_expired(20.0)
    assert told == [
        ("deny 192.0.2.1/32 10.0", True),
        ("deny 192.0.2.1/32 20.0 again", True),
        (f"allow {A} -", True),
        (f"allow {A} -", False),
        ("deny 192.0.2.1/32 20.0 again", False),
    ]


def test_rules_may_change_while_they_are_gone_through() -> None:
    found = rules("deny 192.0.2.1 -", "deny 192.0.2.2 -")
    for rule in found:
        found.remove("deny", rule.subject)
    assert len(found) == 0


def test_whether_any_peer_is_named_follows_the_rules() -> None:
    found = rules(f"allow {A} -", f"allow {A} - again", "allow 192.0.2.0/24 -")
    assert [found.names_peers(kind) for kind in ("allow", "deny")] == [True, False]
    found.remove("allow", A)
    assert not found.names_peers("allow")

"""Which cells there are, and what a missing peer makes of them."""

import asyncio
import sys
from pathlib import Path

import pytest

from interop.harness.cell import Cell, Result
from interop.harness.matrix import SECOND_TRIES, Field, all_pairs, plan, play, prepare, unplayable
from interop.harness.meeting import Meeting, expect
from interop.harness.peers import PeerKind, load_peers
from interop.harness.process import Answer
from interop.harness.scenario import Scenario
from interop.harness.stack import Stack, common_stacks
from interop.run import chosen_pairs, chosen_scenarios
from interop.scenarios.catalogue import ALL

FAKE = Path(__file__).parent / "fake_peer.py"
ROOT = Path(__file__).parent.parent.parent
YAMUX = "/yamux/1.0.0"
PLAIN: Answer = {"transports": ["tcp"], "security": ["noise"], "muxers": [YAMUX], "key_types": ["ed25519"]}
RICH: Answer = {"transports": ["quic-v1", "ws", "tcp"], "security": ["tls", "noise"], "muxers": ["/mplex/6.7.0", YAMUX]}


async def nothing(meeting: Meeting) -> None:
    """Passes."""


async def disappointment(meeting: Meeting) -> None:
    expect(meeting.address == "elsewhere", "another address", meeting.address)


async def failure(meeting: Meeting) -> None:
    await meeting.listener.call("fail")


async def patience(meeting: Meeting) -> None:
    await asyncio.Event().wait()


async def ignorance(meeting: Meeting) -> None:
    (await meeting.dialer.call("describe"))["unheard of"]


def kind(name: str, *, needs: tuple[str, ...] = (), build: tuple[str, ...] = (sys.executable, "-c", "")) -> PeerKind:
    return PeerKind(name, "for tests", FAKE.parent, needs, build, (sys.executable, str(FAKE)))


def field(*names: str) -> Field:
    return Field(able={name: (kind(name), PLAIN) for name in names})


def test_pairs_are_ordered_and_each_peer_meets_itself() -> None:
    assert all_pairs(["a", "b"]) == [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")]


def test_without_choice_the_pairs_are_those_that_cortexnet_is_in() -> None:
    names = ["cortexnet", "go", "js"]
    ours = [("cortexnet", "cortexnet"), ("cortexnet", "go"), ("cortexnet", "js"), ("go", "cortexnet"), ("js", "cortexnet")]
    assert chosen_pairs(None, names, others=False) == ours
    assert chosen_pairs(None, names, others=True) == all_pairs(names)
    assert chosen_pairs(["go:js"], names, others=False) == [("go", "js")]
    with pytest.raises(SystemExit, match="the peers are"):
        chosen_pairs(["go:rust"], names, others=False)


def test_common_stacks_are_in_the_order_of_the_dialer() -> None:
    assert [str(stack) for stack in common_stacks(RICH, RICH)] == [
        "quic-v1",
        "ws tls mplex",
        "ws tls yamux",
        "ws noise mplex",
        "ws noise yamux",
        "tcp tls mplex",
        "tcp tls yamux",
        "tcp noise mplex",
        "tcp noise yamux",
    ]
    assert [str(stack) for stack in common_stacks(RICH, PLAIN)] == ["tcp noise yamux"]


def test_a_stack_listens_on_loopback_and_asks_for_nothing_else() -> None:
    assert Stack("ws", "noise", YAMUX).start_options() == {
        "listen": ["/ip4/127.0.0.1/tcp/0/ws"],
        "security": ["noise"],
        "muxers": [YAMUX],
    }
    assert Stack("quic-v1").start_options() == {"listen": ["/ip4/127.0.0.1/udp/0/quic-v1"]}


def test_on_stacks_after_the_first_only_the_scenarios_for_everywhere_run() -> None:
    found = Field(able={"rich": (kind("rich"), RICH)})
    scenarios = [Scenario("here", "", nothing), Scenario("there", "", nothing, everywhere=True)]
    cells = [(str(cell.stack), cell.scenario.name) for cell in plan(found, ("rich", "rich"), scenarios)]
    assert cells[:3] == [("quic-v1", "here"), ("quic-v1", "there"), ("ws tls mplex", "there")]
    assert len(cells) == 10
    found.stacks = ("ws noise *",)
    cells = [(str(cell.stack), cell.scenario.name) for cell in plan(found, ("rich", "rich"), scenarios)]
    assert cells == [("ws noise mplex", "here"), ("ws noise mplex", "there"), ("ws noise yamux", "there")]


@pytest.mark.parametrize(("required", "outcome"), [(False, "skipped"), (True, "failed")])
async def test_a_peer_without_its_toolchain_is_skipped_unless_required(required: bool, outcome: str, tmp_path: Path) -> None:
    found = await prepare([kind("here"), kind("absent", needs=("no-such-compiler",))], lambda text: None)
    pairs = [("here", "absent"), ("here", "here")]
    results = await play(found, pairs, [Scenario("one", "", nothing)], tmp_path, required=required, say=lambda result: None)
    assert [(result.pair, result.outcome) for result in results] == [("here → absent", outcome), ("here → here", "passed")]
    assert results[0].detail == "absent: no-such-compiler not on the PATH"


async def test_a_cell_that_failed_is_run_again_and_what_it_failed_of_the_first_time_is_kept(tmp_path: Path) -> None:
    runs: list[Meeting] = []
    said: list[str] = []

    async def unsteady(meeting: Meeting) -> None:
        runs.append(meeting)
        expect(len(runs) > 1, "luck", len(runs))

    scenario = Scenario("unsteady", "", unsteady)
    (result,) = await play(
        field("a"), [("a", "a")], [scenario], tmp_path, required=True, say=lambda result: said.append(result.outcome)
    )
    assert (result.outcome, result.is_unsteady, len(runs)) == ("passed", True, 2)
    assert "luck" in result.detail
    assert all(path.exists() for path in result.logs)
    assert said == ["failed", "passed"]


async def test_only_a_few_cells_of_a_run_get_a_second_try(tmp_path: Path) -> None:
    runs: list[Meeting] = []

    async def never(meeting: Meeting) -> None:
        runs.append(meeting)
        await disappointment(meeting)

    scenarios = [Scenario(f"never {number}", "", never) for number in range(SECOND_TRIES + 2)]
    results = await play(field("a"), [("a", "a")], scenarios, tmp_path, required=True, say=lambda result: None)
    assert {result.outcome for result in results} == {"failed"}
    assert len(runs) == len(scenarios) + SECOND_TRIES


async def test_a_peer_that_does_not_build_is_a_failure_with_what_the_build_printed() -> None:
    found = await prepare([kind("broken", build=(sys.executable, "-c", "raise SystemExit('out of order')"))], lambda text: None)
    (result,) = unplayable(found, ("broken", "broken"), [Scenario("one", "", nothing)], required=False)
    assert result.outcome == "failed"
    assert "out of order" in result.detail


async def test_a_program_that_does_not_exist_is_a_failure() -> None:
    found = await prepare(
        [PeerKind("gone", "", FAKE.parent, (), (sys.executable, "-c", ""), ("/no/such/program",))], lambda text: None
    )
    assert list(found.broken) == ["gone"]


async def run(scenario: Scenario, logs: Path, abilities: Answer = PLAIN) -> Result:
    cell = Cell(kind("a"), kind("b"), scenario, Stack("tcp", "noise", YAMUX), (abilities, abilities))
    return await cell.run(logs)


async def test_a_cell_that_passes_leaves_no_logs(tmp_path: Path) -> None:
    result = await run(Scenario("fine", "", nothing), tmp_path / "logs")
    assert (result.outcome, result.pair, result.stack) == ("passed", "a → b", "tcp noise yamux")
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("act", "timeout", "detail"),
    [
        (disappointment, 60.0, "another address, but found '/ip4/127.0.0.1/tcp/0'"),
        (failure, 60.0, "listener b: fail failed (reset): as you wished"),
        (patience, 0.3, "not done after"),
        (ignorance, 60.0, "an answer without what it must hold: KeyError('unheard of')"),
    ],
)
async def test_a_failed_cell_says_why_and_keeps_both_logs(act: object, timeout: float, detail: str, tmp_path: Path) -> None:
    result = await run(Scenario("sad / story", "", act, timeout=timeout), tmp_path)  # type: ignore[arg-type]
    assert result.outcome == "failed"
    assert detail in result.detail
    assert [path.name for path in result.logs] == [
        "a-b-sad___story-tcp_noise_yamux.dialer.log",
        "a-b-sad___story-tcp_noise_yamux.listener.log",
    ]
    for path in result.logs:
        assert detail in path.read_text(encoding="utf-8")
        assert '"op": "start"' in path.read_text(encoding="utf-8")


async def test_a_scenario_with_keys_that_a_peer_lacks_is_skipped(tmp_path: Path) -> None:
    result = await run(Scenario("rsa", "", nothing, listener={"key_type": "rsa"}), tmp_path)
    assert (result.outcome, result.detail) == ("skipped", "None has no rsa keys")


def test_a_scenario_is_skipped_by_name_where_the_other_side_knows_no_such_keys() -> None:
    scenario = Scenario("ecdsa", "", nothing, dialer={"key_type": "ecdsa"})
    able = {"key_types": ["ed25519", "ecdsa"]}
    other = {"implementation": "other", "key_types": ["ed25519"], "peer_key_types": ["ed25519"]}
    assert scenario.refusal(able, able) is None
    assert scenario.refusal(able, other) == "other knows no peers with ecdsa keys"
    assert scenario.refusal(able, {"key_types": ["ed25519"]}) is None  # it does not say


def test_a_scenario_that_needs_a_service_is_skipped_by_name_where_a_side_lacks_it() -> None:
    scenario = Scenario("find", "", nothing, needs="dht")
    able = {"implementation": "able", "services": ["dht"]}
    assert scenario.refusal(able, able) is None
    assert scenario.refusal(able, {"implementation": "other"}) == "other has no dht here"
    assert scenario.refusal({"implementation": "other", "services": ["gossip"]}, able) == "other has no dht here"


def test_a_scenario_that_needs_an_ability_is_skipped_by_name_where_a_side_denies_it() -> None:
    scenario = Scenario("both", "", nothing, ability="dht_dual")
    able = {"implementation": "able"}
    assert scenario.refusal(able, able) is None
    for pair in ((able, {"implementation": "other", "dht_dual": False}), ({"implementation": "other", "dht_dual": False}, able)):
        assert scenario.refusal(*pair) == "other has no DHT of two halves"


def test_each_scenario_that_needs_an_ability_has_words_for_its_lack() -> None:
    for scenario in ALL:
        if scenario.ability:
            able: Answer = {**PLAIN, "implementation": "able", "services": [scenario.needs]}
            refusal = scenario.refusal(able, {**able, "implementation": "other", scenario.ability: False})
            assert (refusal or "").startswith("other "), scenario.name


def test_a_scenario_without_early_choice_is_skipped_by_name_where_a_side_cannot_keep_silent() -> None:
    scenario = Scenario("late", "", nothing, dialer={"early_muxer": False})
    able = {"implementation": "other", "key_types": ["ed25519"]}
    talkative = able | {"early_muxer_off": False}
    assert scenario.refusal(able, talkative) is None
    assert scenario.refusal(talkative, able) == "other cannot keep silent about muxers in the handshake"


def test_abilities_that_do_not_go_together_are_a_refusal_whoever_has_which() -> None:
    scenario = Scenario("streams", "are shared", nothing, clash=("wants_one", "has_many"))
    one: dict[str, object] = {"implementation": "one", "wants_one": True}
    many: dict[str, object] = {"implementation": "other", "has_many": True}
    assert scenario.refusal(one, one) is scenario.refusal(many, many) is None
    assert scenario.refusal(one, many) == scenario.refusal(many, one) == "one: wants one; other: has many"


def test_a_scenario_for_a_muxer_runs_on_each_stack_with_it_and_on_no_other() -> None:
    found = Field(able={"rich": (kind("rich"), RICH)})
    scenarios = [Scenario("one", "", nothing, muxer="/mplex/6.7.0"), Scenario("all", "", nothing, everywhere=True)]
    cells = [str(cell.stack) for cell in plan(found, ("rich", "rich"), scenarios) if cell.scenario.name == "one"]
    assert cells == ["ws tls mplex", "ws noise mplex", "tcp tls mplex", "tcp noise mplex"]


def test_every_folder_with_a_manifest_is_a_peer() -> None:
    peers = {peer.name: peer for peer in load_peers(ROOT)}
    assert {"cortexnet", "go", "js"} <= set(peers)
    assert peers["js"].missing() in (None, "npm not on the PATH")
    assert peers["cortexnet"].run == (sys.executable, "-m", "interop.peers.cortexnet")
    assert peers["go"].missing() in (None, "go not on the PATH")
    assert str(ROOT / "interop" / "build") in peers["go"].run[0]


def test_names_of_scenarios_are_unique() -> None:
    assert len({scenario.name for scenario in ALL}) == len(ALL)


async def test_a_scenario_with_a_guest_needs_a_third_kind_which_must_be_there(tmp_path: Path) -> None:
    async def three(meeting: Meeting) -> None:
        expect(len(meeting.guests) == 1 and meeting.guests[0].process.kind.name == "c", "one guest", meeting.guests)

    scenario, found = Scenario("crowd", "", three, guest="c"), field("a", "b", "c")
    planned = [pair for pair in all_pairs(["a", "b", "c"]) if plan(found, pair, [scenario])]
    assert planned == [("a", "b"), ("b", "a")]
    (cell,) = plan(found, ("a", "b"), [scenario])
    assert (await cell.run(tmp_path)).outcome == "passed"
    (cell,) = plan(field("a", "b"), ("a", "b"), [scenario])
    result = await cell.run(tmp_path)
    assert (result.outcome, result.detail) == ("skipped", "c is not here")


def test_a_symmetric_scenario_runs_one_way_round() -> None:
    scenario = Scenario("both parts", "", nothing, symmetric=True)
    planned = [pair for pair in all_pairs(["a", "b"]) if plan(field("a", "b"), pair, [scenario])]
    assert planned == [("a", "a"), ("a", "b"), ("b", "b")]


def test_scenarios_on_request_must_be_named_as_they_are() -> None:
    (minute,) = chosen_scenarios(["gossip: a minute"])
    assert minute.on_request
    assert not any(each.on_request for pattern in (None, ["gossip*"], ["*"]) for each in chosen_scenarios(pattern))

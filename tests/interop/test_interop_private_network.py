"""Peers of a cell in a network namespace of their own, and machines that have none."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from interop.harness import private_network
from interop.harness.cell import Cell, Result
from interop.harness.meeting import Meeting, expect
from interop.harness.peers import PeerKind
from interop.harness.private_network import WIRE, NoNamespaces, PrivateNetwork
from interop.harness.scenario import Scenario
from interop.harness.stack import Stack
from tests.support.namespaces import refusal

FAKE = Path(__file__).parent / "fake_peer.py"
KIND = PeerKind("fake", "for tests", FAKE.parent, (), (), (sys.executable, str(FAKE)))

needs_namespaces = pytest.mark.skipif(refusal() is not None, reason=str(refusal()))


async def together_apart(meeting: Meeting) -> None:
    """Both peers are in one network, which is not that of this process."""
    places = [os.readlink(f"/proc/{side.process._process.pid}/ns/net") for side in (meeting.dialer, meeting.listener)]
    expect(len(set(places)) == 1 and places[0] != os.readlink("/proc/self/ns/net"), "one network of their own", places)


async def run(logs: Path) -> Result:
    scenario = Scenario("apart", "", together_apart, private_network=True)
    return await Cell(KIND, KIND, scenario, Stack("tcp", "noise", "/yamux/1.0.0"), ({}, {})).run(logs)


@needs_namespaces
async def test_both_peers_run_in_one_network_of_their_own(tmp_path: Path) -> None:
    result = await run(tmp_path)
    assert (result.outcome, result.detail) == ("passed", "")


@needs_namespaces
@pytest.mark.parametrize("wire", [False, True])
async def test_the_network_has_a_wire_where_that_is_wanted(wire: bool) -> None:
    try:
        async with PrivateNetwork(wire=wire) as network:
            command = (*network.prefix, "ip", "-brief", "address")
            asking = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            told, _ = await asking.communicate()
    except NoNamespaces as error:  # a kernel without such interfaces
        pytest.skip(str(error))
    assert (WIRE.encode() in told) == wire


@needs_namespaces
async def test_the_network_is_gone_with_its_cell() -> None:
    async with PrivateNetwork() as network:
        process = network._process
    assert process.returncode == 0


async def test_where_there_are_no_namespaces_a_scenario_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_network, "_HOLD", "echo not permitted >&2; exit 1")
    result = await run(tmp_path)
    assert result.outcome == "skipped"
    assert result.detail.startswith("no network namespaces here: ")


async def test_where_there_is_no_program_for_them_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NoNamespaces, match="no network namespaces here"):
        async with PrivateNetwork():
            pass


@needs_namespaces
async def test_cancelled_while_it_is_made_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_network, "_HOLD", "exec cat")  # never ready
    network = PrivateNetwork()
    task = asyncio.ensure_future(network.__aenter__())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(task, 0.2)
    assert network._process.returncode is not None

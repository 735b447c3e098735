"""The control protocol, spoken with a fake peer."""

import asyncio
import sys
from pathlib import Path

import pytest

from interop.harness.peers import PeerKind
from interop.harness.process import OperationFailed, PeerDied, PeerProcess

FAKE = Path(__file__).parent / "fake_peer.py"


def fake(name: str = "fake") -> PeerKind:
    return PeerKind(name, "for tests", FAKE.parent, (), (sys.executable, "-c", ""), (sys.executable, str(FAKE)))


async def test_an_answer_goes_to_the_request_with_its_id() -> None:
    async with PeerProcess(fake(), "dialer") as peer:
        first, second = await asyncio.gather(peer.request("describe"), peer.request("start", listen=["here"]))
        assert first["implementation"] == "fake"
        assert second["addresses"] == ["here"]
        assert second["told"]["timeout"] == 60.0


async def test_a_failed_operation_raises_with_its_kind_and_code() -> None:
    async with PeerProcess(fake(), "dialer") as peer:
        with pytest.raises(OperationFailed, match=r"dialer fake: fail failed \(reset\): as") as caught:
            await peer.request("fail")
        assert (caught.value.kind, caught.value.code) == ("reset", 42)


async def test_a_process_that_ends_fails_what_waits_and_what_comes_later() -> None:
    async with PeerProcess(fake(), "listener") as peer:
        with pytest.raises(PeerDied, match="listener fake: the process ended"):
            await peer.request("die")
        with pytest.raises(PeerDied):
            await peer.request("describe")


async def test_a_line_that_is_not_an_answer_fails_what_waits() -> None:
    async with PeerProcess(fake(), "dialer") as peer:
        with pytest.raises(PeerDied, match="not the control protocol"):
            await peer.request("babble")


async def test_silence_past_the_deadline_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interop.harness.process.GRACE", 0.05)
    async with PeerProcess(fake(), "dialer") as peer:
        with pytest.raises(TimeoutError):
            await peer.request("be silent", timeout=0.05)


async def test_the_log_holds_requests_answers_and_complaints() -> None:
    async with PeerProcess(fake(), "dialer") as peer:
        await peer.request("complain")
    marks = [line.split(maxsplit=2)[1:] for line in peer.log]
    assert ["!", "something odd\x07 happened"] in marks
    assert [mark for mark, _ in marks if mark != "!"] == [">", "<", ">", "<"]


async def test_leaving_ends_the_process_even_when_the_block_failed() -> None:
    process = PeerProcess(fake(), "dialer")
    with pytest.raises(ZeroDivisionError):
        async with process:
            raise ZeroDivisionError
    with pytest.raises(PeerDied):
        await process.request("describe")

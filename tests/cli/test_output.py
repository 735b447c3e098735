"""Where words go: results to stdout, the rest to stderr, one status line on a terminal."""

import asyncio
import logging

import pytest

from cortexnet.cli import logs, output
from cortexnet.cli.output import Output
from tests.support.command_line import events


def test_a_result_is_text_for_people_and_an_event_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    for voice in (Output(), Output(as_json=True)):
        voice.say("five apples\nno pears", "fruit", apples=5)
        voice.text("and that is it")
        voice.say_event("end")
    out = capsys.readouterr().out
    assert out.startswith("five apples\nno pears\nand that is it\n")
    assert events("\n".join(out.splitlines()[3:])) == [{"event": "fruit", "apples": 5}, {"event": "end"}]


def test_nothing_reaches_the_terminal_that_it_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    Output().say("\x1b[2J\r", "x")
    Output().note("\x1b[2J\r")
    Output(as_json=True).say("", "x", words="\x1b[2J\u202e")
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "\\x1b[2J\\r"
    assert err == "\\x1b[2J\\r\n"
    assert not set("\x1b\r\u202e") & set(out + err)


def test_the_status_line_is_replaced_and_taken_away(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Output, "has_terminal", True)
    voice = Output()
    voice.status("waiting")
    voice.status("wait")
    voice.note("done")
    voice.clear_status()
    assert capsys.readouterr().err == "\rwaiting\rwait   \r    \rdone\n"


def test_there_is_no_status_line_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Output().status("waiting")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("terminal", "seen"), [(True, "\rpatience ... 0 s"), (False, "patience ... ")])
async def test_what_takes_long_is_said(
    terminal: bool, seen: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Output, "has_terminal", terminal)
    for name in ("_PATIENCE", "_TICK", "_QUIET_PATIENCE", "_QUIET_TICK"):
        monkeypatch.setattr(output, name, 0.0)
    text = ""
    async with Output().waiting("patience"):
        while not text:
            await asyncio.sleep(0)
            text = capsys.readouterr().err
    assert text.startswith(seen)


async def test_what_is_over_soon_is_not_worth_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    async with Output().waiting("patience"):
        pass
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("verbosity", "heard"), [(0, ["warning"]), (1, ["info", "warning"]), (2, ["debug", "info", "warning"])])
def test_v_lets_one_hear_more_of_the_log(verbosity: int, heard: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    level = logging.getLogger().level
    try:
        logs.set_up(Output(verbosity=verbosity))
        log = logging.getLogger("cortexnet.test")
        log.debug("a")
        log.info("b")
        log.warning("c \x1b")
    finally:
        logging.getLogger().setLevel(level)
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == heard


@pytest.mark.parametrize("debug", [False, True])
def test_the_log_has_tracebacks_only_where_they_are_asked_for(debug: bool, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(Output(debug=debug))
    try:
        raise ZeroDivisionError("oh")
    except ZeroDivisionError as error:
        logging.getLogger("cortexnet.test").error("failed", exc_info=error)
    err = capsys.readouterr().err
    assert "error: failed" in err
    assert ("Traceback" in err) == debug

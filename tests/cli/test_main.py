"""The entrance: commands are found, errors become words and exit codes, and nobody sees a traceback."""

import subprocess
import sys

import click
import pytest

from cortexnet.cli import main
from cortexnet.cli.exits import Interrupted
from cortexnet.errors import PeerTimeout
from cortexnet.version import VERSION
from tests.support.command_line import COMMAND, invoke


def test_help_lists_the_commands_and_explains_exit_codes() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    for name, summary in main.COMMANDS.items():
        assert f"  {name}" in result.output
        assert summary in result.output
    assert "Exit codes" in result.output


@pytest.mark.parametrize("name", main.COMMANDS)
def test_the_summary_of_a_command_is_the_beginning_of_its_own_help(name: str) -> None:
    result = invoke(name, "-h")
    assert result.exit_code == 0
    assert main.COMMANDS[name] in result.output
    assert "--json" in result.output
    assert max(len(line) for line in result.output.splitlines()) <= 80
    assert "--debug" not in result.output


def test_the_version_is_told() -> None:
    assert invoke("--version").output == f"cortexnet, version {VERSION}\n"


def test_help_loads_nothing_that_it_does_not_need() -> None:
    program = (
        "import sys\n"
        "from cortexnet.cli.main import cli\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        "print([name for name in ('asyncio', 'cryptography', 'cortexnet.node', 'dns') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("name", "says"), [("pong", "Did you mean ping?"), ("xyzzy", "There are: id, run, config, ping,")])
def test_a_command_that_there_is_not_is_a_usage_error_with_a_hint(name: str, says: str) -> None:
    result = invoke(name)
    assert result.exit_code == 2
    assert says in result.stderr


def test_no_command_at_all_shows_the_help() -> None:
    result = invoke()
    assert result.exit_code == 2
    assert "Usage: cortexnet" in result.output


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def command() -> None:
        raise error

    monkeypatch.setattr(main.Commands, "get_command", lambda *_: command)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (PeerTimeout("nobody answered"), 1, "Error: nobody answered\n"),
        (FileNotFoundError(2, "No such file", "x"), 1, "Error: x: No such file\n"),
        (Interrupted(2), 130, "interrupted by SIGINT\n"),
        (Interrupted(15), 143, "interrupted by SIGTERM\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(32, "Broken pipe"), 1, ""),
    ],
)
def test_what_a_command_raises_becomes_words_and_an_exit_code(
    error: BaseException, code: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(error, monkeypatch)
    result = invoke("ping")
    assert result.exit_code == code
    assert result.stderr.startswith(says)
    assert "Traceback" not in result.output


def test_the_module_is_the_command_line() -> None:
    result = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == f"cortexnet, version {VERSION}\n"


@pytest.mark.parametrize(
    ("loading", "entrance"),
    [("click", "cortexnet.__main__"), ("click", "cortexnet.cli.main"), ("cortexnet.cli.main", "cortexnet.__main__")],
)
def test_an_interrupt_while_it_loads_ends_it_quietly(loading: str, entrance: str) -> None:
    program = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *others):\n"
        f"        if name == {loading!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        f"from {entrance} import main\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


def test_output_that_the_terminal_cannot_show_is_escaped_not_an_error() -> None:
    program = "import sys; sys.argv[1:] = ['doctor', 'größe→']; from cortexnet.cli.main import main; main()"
    environment = {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=False)
    assert result.returncode == 2
    assert result.stdout.decode("latin-1").startswith("größe\\u2192\n`- FAILED  parse")
    assert result.stderr == b""


def show_bug(error: BaseException) -> None:
    main.show_bug(type(error), error, error.__traceback__)


def test_a_bug_is_owned_up_to_without_a_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["cortexnet", "ping"])
    show_bug(ZeroDivisionError("oh no"))
    err = capsys.readouterr().err
    assert err.startswith("Error: ZeroDivisionError: oh no\n")
    assert "--debug" in err


def test_a_bug_is_shown_in_full_where_that_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["cortexnet", "ping", "--debug"])
    show_bug(ZeroDivisionError("oh no"))
    assert capsys.readouterr().err.strip().endswith("ZeroDivisionError: oh no")


def test_an_early_interrupt_is_no_bug(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["cortexnet"])
    show_bug(KeyboardInterrupt())
    assert capsys.readouterr().err == "interrupted\n"

"""What is in packaging/ fits the program: the unit, the container file, and the settings that come with them."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from cortexnet.cli.main import cli
from cortexnet.settings.build import parse

ROOT = Path(__file__).resolve().parent.parent
PACKAGING = ROOT / "packaging"
UNIT = PACKAGING / "cortexnet.service"


class Keys(configparser.RawConfigParser):
    def optionxform(self, optionstr: str) -> str:
        return optionstr


@pytest.fixture(scope="module")
def service() -> dict[str, str]:
    unit = Keys(strict=False)
    unit.read(UNIT, encoding="utf-8")
    return dict(unit["Service"])


def test_the_settings_are_in_order_and_what_is_commented_out_is_the_default() -> None:
    data = (PACKAGING / "cortexnet.toml").read_bytes()
    settings = parse(data, "cortexnet.toml")
    assert settings.profile == "server"
    everything = re.sub(rb"(?m)^#(?! |$)", b"", data)
    assert everything.count(b"\n#") < data.count(b"\n#")
    assert parse(everything, "cortexnet.toml") == settings


def test_the_unit_calls_commands_that_there_are(service: dict[str, str]) -> None:
    program, *arguments = shlex.split(service["ExecStart"])
    assert program == "/usr/bin/cortexnet"
    assert_known([argument for argument in arguments if argument != "/etc/cortexnet/cortexnet.toml"])


def test_wrong_settings_are_not_tried_again(service: dict[str, str]) -> None:
    # Systemd heeds only the exit code of the main process there, and starts again after all others that fail.
    assert service["RestartPreventExitStatus"] == "2"
    assert "ExecStartPre" not in service


def test_the_unit_sets_settings_that_there_are(service: dict[str, str]) -> None:
    variable, _, value = service["Environment"].partition("=")
    assert parse(b"", "none", {variable: value}).config.state_directory == "%S/cortexnet"


def test_the_unit_waits_longer_for_the_end_than_a_node_takes_for_it(service: dict[str, str]) -> None:
    settings = parse((PACKAGING / "cortexnet.toml").read_bytes(), "cortexnet.toml")
    assert int(service["TimeoutStopSec"]) > settings.config.limits.node_close_timeout + 2
    assert int(service["LimitNOFILE"]) / 2 > settings.config.limits.connections
    assert service["Type"] == "notify"


def test_the_unit_forbids_nothing_that_the_node_needs(service: dict[str, str]) -> None:
    """Under it no connection with TLS could be made: pyOpenSSL's callbacks need memory that is written and executed."""
    assert "MemoryDenyWriteExecute" not in service
    assert {"AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"} == set(service["RestrictAddressFamilies"].split())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_has_nothing_against_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text(encoding="utf-8").replace("/usr/bin/cortexnet", "/bin/true"), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert complaints == []


def test_the_container_file_copies_what_there_is_and_runs_as_nobody() -> None:
    steps = instructions((PACKAGING / "Containerfile").read_text(encoding="utf-8"))
    images = [rest.split()[0] for name, rest in steps if name == "FROM"]
    assert all(re.fullmatch(r"python:3\.\d+-slim", image) for image in images)
    copied = [part for name, rest in steps if name == "COPY" and "--from" not in rest for part in rest.split()[:-1]]
    assert copied
    assert [part for part in copied if not (ROOT / part).exists()] == []
    assert [rest for name, rest in steps if name == "USER"] == ["10001:10001"]


def test_the_container_file_sets_settings_and_calls_commands_that_there_are() -> None:
    steps = dict(instructions((PACKAGING / "Containerfile").read_text(encoding="utf-8")))
    variables = dict(part.split("=", 1) for part in shlex.split(steps["ENV"]))
    settings = parse(b"", "none", {name: value for name, value in variables.items() if name.startswith("CORTEXNET_")})
    assert settings.config.state_directory == steps["VOLUME"]
    assert len(settings.listen) == 2
    assert settings.log_format == "json"
    healthy = re.findall(r'"([^"]*)"', steps["HEALTHCHECK"])
    assert healthy[0] == "cortexnet"
    assert_known([word for word in healthy[1:] if word != steps["VOLUME"]])
    assert_known(re.findall(r'"([^"]*)"', steps["CMD"]))


def assert_known(arguments: list[str]) -> None:
    """Each is a command, or an option of the one in front."""
    command = cli
    for argument in arguments:
        if argument.startswith("-"):
            assert argument in {option for parameter in command.params for option in parameter.opts}
        else:
            context = command.make_context("cortexnet", [], resilient_parsing=True)
            found = command.get_command(context, argument)
            assert found is not None, argument
            command = found


def instructions(text: str) -> list[tuple[str, str]]:
    lines = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ").splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in lines if line.strip()]

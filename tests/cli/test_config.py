"""`cortexnet config`: what is wrong with a file is said with its place; what is in force is shown with where it is from."""

import tomllib
from pathlib import Path

import pytest

from cortexnet.identity.identity import Identity
from tests.support.command_line import OTHER_PEER, events, invoke


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text('listen = ["/ip4/127.0.0.1/tcp/0"]\n\n[kad.dht]\nalpha = 4\n')
    return path


def test_a_file_that_is_in_order_is_said_to_be(file: Path) -> None:
    assert invoke("config", "check", str(file)).output == f"{file} is in order\n"
    assert events(invoke("config", "check", str(file), "--json").stdout) == [{"event": "valid", "file": str(file)}]


def test_nothing_is_made_by_checking(file: Path, tmp_path: Path) -> None:
    file.write_text(f'identity = "{tmp_path}/key"\nstate_directory = "{tmp_path}/state"\nready_file = "{tmp_path}/ready"\n')
    assert invoke("config", "check", str(file)).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["node.toml"]


def test_what_is_wrong_is_told_with_its_place(file: Path) -> None:
    file.write_text("\n[limits]\nconections = 5\n")
    result = invoke("config", "check", str(file), "--json")
    assert result.exit_code == 2
    (event,) = events(result.stdout)
    assert (event["kind"], event["file"], event["line"], event["key"]) == ("ConfigInvalid", str(file), 3, "limits.conections")
    assert f"{file}:3:limits.conections: there is no such limit; did you mean connections" in result.stderr


def test_a_variable_that_is_wrong_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEXNET_KAD__DHT__ALPHA", "lots")
    result = invoke("config", "check", str(file))
    assert result.exit_code == 2
    assert "CORTEXNET_KAD__DHT__ALPHA:kad.dht.alpha: must be a whole number" in result.stderr


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        (
            'listen = [\n  "/ip4/127.0.0.1/tcp/0",\n  "/ip4/127.0.0.1/udp/1/quic-v1/webtransport"]',
            2,
            "node.toml:3:listen: no enabled transport can listen on /ip4/127.0.0.1/udp/1/quic-v1/webtransport",
        ),
        ('transports = ["tcp"]\nlisten = ["/ip4/127.0.0.1/tcp/0/ws"]', 2, "node.toml:2:listen: no enabled transport can"),
        (
            'listen = ["/ip4/127.0.0.1/tcp/7", "/ip4/127.0.0.1/tcp/7"]',
            2,
            "node.toml:1:listen: /ip4/127.0.0.1/tcp/7 is there twice",
        ),
        ('listen = ["/ip4/127.0.0.1/tcp/0/wss"]', 2, "node.toml:websocket.certificate: is needed to listen on /wss"),
        (
            'listen = ["/ip4/127.0.0.1/tcp/0/tls/ws"]\n[websocket]\ncertificate = "none.pem"',
            2,
            "node.toml:3:websocket.certificate: none.pem",
        ),
        (
            'listen = ["/ip4/127.0.0.1/tcp/0/p2p/12D3KooWGRUVh7wCHhPoMYHjD3vdC5EEBNHFFrSvDfFvqFTmTvkg"]',
            2,
            "is no address of this",
        ),
        ('identity = "node.toml"', 1, "node.toml"),
    ],
)
def test_what_run_would_refuse_is_found_before(
    text: str, code: int, says: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(text)
    monkeypatch.chdir(file.parent)
    for command in (("config", "check"), ("run", "--config")):
        result = invoke(*command, "node.toml")
        assert result.exit_code == code
        assert says in result.stderr


def test_an_address_with_a_free_port_may_be_there_twice(file: Path) -> None:
    file.write_text('listen = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0"]')
    assert invoke("config", "check", str(file)).exit_code == 0


def test_run_makes_nothing_where_its_settings_are_wrong(file: Path, tmp_path: Path) -> None:
    file.write_text(f'transports = ["tcp"]\nlisten = ["/ip4/127.0.0.1/tcp/0/ws"]\nstate_directory = "{tmp_path}/state"')
    assert invoke("run", "--config", str(file)).exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["node.toml"]


def test_an_address_that_ends_in_the_own_peer_id_is_in_order(file: Path, tmp_path: Path) -> None:
    peer = Identity.load_or_create(tmp_path / "key").peer_id
    file.write_text(f'identity = "{tmp_path}/key"\nlisten = ["/ip4/127.0.0.1/tcp/0/p2p/{peer}"]')
    assert invoke("config", "check", str(file)).exit_code == 0


@pytest.mark.parametrize("key", ["listen", "announce"])
def test_the_peer_id_of_an_address_is_compared_with_the_key_of_the_state_directory(key: str, file: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    peer = Identity.load_or_create(state / "identity.key").peer_id
    file.write_text(f'state_directory = "{state}"\n{key} = [\n"/ip4/127.0.0.1/tcp/0/p2p/{peer}",\n]')
    assert invoke("config", "check", str(file)).exit_code == 0
    file.write_text(file.read_text().replace(str(peer), OTHER_PEER))
    for command in (("config", "check"), ("run", "--json", "--config")):
        result = invoke(*command, str(file))
        assert result.exit_code == 2
        place = f"{file}:3:{key}: /ip4/127.0.0.1/tcp/0/p2p/{OTHER_PEER}"
        assert f"{place} is no address of this node, which is {peer}" in result.stderr


def test_a_new_key_is_not_made_where_an_address_is_of_another_peer(file: Path, tmp_path: Path) -> None:
    file.write_text(f'state_directory = "{tmp_path}/state"\nlisten = ["/ip4/127.0.0.1/tcp/0/p2p/{OTHER_PEER}"]')
    for command in (("config", "check"), ("run", "--config")):
        result = invoke(*command, str(file))
        assert result.exit_code == 2
        assert (
            f"{file}:2:listen: /ip4/127.0.0.1/tcp/0/p2p/{OTHER_PEER} is no address of this node, whose key is new"
            in result.stderr
        )
    assert [path.name for path in tmp_path.iterdir()] == ["node.toml"]


def test_a_damaged_key_in_the_state_directory_is_found_by_checking(file: Path, tmp_path: Path) -> None:
    (tmp_path / "identity.key").write_bytes(b"not a key")
    file.write_text(f'state_directory = "{tmp_path}"')
    result = invoke("config", "check", str(file))
    assert result.exit_code == 1
    assert "this key file is damaged" in result.stderr
    assert "1: the key file is damaged" in " ".join(invoke("config", "check", "--help").stdout.split())


def test_what_is_in_force_is_shown_as_a_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEXNET_KAD__MODE", "client")
    shown = invoke("config", "show", "--config", str(file), "--profile", "light").stdout
    document = tomllib.loads(shown)
    assert (document["kad"]["mode"], document["kad"]["dht"]["alpha"], document["limits"]["connections"]) == ("client", 4, 64)
    again = file.parent / "again.toml"
    again.write_text(shown)
    monkeypatch.delenv("CORTEXNET_KAD__MODE")
    assert tomllib.loads(invoke("config", "show", "--config", str(again)).stdout) == document


def test_only_what_was_set_is_shown_where_that_is_asked_for(file: Path) -> None:
    shown = invoke("config", "show", "--config", str(file), "--changed").stdout
    assert tomllib.loads(shown) == {"listen": ["/ip4/127.0.0.1/tcp/0"], "kad": {"dht": {"alpha": 4}}}
    (listen, alpha) = events(invoke("config", "show", "--config", str(file), "--changed", "--json").stdout)
    assert (listen["key"], listen["default"], listen["origin"]) == ("listen", ["/ip4/0.0.0.0/tcp/0"], f"{file}:1")
    assert (alpha["key"], alpha["value"], alpha["default"], alpha["origin"]) == ("kad.dht.alpha", 4, 10, f"{file}:4")
    assert alpha["doc"].startswith("Requests of one lookup")


def test_where_nothing_was_set_it_says_so_in_toml() -> None:
    shown = invoke("config", "show", "--changed").stdout
    assert shown.startswith("# nothing is set")
    assert tomllib.loads(shown) == {}


def test_a_part_that_is_off_is_shown_so(file: Path) -> None:
    file.write_text("kad = false\n")
    (event,) = events(invoke("config", "show", "--config", str(file), "--changed", "--json").stdout)
    assert (event["key"], event["value"], event["default"]) == ("kad", False, True)


def test_a_path_of_an_option_may_begin_with_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    shown = invoke("config", "show", "--changed", "--state-dir", "~/state", "--identity", "~/key").stdout
    assert tomllib.loads(shown) == {"state_directory": f"{tmp_path}/state", "identity": f"{tmp_path}/key"}
    result = invoke("config", "show", "--state-dir", "~nobody-of-that-name/state")
    assert result.exit_code == 2
    assert "--state-dir:state_directory: nobody knows the home that '~nobody-of-that-name' stands for" in result.stderr
    assert f"{tmp_path}/state" in invoke("peers", "--state-dir", "~/state").stderr


def test_an_option_turns_mdns_on() -> None:
    assert tomllib.loads(invoke("config", "show").stdout)["mdns"] is False
    assert tomllib.loads(invoke("config", "show", "--mdns").stdout)["mdns"]["service"] == "_p2p._udp"

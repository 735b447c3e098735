"""`cortexnet id`."""

import base64
from pathlib import Path
from typing import get_args

import pytest

from cortexnet.identity.identity import Identity
from cortexnet.identity.keys import KeyType, PublicKey
from cortexnet.identity.peer_id import PeerId
from tests.support.command_line import events, invoke


def test_an_identity_is_made_once_and_then_shown(tmp_path: Path) -> None:
    file = str(tmp_path / "identity.key")
    first, second = invoke("id", "--key", file), invoke("id", "--key", file)
    assert first.exit_code == 0
    assert first.output == second.output
    assert f"peer id      {Identity.load(file).peer_id}\n" in first.output


@pytest.mark.parametrize("kind", get_args(KeyType))
def test_with_json_all_of_it_can_be_read(kind: KeyType, tmp_path: Path) -> None:
    file = str(tmp_path / "identity.key")
    (event,) = events(invoke("id", "--key", file, "--type", kind, "--json").stdout)
    key = PublicKey.unmarshal(base64.b64decode(event["public_key"]))
    assert (event["event"], event["file"], event["key_type"]) == ("identity", file, kind)
    assert event["peer_id"] == str(PeerId.from_public_key(key)) == str(PeerId.parse(event["peer_id_cid"]))


def test_a_key_that_is_there_is_not_replaced_by_one_of_another_type(tmp_path: Path) -> None:
    file = str(tmp_path / "identity.key")
    made = invoke("id", "--key", file)
    again = invoke("id", "--key", file, "--type", "rsa")
    assert again.exit_code == 0
    assert again.stdout == made.stdout
    assert "warning:" in again.stderr


def test_a_damaged_file_is_an_error_and_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "identity.key"
    file.write_bytes(b"not a key")
    file.chmod(0o600)
    result = invoke("id", "--key", str(file), "--json")
    assert result.exit_code == 1
    assert "this key file is damaged" in result.stderr
    assert events(result.stdout)[0]["kind"] == "StorageFailed"
    assert file.read_bytes() == b"not a key"


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    result = invoke("id", "--key", str(tmp_path / "nowhere" / "identity.key"))
    assert result.exit_code == 1
    assert "create that first" in result.stderr


def test_a_file_that_others_may_read_is_warned_about(tmp_path: Path) -> None:
    file = tmp_path / "identity.key"
    invoke("id", "--key", str(file))
    file.chmod(0o644)
    assert invoke("id", "--key", str(file)).stderr.startswith("warning: others may read the private key")


@pytest.mark.parametrize("options", [(), ("--base64",)])
def test_a_key_goes_out_to_another_program_and_comes_back(options: tuple[str, ...], tmp_path: Path) -> None:
    file, out, back = (str(tmp_path / name) for name in ("identity.key", "out", "back"))
    made = events(invoke("id", "--key", file, "--type", "secp256k1", "--json").stdout)[0]
    shown, exported = events(invoke("id", "--key", file, "--export", out, *options, "--json").stdout)
    assert (shown, exported) == (made, {"event": "exported", "file": out})
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    assert (base64.b64decode(Path(out).read_text()) if options else Path(out).read_bytes()) == Path(file).read_bytes()
    imported = events(invoke("id", "--key", back, "--import", out, "--json").stdout)[0]
    assert imported == {**made, "file": back}
    assert Path(back).read_bytes() == Path(file).read_bytes()


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    for file in (one, other):
        invoke("id", "--key", file)
    for arguments in (("--key", one, "--export", other), ("--key", one, "--import", other)):
        before = Path(one).read_bytes(), Path(other).read_bytes()
        result = invoke("id", *arguments)
        assert (result.exit_code, "never replaced" in result.stderr) == (1, True)
        assert (Path(one).read_bytes(), Path(other).read_bytes()) == before


@pytest.mark.parametrize("content", [b"", b"not a key", b"\x08\x01\x12\x00", b"-----BEGIN PRIVATE KEY-----\n"])
def test_what_is_imported_and_is_no_key_file_is_not_to_be_deleted(content: bytes, tmp_path: Path) -> None:
    file, source = tmp_path / "identity.key", tmp_path / "source"
    source.write_bytes(content)
    source.chmod(0o600)
    result = invoke("id", "--key", str(file), "--import", str(source))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {source}: this is no key file (")
    assert "libp2p's protobuf form" in result.stderr
    assert "base64" in result.stderr
    assert "delete" not in result.stderr
    assert (source.read_bytes(), file.exists()) == (content, False)


def test_a_key_that_is_not_there_is_neither_exported_nor_imported_nor_made(tmp_path: Path) -> None:
    file = str(tmp_path / "identity.key")
    for option, says in (
        ("--export", "there is no key to export: name its file with --key"),
        ("--import", "there is no such file"),
    ):
        result = invoke("id", "--key", file, option, str(tmp_path / "other"))
        assert (result.exit_code, says in result.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []
    assert invoke("id", "--key", file, "--base64").exit_code == 2

"""A node's identity and its file: created once, whole, for the owner alone, and never replaced."""

import base64
import errno
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cortexnet.errors import LocalError, StorageFailed
from cortexnet.identity import identity as module
from cortexnet.identity.identity import Identity
from cortexnet.identity.keys import KeyType, PrivateKey

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "keys.json").read_text())
GOLDEN = {vector["type"]: vector for vector in VECTORS["keys"]}
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "identity.key"


def test_an_identity_signs_and_knows_its_peer_id() -> None:
    identity = Identity.from_protobuf(bytes.fromhex(GOLDEN["ed25519"]["private"]))
    assert str(identity.peer_id) == GOLDEN["ed25519"]["text"]
    assert identity.peer_id is identity.peer_id
    assert identity.sign(b"golden").hex() == GOLDEN["ed25519"]["signature"]
    assert identity.public_key.verify(b"golden", identity.sign(b"golden"))
    assert identity.private_key.public_key == identity.public_key
    assert repr(identity) == f"Identity({GOLDEN['ed25519']['text']})"


@pytest.mark.parametrize("key_type", ["rsa", "ed25519", "secp256k1", "ecdsa"])
def test_every_key_type_can_be_generated(key_type: KeyType) -> None:
    assert Identity.generate(key_type).private_key.key_type == key_type


def test_two_generated_identities_differ() -> None:
    assert Identity.generate().peer_id != Identity.generate().peer_id


@pytest.mark.parametrize("vector", VECTORS["keys"], ids=lambda vector: vector["type"])
def test_both_export_forms_are_read_again(vector: dict[str, str]) -> None:
    identity = Identity.from_protobuf(bytes.fromhex(vector["private"]))
    assert identity.to_protobuf().hex() == vector["private"]
    assert identity.to_base64() == base64.b64encode(bytes.fromhex(vector["private"])).decode()
    assert Identity.from_base64(identity.to_base64()).peer_id == identity.peer_id
    assert Identity.from_base64(f" {identity.to_base64()[:20]}\n{identity.to_base64()[20:]}\r\n").peer_id == identity.peer_id


@pytest.mark.parametrize("text", ["", "CAES", "CAES*", "é", "CAESQ" + "A" * 20_000])
def test_a_text_that_is_no_key_is_a_local_error(text: str) -> None:
    with pytest.raises(LocalError):
        Identity.from_base64(text)


# The file


def test_the_first_call_creates_the_file_and_the_next_reads_it(path: Path) -> None:
    created = Identity.load_or_create(path)
    assert created.private_key.key_type == "ed25519"
    assert path.read_bytes() == created.to_protobuf()
    assert Identity.load_or_create(str(path)).peer_id == created.peer_id
    assert Identity.load(path).peer_id == created.peer_id
    assert os.listdir(path.parent) == [path.name]


def test_the_key_type_is_for_new_files_only(path: Path) -> None:
    assert Identity.load_or_create(path, "secp256k1").private_key.key_type == "secp256k1"
    assert Identity.load_or_create(path, "ed25519").private_key.key_type == "secp256k1"


def test_a_path_without_a_folder_is_in_the_working_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    assert Identity.load_or_create("identity.key").to_protobuf() == path.read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_a_new_file_is_for_its_owner_alone_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        Identity.load_or_create(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("vector", VECTORS["keys"], ids=lambda vector: vector["type"])
@pytest.mark.parametrize("form", ["protobuf", "base64", "base64 and a line end"])
def test_key_files_of_go_and_kubo_are_read(path: Path, vector: dict[str, str], form: str) -> None:
    raw = bytes.fromhex(vector["private"])
    path.write_bytes(raw if form == "protobuf" else base64.b64encode(raw) + b"\n" * (form != "base64"))
    path.chmod(0o600)
    assert str(Identity.load_or_create(path).peer_id) == vector["text"]


@pytest.mark.skipif(os.name != "posix", reason="file modes")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o610])
def test_a_file_that_others_may_read_is_used_with_a_warning(path: Path, mode: int, caplog: pytest.LogCaptureFixture) -> None:
    peer_id = Identity.load_or_create(path).peer_id
    assert not caplog.records
    path.chmod(mode)
    with caplog.at_level(logging.WARNING):
        assert Identity.load_or_create(path).peer_id == peer_id
    assert str(path) in caplog.text
    assert "chmod 600" in caplog.text
    assert GOLDEN["ed25519"]["private"] not in caplog.text


def test_where_files_have_no_modes_nothing_is_warned_about(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HAS_MODES", False)
    Identity.load_or_create(path)
    path.chmod(0o666)
    Identity.load_or_create(path)
    assert not caplog.records


GOOD = bytes.fromhex(GOLDEN["ed25519"]["private"])
DAMAGED = {
    "empty": b"",
    "blank": b" \r\n\n",
    "cut short": GOOD[:-1],
    "one bit": GOOD[:-1] + bytes([GOOD[-1] ^ 1]),
    "with a line end": GOOD + b"\n",
    "zeros": bytes(68),
    "base64 cut short": base64.b64encode(GOOD)[:-5],
    "base64 of something": base64.b64encode(b"something"),
    "a public key": bytes.fromhex(GOLDEN["ed25519"]["public"]),
    "text": b"-----BEGIN PRIVATE KEY-----\n",
    "not ASCII": "ключ".encode(),
    "huge": b"\x08" * 1_000_000,
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
@pytest.mark.parametrize("load", [Identity.load, Identity.load_or_create], ids=["load", "load_or_create"])
def test_a_damaged_file_is_named_and_left_as_it_is(path: Path, data: bytes, load: Callable[[Path], Identity]) -> None:
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(StorageFailed, match="restore it, or delete it") as caught:
        load(path)
    assert caught.value.path == str(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == data
    assert os.listdir(path.parent) == [path.name]


def test_a_file_that_cannot_be_read_is_named_and_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(GOOD)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", denied)
    with pytest.raises(StorageFailed, match="Permission denied") as caught:
        Identity.load_or_create(path)
    assert caught.value.path == str(path)


def test_a_folder_in_place_of_the_file_is_named(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StorageFailed, match=r"identity\.key: .*s a directory"):
        Identity.load_or_create(path)


def test_a_missing_file_is_an_error_of_load_alone(path: Path) -> None:
    with pytest.raises(StorageFailed, match="no such file"):
        Identity.load(path)


def test_a_missing_folder_is_named(path: Path) -> None:
    with pytest.raises(StorageFailed, match="create that first"):
        Identity.load_or_create(path / "deeper")


def test_a_link_to_nothing_is_not_followed_into_a_new_key(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")
    with pytest.raises(StorageFailed, match="what it links to"):
        Identity.load_or_create(path)
    assert os.listdir(path.parent) == [path.name]


def test_a_full_disk_leaves_no_file_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFailed, match="No space left"):
        Identity.load_or_create(path)
    assert os.listdir(path.parent) == []


def no_links(*_: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_without_hard_links_the_file_is_still_created(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", no_links)
    created = Identity.load_or_create(path)
    assert Identity.load_or_create(path).peer_id == created.peer_id
    assert os.listdir(path.parent) == [path.name]
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600


def test_without_hard_links_a_full_disk_leaves_no_file_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def full_at_the_second(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(os, "fsync", full_at_the_second)
    with pytest.raises(StorageFailed, match="No space left"):
        Identity.load_or_create(path)
    assert os.listdir(path.parent) == []


def test_a_folder_that_cannot_be_synced_is_no_reason_to_fail(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def only_files(name: str, flags: int, mode: int = 0o777) -> int:
        if flags == os.O_RDONLY:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(name, flags, mode)

    monkeypatch.setattr(os, "open", only_files)
    assert Identity.load_or_create(path).to_protobuf() == path.read_bytes()


# Races


@pytest.mark.parametrize("links", [True, False], ids=["with hard links", "without"])
def test_who_comes_second_takes_the_key_of_who_came_first(path: Path, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    real, other = os.link, Identity.generate()

    def after_another(source: str, target: str) -> None:
        path.write_bytes(other.to_protobuf())
        path.chmod(0o600)
        if not links:
            no_links()
        real(source, target)

    monkeypatch.setattr(os, "link", after_another)
    assert Identity.load_or_create(path).peer_id == other.peer_id
    assert path.read_bytes() == other.to_protobuf()
    assert os.listdir(path.parent) == [path.name]


def test_who_comes_second_after_a_damaged_key_reports_it_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def after_another(_: str, target: str) -> None:
        path.write_bytes(b"")
        raise FileExistsError(errno.EEXIST, "File exists", target)

    monkeypatch.setattr(os, "link", after_another)
    with pytest.raises(StorageFailed, match="empty") as caught:
        Identity.load_or_create(path)
    assert str(caught.value).count(str(path)) == 1


def test_many_threads_end_with_one_key(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 8
    barrier = threading.Barrier(count)
    found: list[PrivateKey] = []
    generate = PrivateKey.generate

    def generate_together(key_type: KeyType = "ed25519") -> PrivateKey:
        barrier.wait(timeout=60)  # all have seen that there is no file
        return generate(key_type)

    monkeypatch.setattr(PrivateKey, "generate", generate_together)
    threads = [threading.Thread(target=lambda: found.append(Identity.load_or_create(path).private_key)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.marshal() for key in found} == {path.read_bytes()}
    assert len(found) == count
    assert os.listdir(path.parent) == [path.name]


def test_two_processes_end_with_one_key(path: Path) -> None:
    program = "import sys; from cortexnet.identity.identity import Identity; print(Identity.load_or_create(sys.argv[1]).peer_id)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert printed == [str(Identity.load(path).peer_id)] * 2


@pytest.mark.parametrize("load", [Identity.load, Identity.load_or_create])
def test_a_name_that_no_file_can_have_is_a_failure_like_others(load: Callable[[str], Identity]) -> None:
    with pytest.raises(StorageFailed, match="no file has such a name"):
        load("key\0file")


# Giving a key to another program


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("key_type", ["ed25519", "rsa"])
def test_a_saved_key_is_read_back_and_for_its_owner_alone(key_type: KeyType, as_text: bool, path: Path) -> None:
    identity = Identity.generate(key_type)
    identity.save(path, as_text=as_text)
    assert path.read_bytes() == (f"{identity.to_base64()}\n".encode() if as_text else identity.to_protobuf())
    assert path.stat().st_mode & 0o777 == 0o600
    assert Identity.load(path).peer_id == identity.peer_id


def test_no_key_is_saved_over_another_file(path: Path) -> None:
    path.write_bytes(b"something else")
    with pytest.raises(StorageFailed, match="never replaced"):
        Identity.generate().save(path)
    assert path.read_bytes() == b"something else"
    assert list(path.parent.iterdir()) == [path]


def test_a_key_is_not_saved_to_where_there_is_no_folder(path: Path) -> None:
    with pytest.raises(StorageFailed, match="create that first"):
        Identity.generate().save(path.parent / "nowhere" / "key")

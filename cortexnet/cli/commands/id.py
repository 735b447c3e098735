"""`cortexnet id`: a key file and who it makes one."""

from typing import get_args

import click

from cortexnet.cli.options import with_output
from cortexnet.cli.output import Json, Output
from cortexnet.cli.text import table
from cortexnet.identity.identity import Identity
from cortexnet.identity.keys import KeyType, PublicKey
from cortexnet.multiformats import multibase

KEY_FILE = "identity.key"


@click.command("id")
@click.option("--key", "file", default=KEY_FILE, show_default=True, metavar="FILE", help="The key file; made if it is not there.")
@click.option("--type", "key_type", type=click.Choice(get_args(KeyType)), help="The kind of key to make.  [default: ed25519]")
@with_output
def command(output: Output, file: str, key_type: KeyType | None) -> None:
    """Show an identity, or create it.

    The file holds the private key: keep it to yourself. It is read as go-libp2p and Kubo write theirs, and never overwritten.

    \b
    --json prints one line: event "identity", file, peer_id, peer_id_cid,
    key_type, public_key (base64 of libp2p's protobuf form).
    """
    identity = Identity.load_or_create(file, key_type or "ed25519")
    key = identity.public_key
    if key_type not in (None, key.key_type):
        output.note(f"warning: {file} has a key of type {key.key_type} already, which is never replaced; --type is for new files")
    members: dict[str, Json] = {
        "peer_id": str(identity.peer_id),
        "peer_id_cid": str(identity.peer_id.to_cid()),
        "key_type": key.key_type,
        "public_key": encoded(key),
        "file": file,
    }
    rows = [(name.replace("_", " "), str(value)) for name, value in members.items()]
    output.say("\n".join(table(rows)), "identity", **members)


def encoded(key: PublicKey) -> str:
    """The key in libp2p's protobuf form, as base64 with padding."""
    return multibase.encode("base64pad", key.marshal())[1:]

"""`cortexnet id`: a key file and who it makes one."""

import os
from typing import get_args

import click

from cortexnet.cli.options import with_output
from cortexnet.cli.output import Json, Output
from cortexnet.cli.text import table
from cortexnet.errors import LocalError, StorageFailed
from cortexnet.identity.identity import Identity
from cortexnet.identity.keys import KeyType, PublicKey
from cortexnet.multiformats import multibase

KEY_FILE = "identity.key"
_FORMS = (
    "read are libp2p's protobuf form, as of go-libp2p and `ipfs key export`, and the base64 of it, as in Kubo's configuration"
)


@click.command("id")
@click.option("--key", "file", default=KEY_FILE, show_default=True, metavar="FILE", help="The key file; made if it is not there.")
@click.option("--type", "key_type", type=click.Choice(get_args(KeyType)), help="The kind of key to make.  [default: ed25519]")
@click.option("--import", "source", metavar="FILE", help="Make the key file of the key in this one, from whatever program.")
@click.option("--export", "target", metavar="FILE", help="Write the key to this new file, for another program.")
@click.option("--base64", "as_text", is_flag=True, help="Export it as base64, as in Kubo's configuration.")
@with_output
def command(output: Output, file: str, key_type: KeyType | None, source: str | None, target: str | None, as_text: bool) -> None:
    """Show an identity, or create it.

    Or take over the key of another program, or give it this one. The file holds the private key: keep it to yourself. It is in
    libp2p's protobuf form, which go-libp2p writes, and `ipfs key export` too; read is also the base64 of Kubo's configuration.
    New files are for their owner alone; none is ever overwritten.

    \b
    --json prints one line: event "identity", file, peer_id, peer_id_cid,
    key_type, public_key (base64 of libp2p's protobuf form); after --export
    "exported" too (file).
    """
    if as_text and target is None:
        raise click.UsageError("--base64 is for --export")
    if source is not None:
        _imported(source).save(file)
    if target is not None and not os.path.exists(file):
        raise StorageFailed("there is no key to export: name its file with --key; without --export it is made", path=file)
    identity = Identity.load(file) if target is not None else Identity.load_or_create(file, key_type or "ed25519")
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
    if target is not None:
        identity.save(target, as_text=as_text)
        output.say(f"exported to {target}", "exported", file=target)


def _imported(source: str) -> Identity:
    """The identity in a file of somebody else's, which is not to be deleted for what we can't read."""
    try:
        return Identity.load(source)
    except StorageFailed as error:
        if isinstance(error.__cause__, LocalError):
            raise StorageFailed(f"this is no key file ({error.__cause__}); {_FORMS}", path=source) from None
        if error.__cause__ is None:
            raise StorageFailed(f"this is no key file (it is empty); {_FORMS}", path=source) from None
        raise


def encoded(key: PublicKey) -> str:
    """The key in libp2p's protobuf form, as base64 with padding."""
    return multibase.encode("base64pad", key.marshal())[1:]

"""File transfer between two processes, perhaps on two machines.

    python examples/file_transfer.py receive FOLDER [--listen /ip4/0.0.0.0/tcp/4001]
    python examples/file_transfer.py send FILE ADDRESS

The receiver prints its addresses; each ends in its peer id, so the sender knows that nobody else gets the file. What arrives is
named by its SHA-256 digest: a name that a peer chooses has no place in a path. The digest is also the answer, so both know that
the file is whole.
"""

import argparse
import asyncio
import hashlib
import sys
import tempfile
from pathlib import Path

from cortexnet import CortexError, Node, Refuse, Stream

PROTOCOL = "/example/file/1.0.0"
SIZE_LIMIT = 1024 * 1024 * 1024
TOO_LARGE = 1  # what a sender of more gets as the code of the reset
BLOCK = 256 * 1024


async def receive(folder: Path, listen: str) -> None:
    """Take one file after another, until interrupted."""

    async def take(stream: Stream) -> None:
        digest, size = hashlib.sha256(), 0
        with tempfile.NamedTemporaryFile(dir=folder, prefix="incoming-") as file:
            async for chunk in stream:
                size += len(chunk)
                if size > SIZE_LIMIT:
                    raise Refuse(TOO_LARGE)
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)  # while the disk is slow, the sender waits
            file.flush()
            (folder / digest.hexdigest()).unlink(missing_ok=True)
            (folder / digest.hexdigest()).hardlink_to(file.name)
        await stream.write(digest.digest())
        print(f"{size} bytes from {stream.peer_id}: {digest.hexdigest()}", flush=True)

    node = Node(listen=[listen])
    node.handle(PROTOCOL, take)
    async with node:
        print("listening on", *node.addresses, flush=True)
        await node.wait_closed()


async def send(path: Path, address: str) -> None:
    """Send one file. Raises CortexError; EndOfStream means that the receiver gave up."""
    digest = hashlib.sha256()
    async with Node() as node:
        peer = await node.dial(address)
        async with node.stream(peer, PROTOCOL) as stream:
            with path.open("rb") as file:
                while block := await asyncio.to_thread(file.read, BLOCK):
                    digest.update(block)
                    await stream.write(block)
            await stream.close_write()
            if await stream.read_exactly(32) != digest.digest():
                sys.exit("what arrived is not what was sent")
    print(f"sent to {peer}: {digest.hexdigest()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    receiver = verbs.add_parser("receive")
    receiver.add_argument("folder", type=Path)
    receiver.add_argument("--listen", default="/ip4/127.0.0.1/tcp/0")
    sender = verbs.add_parser("send")
    sender.add_argument("file", type=Path)
    sender.add_argument("address")
    options = parser.parse_args()
    try:
        asyncio.run(receive(options.folder, options.listen) if options.verb == "receive" else send(options.file, options.address))
    except CortexError as error:
        sys.exit(f"it failed: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

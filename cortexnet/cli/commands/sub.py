"""`cortexnet sub`: show what is published to a topic."""

import base64

import click

from cortexnet.cli import lifecycle
from cortexnet.cli.exits import Interrupted
from cortexnet.cli.options import with_gossip, with_output
from cortexnet.cli.output import Output
from cortexnet.cli.topics import Meeting, meet
from cortexnet.gossip.delivery import GossipMessage


@click.command()
@click.argument("topic")
@click.option("-n", "--count", type=click.IntRange(min=0), default=0, help="End after so many messages; 0: when interrupted.")
@click.option("-q", "--quiet", is_flag=True, help="Print what messages say, and nothing about who said it.")
@with_gossip
@with_output
def command(output: Output, topic: str, count: int, quiet: bool, meeting: Meeting) -> None:
    """Show what is published to a topic.

    One message a line, until it is interrupted.

    \b
    --json prints events "listening" (peer_id, addresses), "connected" (peer_id,
    address) or "failed" (address, kind, message, advice), and for each message
    "message" (topic, author, sequence, id in hexadecimal, from: the neighbour
    that brought it, data in base64, and as_text: the same as a text, null where
    it is none).
    """
    try:
        lifecycle.run(lambda: _listen(output, topic, count, quiet, meeting))
    except Interrupted:
        if count:
            raise


async def _listen(output: Output, topic: str, count: int, quiet: bool, meeting: Meeting) -> None:
    async with meet(output, meeting) as node, node.gossip.subscribe(topic) as messages:
        shown = 0
        async for message in messages:
            _show(output, message, quiet)
            shown += 1
            if shown == count:
                return


def _show(output: Output, message: GossipMessage, quiet: bool) -> None:
    try:
        text: str | None = message.data.decode()
    except UnicodeDecodeError:
        text = None
    author = None if message.author is None else str(message.author)
    said = repr(message.data) if text is None else text.replace("\n", "\\n")
    output.say(
        said if quiet or author is None else f"{author[-8:]}: {said}",
        "message",
        topic=message.topic,
        author=author,
        sequence=message.sequence,
        id=message.id.hex(),
        **{"from": str(message.sender)},
        data=base64.b64encode(message.data).decode(),
        as_text=text,
    )

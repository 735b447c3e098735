"""Messages from one node to another, and to many: who has got what, and how that is shown to others.

    python examples/direct_messages.py

A message is signed by who sends it, its receipt by who has got it. Both can be kept, and checked by anybody who never met either.
"""

import asyncio

from cortexnet import Message, NegotiationFailed, Node, Receipt

LOOPBACK = ["/ip4/127.0.0.1/tcp/0"]


async def note(message: Message) -> bytes:
    """What it returns goes into the receipt. Where it raises, the sender gets RequestFailed."""
    return b"noted: " + message.data


async def main() -> None:
    async with Node(listen=LOOPBACK) as bob, Node(listen=LOOPBACK) as carol, Node(listen=LOOPBACK) as mute, Node() as alice:
        bob.on_message(note)
        carol.on_message(note)
        peers = [await alice.dial(node.addresses) for node in (bob, carol, mute)]

        receipt = await alice.send(peers[0], b"the gate opens at nine", timeout=5)
        print("bob says:", receipt.data.decode())

        outcomes = await alice.broadcast(peers, b"the gate stays closed", timeout=5)
        for name, peer in zip(("bob", "carol", "mute"), peers, strict=True):
            outcome = outcomes[peer]
            if isinstance(outcome, Receipt):
                print(name, "has got it")
            elif isinstance(outcome, NegotiationFailed):
                print(name, "takes no messages")

        assert receipt.proof is not None  # it is signed, for `signed_messages` is on
        shown = Receipt.open_proof(receipt.proof)  # somebody else's check, of nothing but these bytes
        print("bob has signed that he got a message of alice:", (shown.sender, shown.recipient) == (bob.peer_id, alice.peer_id))


if __name__ == "__main__":
    asyncio.run(main())

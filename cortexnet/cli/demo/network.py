"""The second half of the demonstration: newcomers who know one address, and what a network of its own does for them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol, final

from cortexnet.cli.demo.calls import all_of
from cortexnet.cli.output import Output
from cortexnet.cli.text import duration
from cortexnet.errors import StreamCode

MESSAGES = 20


class Tell(Protocol):
    """Has a node do something; what came of it. Raises DemoFailed."""

    async def __call__(self, node: str, do: str, **arguments: Any) -> dict[str, Any]: ...


@final
class Network:
    """Discovery, the DHT, gossip and reputation among nodes in several processes; `check` keeps what is not as it should be."""

    def __init__(
        self,
        output: Output,
        tell: Tell,
        check: Callable[[bool, str], None],
        peer_of: Mapping[str, str],
        address_of: Mapping[str, str],
    ) -> None:
        self._output = output
        self._tell = tell
        self._check = check
        self._peer_of = peer_of
        self._address_of = address_of
        self._name_of = {peer: name for name, peer in peer_of.items()}

    async def run(self, members: list[str], newcomers: list[str]) -> None:
        """All of it, with two members at least, who know each other, and newcomers, who were told of the first one."""
        await self._meet(members[0], newcomers)
        await self._store(newcomers[0], [newcomers[-2], members[-1]])
        await self._provide(newcomers[1], members[-1])
        await self._publish(newcomers[2], members + newcomers)
        await self._misbehave(newcomers[-1], members[-1], witness=members[0], friend=newcomers[0])

    async def _meet(self, known: str, newcomers: list[str]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()

        def all_but(name: str) -> list[str]:
            return [self._peer_of[other] for other in (known, *newcomers) if other != name]

        async with self._output.waiting("the newcomers look for each other"):
            results = await all_of(self._tell(name, "find", peers=all_but(name)) for name in newcomers)
        seconds = loop.time() - began
        sources: dict[str, int] = {}
        for result in results:
            for source, count in result["sources"].items():
                sources[source] = sources.get(source, 0) + count
        self._check("bootstrap" in sources, f"nobody found {known} by bootstrap")
        self._check(len(sources) > 1, "the newcomers found nobody but the node they were told of")
        told = ", ".join(f"{count} by {source}" for source, count in sorted(sources.items()))
        text = f"  {newcomers[0]} to {newcomers[-1]} have found {known} and each other in {duration(seconds)}: {told}"
        self._output.say(text, "discovered", nodes=newcomers, seconds=seconds, sources=sources)

    async def _store(self, writer: str, readers: list[str]) -> None:
        self._output.text("\nThe DHT: values and contents, found by nodes who never heard where they are")
        value = f"what {writer} wanted to be known"
        stored = await self._tell(writer, "put", text=value)
        for reader in readers:
            found = await self._tell(reader, "get", key=stored["key"])
            self._check(found["text"] == value, f"{reader} found another value than the one that {writer} has stored")
        self._check(stored["peers"] > 0, f"nobody has stored the value of {writer}")
        text = f"  {writer} has stored a value on {stored['peers']} peers; {' and '.join(readers)} have found it"
        self._output.say(text, "stored", name=writer, key=stored["key"], peers=stored["peers"], found_by=readers)

    async def _provide(self, provider: str, seeker: str) -> None:
        told = await self._tell(provider, "provide", text=f"a content that {provider} has")
        found = (await self._tell(seeker, "providers", cid=told["cid"]))["peers"]
        names = [self._name_of.get(peer, "a stranger") for peer in found]
        self._check(names == [provider], f"{seeker} found {names or 'nobody'} for a content of {provider}")
        text = f"  {provider} provides {told['cid']}; {seeker} asks who has it: {', '.join(names)}"
        self._output.say(text, "provided", name=provider, cid=told["cid"], asked_by=seeker, providers=names)

    async def _publish(self, author: str, nodes: list[str]) -> None:
        self._output.text(f"\nGossip: {author} publishes {MESSAGES} messages in a topic that {len(nodes)} nodes read")
        await all_of(self._tell(name, "join", peers=1) for name in nodes)
        texts = [f"{number} of {MESSAGES} messages of {author}" for number in range(1, MESSAGES + 1)]
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._tell(author, "publish", texts=texts)
        readers = [name for name in nodes if name != author]
        results = await all_of(self._tell(name, "heard", count=MESSAGES) for name in readers)
        seconds = loop.time() - began
        for name, result in zip(readers, results, strict=True):
            self._check(sorted(result["texts"]) == sorted(texts), f"{name} did not get each message of {author} once")
        text = f"  all {len(readers)} others have each of them once, after {duration(seconds)}"
        self._output.say(text, "published", author=author, messages=MESSAGES, readers=len(readers), seconds=seconds)

    async def _misbehave(self, bad: str, victim: str, *, witness: str, friend: str) -> None:
        peer = self._peer_of[bad]
        self._output.text(f"\nReputation: {bad} sends {victim} what no correct node sends")
        before = await self._tell(victim, "opinion", peer=peer)
        nonsense = await self._tell(bad, "misbehave", peer=self._peer_of[victim])
        refused = await self._tell(victim, "opinion", peer=peer)
        self._check(refused["score"] < before["score"], f"{bad} has lost nothing with {victim}")
        self._check(
            nonsense["code"] == StreamCode.GATED and refused["standing"] == "refused",
            f"{victim} still takes streams of {bad}, whom it calls {refused['standing']}",
        )
        text = f"  {before['score']:+.1f} was its score; {refused['score']:+.1f} after {nonsense['messages']} messages: "
        self._output.text(f"{text}its streams are refused")
        more = await self._tell(bad, "persist")
        await self._wait_lost(bad, victim)
        after = await self._tell(victim, "opinion", peer=peer)
        refusal = await self._dial_again(bad, victim)
        self._check(after["standing"] == "denied", f"{victim} does not deny {bad}, whom it calls {after['standing']}")
        text = f"  {after['score']:+.1f} after {more['messages']} more, on streams that were open: it is denied, and what it was"
        self._output.text(f"{text} connected by is closed")
        self._output.text(f"  it dials once more: {refusal}")
        self._output.text("\n".join(["  why, as the node that was sent it tells:", *(f"  {line}" for line in after["lines"])]))
        other = await self._tell(witness, "opinion", peer=peer)
        self._check(other["standing"] == "good", f"{witness} judges {bad} by what it did to {victim}")
        await self._tell(friend, "ask", peer=self._peer_of[victim], count=5)
        self._output.text(f"  {witness}, to whom nothing was done, gives it {other['score']:+.1f}")
        self._output.text(f"  {victim} answers {friend} as before")
        self._output.say_event(
            "misbehaved",
            name=bad,
            victim=victim,
            scores=[before["score"], refused["score"], after["score"]],
            messages=nonsense["messages"] + more["messages"],
            standing=after["standing"],
            error=refusal,
            why=after["lines"],
        )

    async def _dial_again(self, bad: str, victim: str) -> str:
        """What comes of it. Who dials has proven its key last, and learns only then that it is denied."""
        dial = await self._tell(bad, "dial", address=self._address_of[victim])
        refusal: str = dial["error"] if "error" in dial else await self._wait_lost(bad, victim)
        facts = (await self._tell(victim, "connections"))["connections"]
        is_in = self._peer_of[bad] in [fact["peer_id"] for fact in facts]
        self._check(not is_in, f"{bad} is connected to {victim}, which denies it")
        return refusal

    async def _wait_lost(self, name: str, other: str) -> str:
        reason: str = (await self._tell(name, "wait_lost", peers=[self._peer_of[other]]))["reasons"][0]
        return reason

"""The implementations there are: each folder of interop/peers with a peer.toml, what it needs, how it is built and run."""

import asyncio
import shutil
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import final


class PeerUnusable(Exception):
    """The peer cannot take part: it did not build, or its program does not answer."""


@final
@dataclass(frozen=True, slots=True)
class PeerKind:
    """One implementation; `needs` are programs that must be on the PATH, `build` and `run` complete command lines."""

    name: str
    about: str
    root: Path
    needs: tuple[str, ...]
    build: tuple[str, ...]
    run: tuple[str, ...]

    def missing(self) -> str | None:
        """What of its toolchain is not installed, in words, or None."""
        absent = [program for program in self.needs if shutil.which(program) is None]
        return f"{', '.join(absent)} not on the PATH" if absent else None


def load_peers(root: Path) -> list[PeerKind]:
    """All peers of the project at `root`, sorted by name. A peer.toml that lacks a field raises KeyError."""
    return [read_manifest(manifest, root) for manifest in sorted((root / "interop" / "peers").glob("*/peer.toml"))]


def read_manifest(manifest: Path, root: Path) -> PeerKind:
    """One peer.toml; `{python}`, `{build}` and `{here}` in its command lines become paths."""
    table = tomllib.loads(manifest.read_text(encoding="utf-8"))
    places = {"python": sys.executable, "build": str(root / "interop" / "build"), "here": str(manifest.parent)}

    def command(key: str) -> tuple[str, ...]:
        return tuple(str(part).format_map(places) for part in table[key])

    return PeerKind(
        name=manifest.parent.name,
        about=table["about"],
        root=root,
        needs=tuple(table["needs"]),
        build=command("build"),
        run=command("run"),
    )


async def build(kind: PeerKind) -> None:
    """Run the peer's build command in the project's root; raises PeerUnusable with the end of what it printed."""
    (kind.root / "interop" / "build").mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *kind.build,
        cwd=kind.root,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise PeerUnusable(f"{' '.join(kind.build)} failed:\n{output.decode(errors='replace')[-4000:]}")

"""What `import cortexnet` costs beyond the two libraries that no node goes without: asyncio and cryptography."""

import asyncio
import json
import statistics
import sys
from typing import Final

from bench.half import Figures
from bench.process import ROOT, MeasurementFailed

PROGRAM: Final = """
import json, time
import asyncio
import cryptography.hazmat.primitives.asymmetric.ed25519
import cryptography.hazmat.primitives.asymmetric.x25519
import cryptography.hazmat.primitives.ciphers.aead
import cryptography.hazmat.primitives.serialization
started = time.perf_counter()
import cortexnet
imported = time.perf_counter()
from cortexnet import Node
usable = time.perf_counter()
print(json.dumps({"package": imported - started, "node": usable - started}))
"""


async def measure_imports(times: int) -> Figures:
    """Medians of so many fresh interpreters, in ms: what the package adds, and what it adds with `Node` loaded.

    The package loads its names when they are first used, so the second figure is the one that a program pays.
    """
    await fresh_interpreter()  # writes the bytecode and warms the file cache
    runs = [await fresh_interpreter() for _ in range(times)]
    return {name: statistics.median(run[name] for run in runs) * 1e3 for name in runs[0]}


async def fresh_interpreter() -> Figures:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise MeasurementFailed("`from cortexnet import Node` failed")
    seconds: Figures = json.loads(output)
    return seconds

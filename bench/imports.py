"""What `import cortexnet` costs beyond the two libraries that no node goes without: asyncio and cryptography.

Measured as an installed package is loaded, from its bytecode: the interpreters share a cache of their own, whatever the
environment says about writing one. In processor time, as loading waits for nothing once the files are in memory.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping
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
started = time.process_time()
import cortexnet
imported = time.process_time()
from cortexnet import Node
usable = time.process_time()
print(json.dumps({"package": imported - started, "node": usable - started}))
"""


async def measure_imports(times: int) -> Figures:
    """The least of so many fresh interpreters, in ms: what the package adds, and what `from cortexnet import Node` adds.

    The least, as whatever else runs on the machine can only add to it, by half and more.

    The package loads its names when they are first used, so the second figure is the one that a program pays.
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        await fresh_interpreter(environment)  # writes the bytecode and warms the file cache
        runs = [await fresh_interpreter(environment) for _ in range(times)]
    return {name: min(run[name] for run in runs) * 1e3 for name in runs[0]}


async def fresh_interpreter(environment: Mapping[str, str]) -> Figures:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise MeasurementFailed("`from cortexnet import Node` failed")
    seconds: Figures = json.loads(output)
    return seconds

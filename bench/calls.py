"""Requests to a peer of the interop harness, in the control protocol that interop/README.md documents."""

import itertools
import json
from typing import Any, final

from bench.process import MeasurementFailed, Process


@final
class Calls:
    """Requests to one process. Answers carry the number of their request and may come in any order."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)

    def start(self, operation: str, **fields: object) -> int:
        number = next(self._numbers)
        request = {"id": number, "op": operation, "timeout": 100, **fields}
        self._process.send_line(json.dumps(request).encode() + b"\n")
        return number

    async def call(self, operation: str, **fields: object) -> dict[str, Any]:
        """Raises MeasurementFailed if this request fails, or another that was started before."""
        number = self.start(operation, **fields)
        while True:
            answer = await self._process.receive()
            if not answer["ok"]:
                raise MeasurementFailed(f"{operation}: {answer['error']}")
            if answer["id"] == number:
                return answer

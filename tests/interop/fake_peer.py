"""A peer of the interop harness for its own tests: speaks the control protocol, does what the name of the operation says."""

import json
import sys
from typing import TextIO


def say(line: object, out: TextIO = sys.stdout) -> None:
    out.write(f"{line}\n")
    out.flush()


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        answer = {"id": request["id"], "ok": True}
        match request["op"]:
            case "stop":
                say(json.dumps(answer))
                return
            case "die":
                return
            case "babble":
                answer = "this is not the control protocol"
            case "complain":
                say("something odd\x07 happened", sys.stderr)
            case "fail":
                answer |= {"ok": False, "kind": "reset", "code": 42, "error": "as you wished"}
            case "be silent":
                continue
            case "describe":
                abilities = {"transports": ["tcp"], "security": ["noise"], "muxers": ["/yamux/1.0.0"], "key_types": ["ed25519"]}
                answer |= {"implementation": "fake", "version": "1", "runtime": "none", **abilities}
            case "start":
                answer |= {"peer_id": "somebody", "addresses": [*request["listen"]], "told": request}
        say(json.dumps(answer))


main()

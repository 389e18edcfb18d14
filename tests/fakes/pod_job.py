"""What a pod of the tests runs in place of the worker, where the data does not matter: follows the protocol, quickly.

Of the standard library alone, to start in no time. The lake is the folder $LAKE_FOLDER, `shared://` for the operator.
$HOW says what to do.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

CODES = {"ok": 0, "partial": 3, "bad_input": 10, "transient": 20, "config_error": 30, "denied": 40, "bug": 1}
ERRORS = {
    "busy": {"code": "http_429", "what": "The vendor is busy", "retry_after_s": 7},
    "memory": {"code": "out_of_memory", "what": "No memory"},
}


def say(text: str) -> None:
    print(json.dumps({"level": "INFO", "msg": text}), file=sys.stderr, flush=True)


def main() -> int:
    how = os.environ.get("HOW", "ok")
    request = json.loads(os.environ["AGENT_REQUEST"])
    target = f"{os.environ['LAKE_FOLDER']}/{request['result_uri'].removeprefix('shared://')}"
    say("the job begins")
    if how == "lines":
        for number in range(400):
            say(f"line {number}")
            time.sleep(0.001)
    if how == "hang":
        say("hanging")
        signal.pause()
    if how == "slow":
        time.sleep(0.6)
    if how.startswith("exit"):
        return int(how.split()[1])
    status = how if how in CODES else "transient" if how in ERRORS else "ok"
    red = status not in ("ok", "partial")
    counts = {"rows_in": 5, "rows_out": 5}
    result = {
        "status": status,
        "identity": {**request["identity"], **({"attempt": "another"} if how == "other attempt" else {})},
        "steps": [{"agent": s["agent"], "action": s["action"], "counts": counts} for s in request["steps"]],
        "error": ERRORS.get(how, {"code": "told", "what": "As it was told"}) if red else None,
        "peak_memory_bytes": 3000 << 20,
        "seconds": 0.1,
    }
    os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120 - pathlib takes long to import
    with open(f"{target}.new", "w") as file:  # noqa: PTH123
        json.dump(result, file)
    os.replace(f"{target}.new", target)  # noqa: PTH105
    say("the result is written")
    if how == "killed after":
        os.kill(os.getpid(), signal.SIGKILL)
    return CODES[status]


if __name__ == "__main__":
    raise SystemExit(main())

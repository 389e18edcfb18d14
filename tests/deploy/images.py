"""The images that `make images` built: what is in them, who they run as, how soon a job begins. Needs a Docker engine.

python3 tests/deploy/images.py TAG
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCKER = os.environ.get("DOCKER", "docker")
LIMIT_S = 0.8
TRIES = 7
# As a pod has it: no root, nothing to write to but /tmp, no rights, and process 1 is somebody else.
POD = ["--read-only", "--tmpfs=/tmp:mode=1777", "--network=none", "--cap-drop=ALL", "--init"]
REQUEST = {
    "steps": [
        {
            "agent": "data_ingestion.converter",
            "action": "convert_to_standard_format",
            "spec": {"source": "/tmp/in.csv", "target": "/tmp/out.parquet"},
        }
    ],
    "identity": {"attempt": "a"},
    "lake_url": "/tmp/lake",
    "result_uri": "/tmp/lake/result.json",
}
JOB = "printf 'a,b\\n1,2\\n' > /tmp/in.csv; python -m base_ops.worker --request - >&2; cat /tmp/lake/result.json"


def main(tag: str) -> None:
    worker, airflow = f"base-ops-worker:{tag}", f"base-ops-airflow:{tag}"
    for image, user, absent in ((worker, "1000:1000", "airflow"), (airflow, "1000:0", "polars")):
        about = json.loads(docker("image", "inspect", image))[0]
        config = about["Config"]
        expect(config["User"] == user, f"{image} runs as {config['User']}")
        expect(config["Healthcheck"], f"{image} has no health check")
        labels = {name.removeprefix("org.opencontainers.image.") for name in config["Labels"]}
        expect(labels >= {"title", "description", "version", "revision", "licenses"}, f"{image}: labels {labels}")
        found = run(image, "-c", f"import importlib.util as u; print(u.find_spec('{absent}'), u.find_spec('base_ops'))")
        expect(re.match(r"None ModuleSpec", found), f"{absent} is in {image}: {found}")
        size, written = about["Size"] / 1e6, float(table(image.split(":")[0]))
        say(f"{image}: {size:.0f} MB, {written:.0f} in docs/images.md")
        expect(abs(size - written) < written / 10, f"{image}: write {size:.0f} MB into docs/images.md")
    begin(worker)
    ends(worker)
    found = docker("run", "--rm", airflow, "/entrypoint", "sh", "-c", "test -x /clean-logs && echo yes")
    expect(found == "yes", "what the chart runs is not in the Airflow image")


def begin(image: str) -> None:
    """The least of several tries, for other work on the machine only adds."""
    seconds = []
    for _ in range(TRIES):
        result = json.loads(docker("run", "--rm", "--interactive", *POD, image, "sh", "-c", JOB, given=REQUEST))
        expect(result["status"] == "ok", f"the job in {image}: {result.get('error')}")
        seconds.append(result["startup_seconds"])
    say(f"{image}: start-up {min(seconds):.2f} to {max(seconds):.2f} s")
    expect(min(seconds) <= LIMIT_S, f"a job begins after {min(seconds)} s, more than {LIMIT_S} s")


def ends(image: str) -> None:
    """SIGTERM ends a job at once: a deleted pod must not sit out its grace."""
    name = "base-ops-images-test"
    docker("run", "--detach", "--rm", "--name", name, *POD, image, "python", "-c", "import time; time.sleep(60)")
    began = time.monotonic()
    docker("stop", "--time", "30", name)
    expect(time.monotonic() - began < 15, "a job does not end on SIGTERM")


def table(name: str) -> str:
    """The size in the table of docs/images.md."""
    row = re.search(
        rf"^\| `{name}` \|.*?\| *(?:about )?(\d+) \|", (ROOT / "docs" / "images.md").read_text(), re.MULTILINE
    )
    expect(row, f"{name} is not in docs/images.md")
    assert row is not None
    return row[1]


def run(image: str, *arguments: str) -> str:
    return docker("run", "--rm", *POD, image, "python", *arguments)


def docker(*arguments: str, given: object = None) -> str:
    text = None if given is None else json.dumps(given)
    done = subprocess.run([DOCKER, *arguments], input=text, stdout=subprocess.PIPE, text=True, timeout=120)
    expect(done.returncode == 0, f"docker {' '.join(arguments[:6])} … ended with {done.returncode}")
    return done.stdout.strip()


def expect(condition: object, otherwise: str) -> None:
    if not condition:
        raise SystemExit(f"images: {otherwise}")


def say(text: str) -> None:
    print(f"images: {text}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

"""Every page of docs is executed: its files are written, its commands run, its output compared.

In a page, ```yaml file=PATH (or csv, json, text) writes a file, ```bash runs commands in order, and ```output right
after it holds lines that the commands' output must contain in this order (`…` stands for anything).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes import brokers
from fakes.brokers import running

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _params() -> list[Any]:
    """The pages; one that needs a server says so."""
    return [
        pytest.param(p, id=p.stem, marks=[pytest.mark.slow, *([pytest.mark.server] if needs(p) else [])]) for p in PAGES
    ]


def needs(page: Path) -> list[str]:
    return re.findall(r"<!-- needs: (\w+) -->", page.read_text())


@contextmanager
def servers(page: Path) -> Iterator[dict[str, str]]:
    """What the page needs, as environment variables."""
    with ExitStack() as stack:
        environment = {}
        for name in needs(page):
            broker = stack.enter_context(running(getattr(brokers, name)(**_OPTIONS.get(name, {}))))
            environment[name.upper()] = f"127.0.0.1:{broker.port}"
        yield environment


_OPTIONS: dict[str, dict[str, Any]] = {"kafka": {"new_topics": True}}


@pytest.mark.parametrize("page", _params())
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    with servers(page) as started:
        follow(page, tmp_path, started)


def follow(page: Path, tmp_path: Path, started: dict[str, str]) -> None:
    for part in ("dags", "plugins", "examples", "pod_templates", "helm-values"):
        shutil.copytree(ROOT / part, tmp_path / part)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("BASE_", "AIRFLOW"))}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "BASE_HOME": str(tmp_path / ".base_ops"),
        "BASE_CONFIG_DIR": str(tmp_path / "dags" / "config"),
        "BASE_PIPELINES_DIR": str(tmp_path / "dags" / "pipelines"),
        "AIRFLOW_HOME": str(tmp_path / ".airflow"),
        "COLUMNS": "150",
        **started,
    }
    ran, output = 0, ""
    for language, options, body in FENCE.findall(page.read_text()):
        if target := re.search(r"file=(\S+)", options):
            file = tmp_path / target[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(body)
        elif language == "bash" and "norun" not in options:
            done = subprocess.run(
                ["bash", "-eu", "-c", body],
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=300,
            )
            output = done.stdout
            assert done.returncode == 0 or f"exit={done.returncode}" in options, f"{body}\n{output}"
            ran += 1
        elif language == "output":
            expect(body, output)
    assert ran, f"{page.name} runs nothing"


def expect(wanted: str, output: str) -> None:
    """Each wanted line occurs in the output, in order; blanks are folded."""
    lines = [" ".join(line.split()) for line in output.splitlines()]
    position = 0
    for line in filter(None, (" ".join(w.split()) for w in wanted.splitlines())):
        pattern = re.compile(".*".join(re.escape(part.strip()) for part in line.split("…")))
        while position < len(lines) and not pattern.search(lines[position]):
            position += 1
        assert position < len(lines), f"not in the output (any more): {line}\n\n{output}"
        position += 1

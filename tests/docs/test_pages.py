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
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    for part in ("dags", "plugins", "examples", "pod_templates"):
        shutil.copytree(ROOT / part, tmp_path / part)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("BASE_", "AIRFLOW"))}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "BASE_HOME": str(tmp_path / ".base_ops"),
        "BASE_CONFIG_DIR": str(tmp_path / "dags" / "config"),
        "BASE_PIPELINES_DIR": str(tmp_path / "dags" / "pipelines"),
        "AIRFLOW_HOME": str(tmp_path / ".airflow"),
        "COLUMNS": "150",
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

"""What several tests of the manifests need: the rendered objects, and the programs that render and check them."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
HELM = ROOT / "helm-values"
OVERLAYS = ("local", "staging", "prod")


def script(name: str) -> ModuleType:
    """A script of helm-values/ as a module."""
    spec = importlib.util.spec_from_file_location(f"rendering_{name}", HELM / name / "render.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table() -> dict[str, Any]:
    return dict(yaml.safe_load((HELM / "modules" / "table.yaml").read_text()))


def base() -> list[dict[str, Any]]:
    """All objects of modules/base, as they are in the repository."""
    files = sorted((HELM / "modules" / "base").glob("base-*.yaml"))
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


@cache
def kustomized(folder: Path) -> tuple[dict[str, Any], ...]:
    """What kustomize makes of a folder."""
    command = ["kubectl", "kustomize"] if shutil.which("kubectl") else ["kustomize", "build"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))

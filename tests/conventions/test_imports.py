"""Light at parse, heavy at work: who may import what, seen in a fresh interpreter."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import base_ops
from base_ops.core.ids import MODULES

PACKAGE = Path(base_ops.__file__).parent
HEAVY = ("polars", "pyarrow", "duckdb", "deltalake", "pandas", "numpy")


def modules_in(name: str) -> list[str]:
    """All modules of a package, by walking its folder."""
    folder = PACKAGE / name
    found = [f"base_ops.{name.replace('/', '.')}"]
    found += [m.name for m in pkgutil.walk_packages([str(folder)], prefix=f"{found[0]}.", onerror=lambda _: None)]
    return [m for m in found if not m.endswith("__main__") and ".migrations" not in m]


def files_named(stem: str) -> list[str]:
    return [f"base_ops.{m}.{stem}" for m in MODULES if (PACKAGE / m / f"{stem}.py").exists()]


def fences() -> Iterator[tuple[str, list[str], tuple[str, ...]]]:
    """(name, modules to import, what must not be loaded by it)."""
    jobs = [name for m in MODULES if (PACKAGE / m / "jobs").is_dir() for name in modules_in(f"{m}/jobs")]
    yield "core", modules_in("core"), ("airflow", "sqlalchemy", "alembic", "base_ops.worker", *HEAVY)
    specs = [name for m in MODULES if (PACKAGE / m / "specs").is_dir() for name in modules_in(f"{m}/specs")]
    yield "specs", specs, ("airflow", "sqlalchemy", "base_ops.worker", *HEAVY)
    options = [
        name
        for m in MODULES
        for f in ("config", "options")
        if (PACKAGE / m / f).is_dir()
        for name in modules_in(f"{m}/{f}")
    ]
    yield "options and their checks", options, ("airflow", "sqlalchemy", "base_ops.worker", *HEAVY)
    yield "operators", files_named("operators"), ("base_ops.worker", "kubernetes", *HEAVY)
    yield "orchestration", modules_in("orchestration"), ("base_ops.worker", "polars", "pyarrow", "duckdb", "deltalake")
    yield "worker", modules_in("worker"), ("airflow", "base_ops.orchestration")
    yield "jobs", jobs, ("airflow", "base_ops.orchestration")
    yield "state", modules_in("state"), ("airflow", "base_ops.worker", "base_ops.orchestration", *HEAVY)
    yield "worker entry point", ["base_ops.worker.main"], ("airflow", "sqlalchemy", *HEAVY)


@pytest.mark.parametrize(("modules", "forbidden"), [pytest.param(m, f, id=name) for name, m, f in fences()])
def test_fence(modules: list[str], forbidden: tuple[str, ...], tmp_path: Path) -> None:
    assert modules
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"bad = [m for m in {forbidden!r} if m in sys.modules]\n"
        "sys.exit(f'loaded: {bad}' if bad else 0)"
    )
    env = {"PATH": "", "AIRFLOW_HOME": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]

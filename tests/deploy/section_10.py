"""`make section-10-N`: what shows point N of section 10 ("done means"), as section_10.yaml lists it.

For point 1, where helm is installed and AIRFLOW_CHART names the official chart (a folder or an archive), the values of
every environment are rendered with it as well, and the objects checked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def points() -> dict[int, list[str]]:
    return dict(yaml.safe_load((HERE / "section_10.yaml").read_text()))


def main(point: int) -> None:
    shown = points()[point]
    tests = [entry for entry in shown if not entry.startswith("make ")]
    if tests:
        subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "", *tests], cwd=ROOT, check=True)
    for target in (entry for entry in shown if entry.startswith("make ")):
        subprocess.run(target.split(), cwd=ROOT, check=True)
    chart = os.environ.get("AIRFLOW_CHART")
    if point == 1 and chart and shutil.which("helm"):
        for environment in ("local", "staging", "prod"):
            check_rendering(chart, environment)


def check_rendering(chart: str, environment: str) -> None:
    """Render the official chart with our values; Kubernetes must take every object."""
    import kubernetes_validate

    files = [ROOT / "helm-values" / "airflow" / f"{name}.yaml" for name in ("values", environment)]
    values = [part for file in files for part in ("--values", str(file))]
    command = ["helm", "template", "airflow", chart, "--namespace", "airflow", *values]
    text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    objects = [item for item in yaml.safe_load_all(text) if item]
    for item in objects:
        kubernetes_validate.validate(item, "1.33", strict=True)
    print(f"{environment}: {len(objects)} objects")


if __name__ == "__main__":
    main(int(sys.argv[1]))

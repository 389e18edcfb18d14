"""`make ui`: Airflow with the DAGs loaded, its URL and login printed, everything stopped by Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import click

from base_ops.core.settings import load_settings
from base_ops.orchestration.testrun import ROOT, airflow_environment

_READY_S = 180


@click.command()
@click.option("--port", type=int, default=8080, show_default=True, help="Port on 127.0.0.1.")
def ui(port: int) -> None:
    """Start Airflow (SQLite, one machine) and wait for Ctrl-C."""
    home = load_settings().home.absolute() / "ui"
    home.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        **airflow_environment(home / "airflow"),
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "BASE_HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    log = home / "airflow.log"
    click.echo(f"starting Airflow (its log: {log}) …")
    with log.open("wb") as file:
        # A session of its own: Airflow's children survive a signal to their parent, not one to the group.
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", "standalone"],
            env=environment,
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    try:
        if not _wait(url, process):
            raise click.ClickException(f"Airflow did not come up; see the end of {log}")
        click.echo(f"\n  {url}\n  login: admin   password: {_password(home / 'airflow')}\n\nCtrl-C stops everything.")
        process.wait()
    except KeyboardInterrupt:
        click.echo("\nstopping …")
    finally:
        _stop(process)


def _wait(url: str, process: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + _READY_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/api/v2/monitor/health", timeout=2) as answer:  # noqa: S310 (loopback)
                health = json.load(answer)
                if all(
                    (health.get(part) or {}).get("status") == "healthy"
                    for part in ("metadatabase", "scheduler", "dag_processor")
                ):
                    return True
        except (urllib.error.URLError, OSError, ValueError):
            pass
        time.sleep(0.5)
    return False


def _password(airflow_home: Path) -> str:
    """SimpleAuthManager writes the generated password beside its database."""
    file = next(airflow_home.glob("simple_auth_manager_passwords.json*"), None)
    return str(json.loads(file.read_text()).get("admin")) if file else "see the log"


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number, patience_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            process.poll()
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.1)


if __name__ == "__main__":
    ui()

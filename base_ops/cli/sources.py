"""`base-ops sources check | login`: whether the declared sources can be reached, and consent given once by a person."""

from __future__ import annotations

import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from base_ops.cli.output import console, error_console, table
from base_ops.core.config import config_dir
from base_ops.core.errors import BaseOpsError, ConfigError
from base_ops.core.outcomes import Outcome
from base_ops.core.settings import load_settings
from base_ops.core.spec import is_template
from base_ops.data_ingestion.config.sources import load_source, source_ids

if TYPE_CHECKING:
    from base_ops.worker.connections.health import Standing
    from base_ops.worker.connectors.base import Site

_AT_ONCE = 8
_NOT_SET_UP = "unknown_connection"
_STEPS = ("resolve", "connect", "authenticate", "list")
_WORST = (Outcome.BUG, Outcome.CONFIG_ERROR, Outcome.DENIED, Outcome.BAD_INPUT, Outcome.TRANSIENT)


@click.group()
def sources() -> None:
    """The declared sources: whether they can be reached, and logging in to those that need a person once."""


@sources.command()
@click.option("--source", "only", multiple=True, metavar="ID", help="Only this source; may be repeated.")
@click.option(
    "--config-dir", "folder", type=click.Path(path_type=Path), help="Default: BASE_CONFIG_DIR or dags/config."
)
@click.option("--no-list", is_flag=True, help="Do not ask what there is to fetch.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def check(only: tuple[str, ...], folder: Path | None, no_list: bool, as_json: bool) -> None:
    """Test every declared source: resolve its name, connect, authenticate, list. Nothing is fetched.

    The exit code is that of the worst failure: 30 config error, 40 denied, 20 transient; 0 if all stand. A source whose
    connection is not defined here is listed as not set up; it fails the check only where --source names it.
    """
    where = folder or config_dir()
    names = list(only) or source_ids(where)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda name: look_at(name, where, listing=not no_list), names))
    if as_json:
        click.echo(json.dumps([_as_json(name, standing) for name, standing in zip(names, found, strict=True)]))
    else:
        _print(names, found)
    faults = [fault for standing in found if (fault := _fault(standing)) is not None]
    outcomes = {fault.outcome for fault in faults if only or fault.code != _NOT_SET_UP}
    sys.exit(next((kind.exit_code for kind in _WORST if kind in outcomes), 0))


@sources.command()
@click.argument("url")
@click.option(
    "--sample", type=click.Path(path_type=Path), help="A file with the first bytes of what the source answers."
)
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header of its answer.")
@click.option("--conn-type", default="", help="Type of the Airflow connection, where there is one.")
@click.option("--id", "source_id", default="my_source", show_default=True, help="Id for the draft.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def detect(
    url: str, sample: Path | None, headers: tuple[str, ...], conn_type: str, source_id: str, as_json: bool
) -> None:
    """Tell what kind of source URL is (an address, host:port or path), and draft its YAML. Nothing is asked of it."""
    import yaml

    from base_ops.cli.propose import clues_of, print_notes, show
    from base_ops.data_ingestion.models.source_detection.detect import detect as detected
    from base_ops.data_ingestion.models.source_detection.propose import propose

    clues = clues_of(url, sample, headers, conn_type)
    found = detected(clues)
    draft = propose(found.kind, clues, source_id)
    if as_json:
        click.echo(json.dumps({**asdict(found), "source": draft.source, "notes": draft.notes}))
        return
    show(found)
    if draft.source is not None:
        click.echo(yaml.safe_dump(draft.source, sort_keys=False, allow_unicode=True, width=110))
    print_notes(draft.notes)


def look_at(name: str, folder: Path, *, listing: bool = True) -> Standing | BaseOpsError:
    """How one source stands; what is wrong before it could be asked is the error itself."""
    from base_ops.data_ingestion.options.connections import ConnectorChecks
    from base_ops.worker.connections.health import Inspector, Standing

    with tempfile.TemporaryDirectory(prefix="base-ops-") as scratch:
        try:
            raw = load_source(name, folder)
            if (rendered := _templated(raw)) is not None:
                return Standing(name, facts={"not_checked": f"{rendered} is known only in a run"})
            site = _site(raw, Path(scratch))
            return Inspector(site, ConnectorChecks(tries=1, list=listing)).look()
        except BaseOpsError as error:
            return error


def _site(raw: dict[str, Any], scratch: Path) -> Site:
    from base_ops.data_ingestion.options.sources.source import SourceSpec
    from base_ops.worker.connections.credentials import Keyring
    from base_ops.worker.connectors.base import Site
    from base_ops.worker.secrets import Secrets

    settings, source = load_settings(), SourceSpec.model_validate(raw)
    secrets = Secrets(settings.connections)
    found = secrets.connection(source.connection) if source.connection else None
    keyring = Keyring(settings.home.absolute() / "tokens", secrets.remember)
    return Site(source=source, scratch=scratch, connection=found, env=settings.env, keyring=keyring)


def _templated(value: Any, path: str = "") -> str | None:
    """The first key whose value is only known when a DAG runs."""
    if isinstance(value, dict):
        items = [(f"{path}.{key}" if path else str(key), item) for key, item in value.items()]
        return next((found for key, item in items if (found := _templated(item, key)) is not None), None)
    if isinstance(value, list):
        return next((found for item in value if (found := _templated(item, path)) is not None), None)
    return path if is_template(value) else None


def _fault(standing: Standing | BaseOpsError) -> BaseOpsError | None:
    return standing if isinstance(standing, BaseOpsError) else standing.error


def _as_json(name: str, standing: Standing | BaseOpsError) -> dict[str, Any]:
    fault = _fault(standing)
    told: dict[str, Any] = {"source": name, "ok": fault is None}
    if not isinstance(standing, BaseOpsError):
        told |= dict(standing.facts)
        told["steps"] = [{"name": s.name, "seconds": round(s.seconds, 4), "told": s.told} for s in standing.steps]
        told["findings"] = [finding.model_dump() for finding in standing.findings]
    if fault is not None:
        told["set_up"] = fault.code != _NOT_SET_UP
        told["error"] = {"code": fault.code, "outcome": str(fault.outcome), "text": fault.text()}
    return told


def _print(names: list[str], found: list[Standing | BaseOpsError]) -> None:
    rows = [(name, *_cells(standing)) for name, standing in zip(names, found, strict=True)]
    table("Sources", ("source", *_STEPS, "verdict"), rows)
    waiting = []
    for name, standing in zip(names, found, strict=True):
        fault = _fault(standing)
        if fault is not None and fault.code == _NOT_SET_UP:
            waiting.append(name)
        elif fault is not None:
            error_console.print(f"{name}: {fault.text()}", style="red", markup=False)
        if not isinstance(standing, BaseOpsError):
            for finding in standing.findings:
                console.print(f"{name}: note [{finding.code}] {finding.message}", markup=False)
    if waiting:
        folder = load_settings().connections
        console.print(
            f"{len(waiting)} sources are not set up. To do: define each one's connection in Airflow (airflow "
            f"connections add <name> …), or as {folder}/<name>.json; what its template needs: base-ops schema "
            "data_ingestion.connector. Sources that no pipeline names need none.",
            markup=False,
        )


def _cells(standing: Standing | BaseOpsError) -> tuple[str, ...]:
    if isinstance(standing, BaseOpsError):
        verdict = f"not set up: connection {standing.found}" if standing.code == _NOT_SET_UP else standing.code
        return *("–" for _ in _STEPS), verdict
    if "not_checked" in standing.facts:
        return *("–" for _ in _STEPS), f"not checked: {standing.facts['not_checked']}"
    done = {step.name: f"{step.told} ({step.seconds * 1000:.0f} ms)" for step in standing.steps}
    verdict = "ok" if standing.error is None else str(standing.error.outcome)
    return *(done.get(name, "–") for name in _STEPS), verdict


@sources.command()
@click.option("--source", "name", required=True, metavar="ID", help="The source.")
@click.option(
    "--config-dir", "folder", type=click.Path(path_type=Path), help="Default: BASE_CONFIG_DIR or dags/config."
)
def login(name: str, folder: Path | None) -> None:
    """Give consent once, for sources with the OAuth 2.0 grants authorization_code and device_code.

    The refresh token that is obtained is written to the connection's own file, readable by its owner alone, in the
    folder of connections; store it from there where your deployment keeps its secrets.
    """
    from base_ops.data_ingestion.options.authentication import OAuth2Template
    from base_ops.worker.connections import oauth
    from base_ops.worker.connections.consent import code_from_browser
    from base_ops.worker.connections.credentials import credentials_of

    with tempfile.TemporaryDirectory(prefix="base-ops-") as scratch:
        credentials = replace(credentials_of(_site(load_source(name, folder), Path(scratch))))
    template = credentials.template
    if not isinstance(template, OAuth2Template) or template.grant == "client_credentials":
        raise ConfigError(
            f"source {name}: nobody has to consent",
            code="no_consent_needed",
            where=credentials.where,
            expected="authentication of kind oauth2, grant authorization_code or device_code",
        )
    if template.grant == "device_code":
        token = oauth.device_login(credentials, lambda url, code: click.echo(f"Open {url} and enter the code {code}"))
    else:
        url, state, verifier = oauth.consent_url(credentials)
        click.echo(f"Open this in your browser:\n{url}")
        token = oauth.exchange_code(credentials, code_from_browser(template.redirect_uri, state), verifier)
    if not token.refresh:
        raise credentials.denied("no refresh token was issued", "no_refresh_token", "ask for offline access in scopes")
    target = _keep_refresh_token(credentials.connection.name, token.refresh)
    console.print(f"Consent given. The refresh token is in {target}")


def _keep_refresh_token(connection: str, refresh: str) -> Path:
    """Beside what the connection's file says already."""
    import os

    folder = load_settings().connections
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = folder / f"{connection}.json"
    known = json.loads(target.read_text()) if target.is_file() else {}
    extra = known.get("extra") or {}
    extra = json.loads(extra) if isinstance(extra, str) else dict(extra)
    text = json.dumps({**known, "extra": {**extra, "refresh_token": refresh}}, indent=1)
    staged = target.with_name(f".{target.name}.new")
    staged.unlink(missing_ok=True)
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    staged.replace(target)
    return target

"""`base-ops replay`: records that were set aside go through again, corrected or as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from base_ops.cli.output import console, table
from base_ops.core.errors import ConfigError
from base_ops.core.ids import uuid7
from base_ops.core.settings import load_settings

if TYPE_CHECKING:
    from base_ops.data_ingestion.options.reading import ReadSpec
    from base_ops.worker.lake.store import Store
    from base_ops.worker.replay import Rejects


@click.command()
@click.argument("quarantine", required=False)
@click.option(
    "--export",
    "export_to",
    type=click.Path(path_type=Path),
    help="Write the raw records to this file, to correct them.",
)
@click.option("--corrected", type=click.Path(exists=True, path_type=Path), help="The file with the corrected records.")
def replay(quarantine: str | None, export_to: Path | None, corrected: Path | None) -> None:
    """Send the records of QUARANTINE (an id, or a folder that a run printed) through the pipeline again.

    Without QUARANTINE, all there are in the lake are listed with their ids. Without options the raw records land
    again as they are, to be re-checked by rules that have changed. To correct them: --export FILE, edit it,
    --corrected FILE. The next run of the pipeline takes them in.
    """
    from base_ops.worker.lake.store import Store
    from base_ops.worker.replay import land, lines_of, rejects_of

    if quarantine is None:
        _list(Store(load_settings().lake))
        return
    if export_to and corrected:
        raise ConfigError("--export and --corrected exclude each other", code="bad_option")
    lake, folder = _folder_in_lake(quarantine)
    store = Store(lake)
    attempt = uuid7()
    rejects = rejects_of(store, folder, _read_spec(store, folder), attempt)
    for line in lines_of(rejects):
        console.print(f"  {line}", markup=False)
    if export_to:
        _one(rejects, "--export")
        export_to.write_bytes(rejects[0].content)
        console.print(
            f"Wrote {export_to}. Correct it, then: base-ops replay {quarantine} --corrected {export_to}", markup=False
        )
        return
    if corrected:
        _one(rejects, "--corrected")
    for item in rejects:
        entry = land(store, item, corrected.read_bytes() if corrected else item.content, attempt)
        if entry is None:
            console.print(f"{item.source}: the same records landed before; nothing to do", markup=False)
        else:
            console.print(
                f"{item.source}: {len(item.lines)} records landed as entry {entry.sequence} of its log", markup=False
            )
    console.print("Next: run the pipeline; it takes in what has landed.")


def _one(rejects: list[Rejects], option: str) -> None:
    if len(rejects) != 1:
        raise ConfigError(
            f"{option} works on one object at a time; this quarantine speaks of {len(rejects)}",
            code="several_objects",
            todo="name a sub-folder of it",
        )


def _list(store: Store) -> None:
    """Every quarantine folder: its id, dataset, records, rules and what it speaks of."""
    from base_ops.worker.lake.quarantine import quarantine_folders, read_quarantine

    rows = []
    for folder in quarantine_folders(store):
        records = read_quarantine(store, folder)
        _, dataset, key, _ = folder.split("/")
        rules = ", ".join(f"{n} × {rule}" for rule, n in sorted(records["rule"].value_counts().rows()))
        rows.append(
            (key[:12], dataset, int(records["records"].sum()), rules, str(records["object"][0]).rpartition("/lake/")[2])
        )
    table("Quarantine", ("id", "dataset", "records", "rules", "object"), rows, numbers=("records",))


def _folder_in_lake(quarantine: str) -> tuple[str, str]:
    """(lake URL, folder inside it) of a quarantine's id, URI or path.

    Raises:
        ConfigError: an id that fits none, or several.
    """
    from base_ops.worker.lake.quarantine import quarantine_folders
    from base_ops.worker.lake.store import Store

    if "/" not in quarantine:
        lake = load_settings().lake
        found = [f for f in quarantine_folders(Store(lake)) if f.split("/")[2].startswith(quarantine)]
        if len(found) != 1:
            raise ConfigError(
                f"{quarantine!r} is the id of {len(found) or 'no'} quarantine in {lake}",
                code="unknown_quarantine",
                todo="base-ops replay lists them all",
            )
        return lake, found[0]
    text = quarantine if "://" in quarantine else str(Path(quarantine).absolute())
    lake, separator, rest = text.rpartition("/quarantine/")
    if not separator:
        raise ConfigError(f"{quarantine!r} is not a quarantine folder", code="unknown_quarantine")
    return lake, f"quarantine/{rest.rstrip('/')}"


def _read_spec(store: Store, folder: str) -> ReadSpec:
    """How the records' source is read: from its configuration."""
    from base_ops.data_ingestion.config.sources import load_source
    from base_ops.data_ingestion.options.reading import ReadSpec
    from base_ops.worker.lake.quarantine import read_quarantine

    uri = str(read_quarantine(store, folder)["object"][0])
    source = uri.partition("/landing/")[2].split("/", 1)[0]
    raw = load_source(source)
    read = ReadSpec.model_validate(raw.get("read") or {})
    if read.records is None and raw.get("http"):
        read = read.model_copy(update={"records": raw["http"].get("records")})
    return read

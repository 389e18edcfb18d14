"""Files in local folders, through the collector's connector."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import StillClock

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connectors import open_connector
from base_ops.worker.connectors.base import Fetched, Report, Site
from base_ops.worker.connectors.local import LocalFiles
from base_ops.worker.lake.landing import History, LandedObject, LandingEntry


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


def site(drop: Path, pattern: str = "**/*.csv", clock: StillClock | None = None, **source: Any) -> Site:
    files = {"path": f"{drop}/{pattern}", "stable_s": source.pop("stable_s", 0)}
    scratch = drop.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return Site(SourceSpec(id="s", files=files, **source), scratch, clock=clock or StillClock())  # type: ignore[arg-type]


def fetch(where: Site, history: History | None = None) -> tuple[dict[str, bytes], Report]:
    taken: dict[str, bytes] = {}

    def keep(fetched: Fetched) -> None:
        taken[fetched.path] = fetched.local.read_bytes()

    return taken, open_connector(where).fetch(history or History(), keep)


def codes(report: Report) -> dict[str, int]:
    return {f.code: int(str(f.data["objects"])) for f in report.all_findings()}


def test_what_is_taken_and_what_is_passed_over(drop: Path, tmp_path: Path) -> None:
    (drop / "sub").mkdir()
    (drop / ".git").mkdir()
    (tmp_path / "outside.csv").write_bytes(b"secret")
    (tmp_path / "elsewhere").mkdir()
    for name in ("a.csv", "sub/b.csv", "c.txt", "d.csv.part", "e.csv.TMP", ".f.csv", ".git/g.csv"):
        (drop / name).write_bytes(name.encode())
    (drop / "empty.csv").touch()
    (drop / "inside.csv").symlink_to(drop / "a.csv")
    (drop / "out.csv").symlink_to(tmp_path / "outside.csv")
    (drop / "folder").symlink_to(tmp_path / "elsewhere")
    (drop / "broken.csv").symlink_to(drop / "nothing.csv")
    os.mkfifo(drop / "pipe.csv")
    taken, report = fetch(site(drop))
    assert taken == {"a.csv": b"a.csv", "sub/b.csv": b"sub/b.csv", "inside.csv": b"a.csv"}
    assert codes(report) == {"temporary_file": 2, "hidden_file": 2, "empty_file": 1, "link_refused": 3}
    assert list((tmp_path / "scratch").iterdir()) != []


def test_a_folder_means_all_below_it(drop: Path) -> None:
    (drop / "sub").mkdir()
    (drop / "sub" / "x").write_bytes(b"1")
    assert list(fetch(site(drop, ""))[0]) == ["sub/x"]
    assert list(fetch(site(drop.parent, "drop"))[0]) == ["sub/x"]


def test_captures_become_labels(drop: Path) -> None:
    (drop / "EURUSD_1.csv").write_bytes(b"1")
    seen: list[Fetched] = []
    LocalFiles(site(drop, "{symbol}_{day}.csv")).fetch(History(), seen.append)
    assert [f.labels for f in seen] == [{"symbol": "EURUSD", "day": "1"}]
    assert seen[0].suffix == ".csv"


@pytest.mark.parametrize(
    ("path", "suffix"),
    [
        ("a/b.CSV.gz", ".csv.gz"),
        ("x.2025.zip", ".zip"),
        ("x", ""),
        ("x.", ""),
        ("x.a-b", ""),
        ("/v1/q#s/page-00001", ""),
    ],
)
def test_suffix_is_a_harmless_hint(path: str, suffix: str) -> None:
    assert Fetched(path, Path(), "", 0).suffix == suffix


def test_names_that_are_no_unicode_are_shown(drop: Path) -> None:
    Path(os.fsdecode(os.fsencode(drop) + b"/\xff.csv")).write_bytes(b"1")
    assert fetch(site(drop))[0] == {"\\xff.csv": b"1"}


def test_a_file_that_changed_just_now_waits(drop: Path) -> None:
    (drop / "a.csv").write_bytes(b"1")
    now = datetime.now(UTC)
    taken, report = fetch(site(drop, clock=StillClock(now + timedelta(seconds=30)), stable_s=60))
    assert (taken, codes(report)) == ({}, {"unstable_file": 1})
    assert list(fetch(site(drop, clock=StillClock(now + timedelta(seconds=90)), stable_s=60))[0]) == ["a.csv"]


def landed(where: Site) -> History:
    """The history after one collect of everything there is."""
    objects: list[LandedObject] = []

    def keep(f: Fetched) -> None:
        objects.append(LandedObject(path=f.path, stored="x", sha256=f.sha256, bytes=f.bytes, modified=f.modified))

    LocalFiles(where).fetch(History(), keep)
    return History([LandingEntry(sequence=1, source="s", objects=objects)])


def test_unchanged_files_are_not_read_again(drop: Path) -> None:
    (drop / "a.csv").write_bytes(b"1")
    (drop / "b.csv").write_bytes(b"2")
    history = landed(site(drop))
    assert fetch(site(drop), history)[1].unchanged == 2
    (drop / "a.csv").write_bytes(b"3")  # same size
    taken, report = fetch(site(drop), history)
    assert (taken, report.unchanged) == ({"a.csv": b"3"}, 1)


def test_a_copied_time_stamp_does_not_hide_a_change(drop: Path) -> None:
    file = drop / "a.csv"
    file.write_bytes(b"1")
    os.utime(file, ns=(10**18, 10**18))
    history = landed(site(drop))
    file.write_bytes(b"2")
    os.utime(file, ns=(10**18, 10**18))
    assert fetch(site(drop), history)[0] == {"a.csv": b"2"}


def test_a_file_written_this_moment_is_read_again(drop: Path) -> None:
    """Time stamps are coarse: a second write in the same tick would go unseen."""
    (drop / "a.csv").write_bytes(b"1")
    history = landed(site(drop, clock=StillClock(datetime.now(UTC))))
    assert list(fetch(site(drop), history)[0]) == ["a.csv"]


def _grow(file: Path) -> None:
    with file.open("ab") as handle:
        handle.write(b"more")


def _replace(file: Path) -> None:
    (file.parent / "other").write_bytes(file.read_bytes())
    (file.parent / "other").replace(file)


def _link_away(file: Path) -> None:
    (file.parent.parent / "secret").write_bytes(b"secret")
    file.unlink()
    file.symlink_to(file.parent.parent / "secret")


def _pipe(file: Path) -> None:
    """Opening it would wait for a writer for ever."""
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize("change", [_grow, _replace, Path.unlink, _link_away, _pipe])
def test_a_file_that_changes_after_it_was_listed_is_left(drop: Path, change: Any) -> None:
    (drop / "a.csv").write_bytes(b"1")

    class Meddled(LocalFiles):
        def listed(self) -> Iterator[Any]:
            listed = list(super().listed())
            change(drop / "a.csv")
            return iter(listed)

    seen: list[Fetched] = []
    report = Meddled(site(drop)).fetch(History(), seen.append)
    assert seen == []
    assert codes(report) == {"changed_while_read": 1}
    assert list((drop.parent / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("pattern", "source", "kind", "code"),
    [
        ("*.csv", {"max_object_bytes": 3}, BadInput, "object_too_large"),
        ("nowhere/*.csv", {}, ConfigError, "no_such_folder"),
        ("{A}.csv", {}, ConfigError, "bad_pattern"),
    ],
)
def test_refused(drop: Path, pattern: str, source: dict[str, Any], kind: type[BaseOpsError], code: str) -> None:
    (drop / "a.csv").write_bytes(b"1234")
    with pytest.raises(kind) as error:
        fetch(site(drop, pattern, **source))
    assert error.value.code == code


def test_unknown_protocols_are_named_with_what_is_known(drop: Path) -> None:
    where = Site(SourceSpec(id="s", files={"path": "gopher://host/x"}), drop)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="Known: abfs, "):
        open_connector(where)

"""Files on servers: one contract for all, kept by real servers (WebHDFS: simulated)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import StillClock, collected, connect
from fakes.file_servers import PASSWORD, PEERS, Peer, asyncssh_server, free_port, ftp_server

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connectors import open_connector
from base_ops.worker.connectors.base import Fetched, Report, Site
from base_ops.worker.connectors.files import Files
from base_ops.worker.lake.landing import History, LandedObject, LandingEntry

pytestmark = pytest.mark.server
CUT = [name for name in PEERS if name != "openssh"]
"""Servers that can be told to break off; OpenSSH cannot, asyncssh stands for it."""


@pytest.fixture(scope="module", params=PEERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    folder, work = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("work")
    with PEERS[request.param](folder, work) as peer:
        yield peer


@pytest.fixture
def peer(server: Peer, request: pytest.FixtureRequest) -> Peer:
    """The server, and a folder of one's own on it."""
    name = f"d{abs(hash(request.node.nodeid)):x}"
    (server.folder / name).mkdir()
    return replace(server, folder=server.folder / name, base=f"{server.base}/{name}".lstrip("/"))


def site(peer: Peer, tmp_path: Path, pattern: str, **more: Any) -> Site:
    files = {
        "path": f"{peer.scheme}:///{peer.base.lstrip('/')}/{pattern}".replace("////", "///"),
        **more.pop("files", {}),
    }
    outer = {k: more.pop(k) for k in ("env", "mode", "clock", "connection") if k in more}
    source = SourceSpec.model_validate({"id": "s", "files": files, **more})
    return Site(source, tmp_path, **{"connection": peer.connection, "clock": StillClock(), **outer})


def fetch(where: Site, history: History | None = None) -> tuple[dict[str, bytes], Report, History]:
    taken: dict[str, bytes] = {}
    objects: list[LandedObject] = []

    def keep(f: Fetched) -> None:
        taken[f.path] = f.local.read_bytes()
        objects.append(LandedObject(path=f.path, stored="", sha256=f.sha256, bytes=f.bytes, etag=f.etag, modified=f.modified))  # fmt: skip

    report = open_connector(where).fetch(history or History(), keep)
    return taken, report, History([LandingEntry(sequence=1, source="s", objects=objects)])


def codes(report: Report) -> list[str]:
    return sorted(f.code for f in report.all_findings())


def test_matching_files_are_fetched(peer: Peer, tmp_path: Path) -> None:
    big = bytes(range(256)) * 80_000  # several blocks
    files = {"EURUSD.csv": b"1", "EURGBP.csv": big, "EUR ü#1%.csv": b"2", "USDJPY.csv": b"3", "EURZ.csv.part": b"6"}
    for name, body in files.items():
        (peer.folder / name).write_bytes(body)
    (peer.folder / "EUR0.csv").touch()
    (peer.folder / ".EURH.csv").write_bytes(b"h")
    (peer.folder / "EURF.csv").mkdir()
    taken, report, _ = fetch(site(peer, tmp_path, "EUR{quote}.csv"))
    assert taken == {"EURUSD.csv": b"1", "EURGBP.csv": big, "EUR ü#1%.csv": b"2"}
    assert [code for code in codes(report) if code != "hidden_file"] == ["empty_file", "temporary_file"]


def test_files_below_folders(peer: Peer, tmp_path: Path) -> None:
    for name in ("a/b/c.csv", "a/d.csv", "e.csv", "a/f.txt"):
        (peer.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (peer.folder / name).write_bytes(name.encode())
    assert fetch(site(peer, tmp_path, "**/*.csv"))[0].keys() == {"a/b/c.csv", "a/d.csv", "e.csv"}
    assert fetch(site(peer, tmp_path, "{folder}/*.csv"))[0] == {"a/d.csv": b"a/d.csv"}
    assert fetch(site(peer, tmp_path, "a/"))[0].keys() == {"b/c.csv", "d.csv", "f.txt"}


def test_many_at_once(peer: Peer, tmp_path: Path) -> None:
    for n in range(30):
        (peer.folder / f"{n}.csv").write_bytes(str(n).encode())
    taken = fetch(site(peer, tmp_path, "*.csv", files={"downloads": 10}))[0]
    assert taken == {f"{n}.csv": str(n).encode() for n in range(30)}


def test_unchanged_files_are_not_read_again(peer: Peer, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (peer.folder / name).write_bytes(b"1")
    _, _, history = fetch(site(peer, tmp_path, "*.csv"))
    (peer.folder / "b.csv").write_bytes(b"22")
    taken, report, _ = fetch(site(peer, tmp_path, "*.csv"), history)
    assert (taken, report.unchanged) == ({"b.csv": b"22"}, 1)


def test_a_file_that_still_grows_is_left(peer: Peer, tmp_path: Path) -> None:
    """Whatever its time of change says: uploads may set it."""
    for name in ("still.csv", "grows.csv"):
        (peer.folder / name).write_bytes(b"1")
        os.utime(peer.folder / name, (1e9, 1e9))

    class Meanwhile(StillClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            (peer.folder / "grows.csv").write_bytes(b"12")
            os.utime(peer.folder / "grows.csv", (1e9, 1e9))

    clock = Meanwhile()
    taken, report, _ = fetch(site(peer, tmp_path, "*.csv", files={"stable_s": 30}, clock=clock))
    assert (taken.keys(), codes(report), clock.slept) == ({"still.csv"}, ["unstable_file"], [30])


@pytest.mark.parametrize("change", ["grow", "rewrite", "delete"])
def test_a_file_that_changes_after_it_was_listed_is_left(change: str, peer: Peer, tmp_path: Path) -> None:
    file = peer.folder / "a.csv"
    file.write_bytes(b"1")
    where = site(peer, tmp_path, "*.csv")
    made: Any = open_connector(where)
    listed = list(made._listing())
    if change == "delete":
        file.unlink()
    else:
        file.write_bytes(b"12" if change == "grow" else b"2")
        os.utime(file, (2e9, 2e9))
    made.listed = lambda: listed
    seen: list[Fetched] = []
    report = made.fetch(History(), seen.append)
    assert (seen, codes(report), list(tmp_path.iterdir())) == ([], ["changed_while_read"], [])


@pytest.mark.parametrize("server", CUT, indirect=True)
def test_a_download_that_breaks_off_goes_on_where_it_did(peer: Peer, tmp_path: Path) -> None:
    assert peer.cut_at is not None
    body = os.urandom(20 << 20)
    (peer.folder / "a.csv").write_bytes(body)
    peer.cut_at.append(12 << 20)
    taken, report, _ = fetch(site(peer, tmp_path, "*.csv"))
    assert (taken["a.csv"] == body, report.retries, peer.cut_at) == (True, 1, [])


@pytest.mark.parametrize("server", CUT, indirect=True)
def test_a_version_is_never_mixed_with_another(peer: Peer, tmp_path: Path) -> None:
    """Replaced by one of the same size while the first download was broken off."""
    file = peer.folder / "a.csv"
    file.write_bytes(b"1" * (20 << 20))

    class Meanwhile(StillClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            file.write_bytes(b"2" * (20 << 20))
            os.utime(file, (2e9, 2e9))

    assert peer.cut_at is not None
    peer.cut_at.append(12 << 20)
    taken, report, _ = fetch(site(peer, tmp_path, "*.csv", clock=Meanwhile()))
    assert (taken, codes(report)) == ({}, ["changed_while_read"])


def test_a_folder_that_is_not_there(peer: Peer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        fetch(site(peer, tmp_path, "nothing/*.csv"))
    assert error.value.code == "no_such_folder"


def test_wrong_credentials_are_denied_at_once(peer: Peer, tmp_path: Path) -> None:
    clock = StillClock()
    extra = {k: v for k, v in peer.connection.extra.items() if k != "private_key"}
    wrong = replace(
        peer.connection, login="nobody", password="" if peer.scheme == "hdfs" else "wrong-1234", extra=extra
    )
    with pytest.raises(Denied) as error:
        fetch(site(peer, tmp_path, "*.csv", connection=wrong, clock=clock))
    assert clock.slept == []
    assert "connection drop" in error.value.where
    assert "wrong-1234" not in error.value.text()


def test_nothing_answers(peer: Peer, tmp_path: Path) -> None:
    clock = StillClock()
    with pytest.raises(Transient):
        fetch(site(peer, tmp_path, "*.csv", connection=replace(peer.connection, port=free_port()), clock=clock))
    assert len(clock.slept) == 3


def test_from_server_to_lake(peer: Peer, tmp_path: Path) -> None:
    (peer.folder / "2025").mkdir()
    for symbol in ("EURUSD", "USDJPY"):
        (peer.folder / "2025" / f"{symbol}.csv").write_bytes(symbol.encode())
    c = peer.connection
    connect(tmp_path, "drop", host=c.host, port=c.port, login=c.login, password=c.password, extra={"scheme": c.scheme, **c.extra})  # fmt: skip
    path = site(peer, tmp_path, "{year}/{symbol}.csv").files.path
    source = {"id": "s", "connection": "drop", "files": {"path": path}, "slice": "{symbol}"}
    output = collected(tmp_path, source)
    assert [(r.slice, Path(r.uri).read_bytes()) for r in output.outputs] == [
        ("EURUSD", b"EURUSD"),
        ("USDJPY", b"USDJPY"),
    ]
    assert collected(tmp_path, source).steps[0].observations["objects_new"] == 0
    assert PASSWORD not in "".join(f.read_text() for f in (tmp_path / "lake").rglob("*") if f.is_file())


# -- who is at the other end


def without(peer: Peer, **extra: Any) -> Any:
    return replace(
        peer.connection, extra={**{k: v for k, v in peer.connection.extra.items() if k != "host_key"}, **extra}
    )


@pytest.mark.parametrize(
    ("extra", "env", "kind", "code"),
    [
        ({}, "dev", ConfigError, "unknown_host_key"),
        ({"no_host_key_check": True}, "prod", ConfigError, "unknown_host_key"),
        ({"host_key": "ssh-ed25519 AAAA"}, "prod", ConfigError, "bad_key"),
        ({"host_key": "other"}, "dev", Denied, "host_key_mismatch"),
        ({"host_key": "other", "no_host_key_check": True}, "dev", Denied, "host_key_mismatch"),
    ],
)
def test_a_server_that_cannot_prove_itself_sees_no_password(
    extra: dict[str, Any], env: str, kind: type[BaseOpsError], code: str, tmp_path: Path
) -> None:
    import asyncssh

    if extra.get("host_key") == "other":
        extra = {**extra, "host_key": asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()}
    with asyncssh_server(tmp_path) as peer, pytest.raises(kind) as error:
        fetch(site(peer, tmp_path, "*.csv", connection=without(peer, **extra), env=env))
    assert (error.value.code, PASSWORD in error.value.text()) == (code, False)


def test_any_server_in_dev_if_the_connection_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"1")
    with asyncssh_server(tmp_path) as peer:
        assert fetch(site(peer, tmp_path, "*.csv", connection=without(peer, no_host_key_check=True)))[0] == {
            "a.csv": b"1"
        }


def test_a_certificate_nobody_vouches_for(tmp_path: Path) -> None:
    with ftp_server(tmp_path, tmp_path, tls=True) as peer, pytest.raises(ConfigError) as error:
        fetch(site(peer, tmp_path, "*.csv", connection=replace(peer.connection, extra={})))
    assert error.value.code == "bad_certificate"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("ftp://elsewhere/*.csv", "bad_url"),
        ("ftp://files", "bad_url"),
        ("ftp:///in/*.csv", "insecure_url"),
    ],
)
def test_refused_before_asking(path: str, code: str, tmp_path: Path) -> None:
    from base_ops.worker.secrets import ConnectionInfo

    source = SourceSpec.model_validate({"id": "s", "files": {"path": path}})
    with pytest.raises(ConfigError) as error:
        open_connector(Site(source, tmp_path, ConnectionInfo("c", "files", login="me", password="pw-1234"), env="prod"))
    assert (error.value.code, "pw" in error.value.text()) == (code, False)


def test_all_files_share_one_shape() -> None:
    from base_ops.worker.connectors import abfs, ftp, gs, hdfs, local, s3, sftp

    assert all(issubclass(module.CONNECTOR, Files) for module in (abfs, ftp, gs, hdfs, local, s3, sftp))

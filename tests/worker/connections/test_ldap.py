"""LDAPS against OpenLDAP's own server."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fakes.certificates import Authority

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.config.sources import fill_template
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connections.credentials import Credentials
from base_ops.worker.connections.ldap import bind
from base_ops.worker.secrets import ConnectionInfo

pytestmark = pytest.mark.server
_SLAPD = "/usr/sbin/slapd"
_CONFIG = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {folder}/slapd.pid
moduleload back_mdb
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/cert.pem
TLSCertificateKeyFile {folder}/key.pem
database mdb
maxsize 10485760
suffix "dc=example,dc=com"
directory {folder}/db
"""
_PEOPLE = """\
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: uid=me,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: me
cn: me
sn: me
userPassword: pass-word-of-mine
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Authority]]:
    """(port, authority) of a running slapd with one person in it."""
    folder, authority = tmp_path_factory.mktemp("slapd"), Authority()
    issued = authority.issue()
    (folder / "db").mkdir()
    (folder / "ca.pem").write_text(authority.certificate)
    (folder / "cert.pem").write_text(issued.certificate)
    (folder / "key.pem").write_text(issued.private_key)
    (folder / "slapd.conf").write_text(_CONFIG.format(folder=folder))
    (folder / "people.ldif").write_text(_PEOPLE)
    slapadd = shutil.which("slapadd") or "/usr/sbin/slapadd"
    subprocess.run(
        [slapadd, "-f", folder / "slapd.conf", "-l", folder / "people.ldif"], check=True, capture_output=True
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    # -d 0: stays in the foreground
    server = subprocess.Popen([_SLAPD, "-f", folder / "slapd.conf", "-h", f"ldaps://127.0.0.1:{port}/", "-d", "0"])
    _wait_for(port)
    yield port, authority
    server.terminate()
    server.wait(10)


def _wait_for(port: int) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("slapd did not start")


def credentials(port: int, ca: str, login: str = "me", password: str = "pass-word-of-mine", **more: Any) -> Credentials:
    filled = fill_template({"template": "openldap", **more})
    source = SourceSpec.model_validate({"id": "s", "http": {"path": "/"}, "authentication": filled})
    assert source.authentication is not None
    found = ConnectionInfo(
        "ldap", host="127.0.0.1", port=port, login=login, password=password, extra={"ca_certificate": ca}
    )
    return Credentials("s", found, source.authentication, "prod")


def asked(made: Credentials) -> None:
    bind(made, made.connection.host, made.connection.port)


def test_the_right_password_binds(directory: tuple[int, Authority]) -> None:
    port, authority = directory
    asked(credentials(port, authority.certificate))


CASES: dict[str, tuple[dict[str, Any], type[BaseOpsError]]] = {
    "wrong password": ({"password": "another-word"}, Denied),
    "nobody of that name": ({"login": "you"}, Denied),
    "a name that would leave its place": ({"login": "me,ou=people"}, Denied),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(case: str, directory: tuple[int, Authority]) -> None:
    port, authority = directory
    told, kind = CASES[case]
    with pytest.raises(kind) as caught:
        asked(credentials(port, authority.certificate, **told))
    assert "another-word" not in caught.value.text() and "openldap" in caught.value.where


def test_an_unknown_authority_gets_no_password(directory: tuple[int, Authority]) -> None:
    with pytest.raises(ConfigError) as caught:
        asked(credentials(directory[0], Authority().certificate))
    assert caught.value.code == "bad_certificate"


def test_nobody_there_is_transient(directory: tuple[int, Authority]) -> None:
    with pytest.raises(Transient):
        asked(credentials(1, directory[1].certificate))

"""Templates of clouds and of file servers, by the connectors that use them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fakes.certificates import Authority
from fakes.collecting import Asked, Reply, StillClock, serving
from fakes.file_servers import PASSWORD, asyncssh_server, ftp_server, openssh
from fakes.identity import CLIENT, SECRET, Provider, identity_provider
from fakes.s3 import client, s3_server

from base_ops.core.errors import BaseOpsError, ConfigError, Denied
from base_ops.data_ingestion.config.sources import fill_template
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connections import clouds, tokens
from base_ops.worker.connections.credentials import Keyring, credentials_of
from base_ops.worker.connectors import open_connector
from base_ops.worker.connectors.base import Fetched, Site
from base_ops.worker.lake.landing import History
from base_ops.worker.secrets import ConnectionInfo

ROLE = "arn:aws:iam::123456789012:role/reader"


def site(
    tmp_path: Path, found: ConnectionInfo, template: dict[str, Any] | None, source: dict[str, Any], **more: Any
) -> Site:
    block = {"authentication": fill_template(template)} if template else {}
    made = SourceSpec.model_validate({"id": "s", "connection": found.name, **block, **source})
    return Site(made, tmp_path, found, **{"clock": StillClock(), **more})


def fetch(where: Site) -> dict[str, bytes]:
    taken: dict[str, bytes] = {}

    def keep(fetched: Fetched) -> None:
        taken[fetched.path] = fetched.local.read_bytes()

    open_connector(where).fetch(History(), keep)
    return taken


# -- AWS


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with s3_server() as url:
        yield url


def in_aws(url: str, **more: Any) -> ConnectionInfo:
    extra = {"endpoint_url": url, "region_name": "us-east-1"}
    return ConnectionInfo("aws", login="test", password="test-secret", extra=extra, **more)


@pytest.mark.server
@pytest.mark.parametrize("role", ["", ROLE])
def test_s3_reads_as_the_template_says(role: str, aws: str, tmp_path: Path) -> None:
    bucket = f"b{uuid.uuid4().hex}"
    client(aws).create_bucket(Bucket=bucket)
    client(aws).put_object(Bucket=bucket, Key="a.csv", Body=b"1")
    where = site(
        tmp_path,
        in_aws(aws),
        {"template": "aws_iam", "role_arn": role, "endpoint_url": aws},
        {"files": {"path": f"s3://{bucket}/*.csv"}},
    )
    made: Any = open_connector(where)
    made.log_in()
    assert fetch(where) == {"a.csv": b"1"}
    kept = made.fs.session._credentials  # what signs the requests is the role's key, not the connection's
    assert (getattr(kept, "_access_key", kept.access_key if not role else "") == "test") is (role == "")


@pytest.mark.server
def test_a_role_is_assumed_anew_before_it_ends(aws: str, tmp_path: Path) -> None:
    from botocore.credentials import RefreshableCredentials
    from botocore.session import get_session

    remembered: list[str] = []
    template = {"template": "aws_iam", "role_arn": ROLE, "endpoint_url": aws}
    where = site(
        tmp_path, in_aws(aws), template, {"files": {"path": "s3://b/"}}, keyring=Keyring(remember=remembered.append)
    )
    credentials = credentials_of(where)
    ends = [datetime.now(UTC) + timedelta(seconds=30), datetime.now(UTC) + timedelta(hours=1)]
    real = clouds.assumed_role
    with patch.object(clouds, "assumed_role", lambda c: real(c) | {"expiry_time": ends.pop(0).isoformat()}):
        session = clouds.boto_session(credentials, get_session(), RefreshableCredentials)
        first = session._credentials._token  # `token` would renew it
        assert session._credentials.get_frozen_credentials().token != first and ends == []
    assert first in remembered, "a log would show it"


@pytest.mark.server
def test_kinesis_reads_as_a_role(aws: str, tmp_path: Path) -> None:
    import boto3

    name = f"k{uuid.uuid4().hex}"
    owner = boto3.client(
        "kinesis", endpoint_url=aws, region_name="us-east-1", aws_access_key_id="t", aws_secret_access_key="t"
    )
    owner.create_stream(StreamName=name, ShardCount=1)
    owner.put_record(StreamName=name, Data=b'{"id":1}', PartitionKey="k")
    template = {"template": "aws_iam", "role_arn": ROLE, "endpoint_url": aws}
    where = site(
        tmp_path,
        in_aws(aws),
        template,
        {"mode": "append", "kinesis": {"stream": name}},
        clock=StillClock(datetime.now(UTC)),
    )
    assert [json.loads(body)["value"] for body in fetch(where).values()] == [{"id": 1}]


def test_sts_that_refuses_is_denied(tmp_path: Path) -> None:
    body = b"<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>no</Message></Error></ErrorResponse>"
    with serving(lambda _: Reply(403, body, {"Content-Type": "text/xml"})) as server:
        template = {"template": "aws_iam", "endpoint_url": f"http://127.0.0.1:{server.port}"}
        made: Any = open_connector(site(tmp_path, in_aws("http://x"), template, {"files": {"path": "s3://b/"}}))
        with pytest.raises(Denied) as caught:
            made.log_in()
    assert "template aws_iam" in caught.value.where and "test-secret" not in caught.value.text()


# -- Google, Azure: bearer tokens of the shared cache


@pytest.fixture
def provider() -> Iterator[Provider]:
    tokens.forget_tokens()
    with identity_provider() as running:
        yield running


def test_gcs_takes_the_token_of_the_template(provider: Provider, tmp_path: Path) -> None:
    issued = Authority().issue("client")
    provider.public_keys["RS256"] = load_pem_private_key(issued.private_key.encode(), None).public_key()
    seen: list[str] = []

    def script(asked: Asked) -> Reply:
        seen.append(asked.headers.get("authorization", ""))
        if not seen[-1].startswith("Bearer ") or seen[-1][7:] not in provider.valid:
            return Reply(401)
        if asked.path.endswith("/o"):
            item = {"name": "a.csv", "size": "1", "generation": "7", "updated": "2024-01-05T00:00:00Z"}
            return Reply(body=json.dumps({"items": [item]}).encode())
        return Reply(206, b"1")

    with serving(script) as server:
        key = {"client_email": "me@project.example", "private_key": issued.private_key}
        extra = {"endpoint_url": f"http://127.0.0.1:{server.port}", "keyfile_dict": json.dumps(key)}
        template = {"template": "gcp_service_account", "token_url": f"{provider.url}/token"}
        where = site(
            tmp_path,
            ConnectionInfo("gcp", extra=extra),
            template,
            {"files": {"path": "gs://b/*.csv"}},
            clock=StillClock(datetime.now(UTC)),
        )
        assert fetch(where) == {"a.csv": b"1"}
    assert len(set(seen)) == 1 and len(provider.forms) == 1


def test_azure_takes_the_token_of_the_template(provider: Provider, tmp_path: Path) -> None:
    """Its library sends tokens over TLS only, so that what it is given is looked at here."""
    extra = {"tenant_id": "t", "account_name": "store"}
    template = {"template": "azure_service_principal", "token_url": f"{provider.url}/token"}
    found = ConnectionInfo("azure", login=CLIENT, password=SECRET, extra=extra)
    made: Any = open_connector(
        site(tmp_path, found, template, {"files": {"path": "abfs://c/*.csv"}}, clock=StillClock(datetime.now(UTC)))
    )
    assert made.client.url == "https://store.blob.core.windows.net/c"
    token = made.client.credential.get_token("https://storage.azure.com/.default")
    assert token.token in provider.valid and provider.forms[-1]["scope"] == "https://storage.azure.com/.default"
    with pytest.raises(ConfigError, match="storage account"):
        bare = ConnectionInfo("azure", login=CLIENT, password=SECRET, extra={"tenant_id": "t"})
        open_connector(site(tmp_path, bare, template, {"files": {"path": "abfs://c/*.csv"}}))


# -- file servers


@pytest.mark.server
def test_sftp_sends_the_password_or_shows_the_key(tmp_path: Path) -> None:
    folder, work = tmp_path / "served", tmp_path / "work"
    for made in (folder, work):
        made.mkdir()
    (folder / "a.csv").write_bytes(b"1")
    with asyncssh_server(folder) as peer:
        source = {"files": {"path": f"sftp:///{peer.base.lstrip('/')}/*.csv"}}
        assert fetch(site(tmp_path, peer.connection, {"template": "basic"}, source)) == {"a.csv": b"1"}
        assert refused(site(tmp_path, peer.connection, {"template": "ssh_key"}, source)).code == "no_credentials"
        assert peer.connection.password == PASSWORD
    with openssh(folder, work) as peer:
        source = {"files": {"path": f"sftp://{folder}/*.csv"}}
        assert fetch(site(tmp_path, peer.connection, {"template": "ssh_key"}, source, env="prod")) == {"a.csv": b"1"}
        assert refused(site(tmp_path, peer.connection, {"template": "basic"}, source)).code == "no_credentials"


@pytest.mark.server
def test_ftps_sends_the_password(tmp_path: Path) -> None:
    folder, work = tmp_path / "served", tmp_path / "work"
    for made in (folder, work):
        made.mkdir()
    (folder / "a.csv").write_bytes(b"1")
    with ftp_server(folder, work, tls=True) as peer:
        source = {"files": {"path": f"ftps:///{peer.base.lstrip('/')}/*.csv"}}
        where = site(tmp_path, peer.connection, {"template": "basic"}, source, env="prod")
        made: Any = open_connector(where)
        made.log_in()
        assert fetch(where) == {"a.csv": b"1"}


def refused(where: Site) -> BaseOpsError:
    with pytest.raises(BaseOpsError) as caught:
        fetch(where)
    return caught.value

"""Credentials of clouds as their client libraries take them: of the template's role or token, renewed as they end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from base_ops.core.errors import Transient, missing_extra
from base_ops.data_ingestion.options.authentication import CloudTemplate
from base_ops.worker.connections.credentials import Credentials, credentials_of
from base_ops.worker.connections.oauth import token_source

if TYPE_CHECKING:
    from base_ops.worker.connectors.base import Site


def aws_identity(site: Site) -> None:
    """See that AWS accepts the keys, or lets the role be assumed; a store of another maker has nobody to ask.

    Raises:
        Denied, Transient, ConfigError.
    """
    assert site.connection is not None
    if site.source.authentication is not None:
        credentials = credentials_of(site)
    else:
        credentials = Credentials(site.source.id, site.connection, CloudTemplate(), site.env)
    template = _template(credentials)
    if template.role_arn:
        assumed_role(credentials)
    elif template.endpoint_url or not credentials.find("endpoint_url"):
        _ask_sts(credentials, lambda sts: sts.get_caller_identity())


def aws_keys(credentials: Credentials) -> dict[str, Any]:
    """The connection's own keys (a pod's role where it has none) as boto3 names them."""
    return {
        "aws_access_key_id": credentials.find("login") or None,
        "aws_secret_access_key": credentials.find("password") or None,
        "aws_session_token": credentials.find("aws_session_token") or None,
    }


def assumed_role(credentials: Credentials) -> dict[str, str]:
    """Temporary keys of the template's role, as botocore's refreshable credentials want them.

    Raises:
        Denied: refused. Transient: STS is not there.
    """
    template = _template(credentials)
    answer = _ask_sts(
        credentials,
        lambda sts: sts.assume_role(
            RoleArn=template.role_arn, RoleSessionName="base-ops", DurationSeconds=template.lifetime_s
        ),
    )["Credentials"]
    for name in ("SecretAccessKey", "SessionToken"):
        credentials.keyring.remember(answer[name])
    return {
        "access_key": answer["AccessKeyId"],
        "secret_key": answer["SecretAccessKey"],
        "token": answer["SessionToken"],
        "expiry_time": answer["Expiration"].isoformat(),
    }


def boto_session(credentials: Credentials, session: Any, refreshable: Any) -> Any:
    """A session of botocore or aiobotocore with the template's credentials; a role is assumed anew as it ends.

    Args:
        refreshable: the library's class of refreshable credentials.
    """
    keys = aws_keys(credentials)
    if not _template(credentials).role_arn:
        if keys["aws_access_key_id"]:
            session.set_credentials(*keys.values())
        return session
    session._credentials = refreshable.create_from_metadata(
        metadata=assumed_role(credentials), refresh_using=_refresher(credentials, refreshable), method="base-ops"
    )
    return session


def _refresher(credentials: Credentials, kind: Any) -> Any:
    async def later() -> dict[str, str]:
        return assumed_role(credentials)

    return later if kind.__name__.startswith("Aio") else lambda: assumed_role(credentials)


def region_of(credentials: Credentials) -> str | None:
    """The template's region, else the connection's."""
    return _template(credentials).region or credentials.find("region_name") or None


def _template(credentials: Credentials) -> CloudTemplate:
    assert isinstance(credentials.template, CloudTemplate)
    return credentials.template


def _ask_sts(credentials: Credentials, ask: Any) -> Any:
    try:
        import boto3
    except ImportError:
        raise missing_extra("boto3", "s3", f"the template {credentials.name}") from None
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        session = boto3.Session(**aws_keys(credentials), region_name=region_of(credentials) or "us-east-1")
        wait = Config(connect_timeout=10, read_timeout=30, retries={"total_max_attempts": 3})
        return ask(session.client("sts", endpoint_url=_template(credentials).endpoint_url or None, config=wait))
    except ClientError as error:
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status in (400, 401, 403) and code != "Throttling":
            raise credentials.denied(code) from None
        raise _away(credentials, code) from None
    except NoCredentialsError:
        raise credentials.fault(
            "There are no credentials for AWS",
            "no_credentials",
            expected="login and password in the connection, or a role of the pod",
        ) from None
    except BotoCoreError as error:
        raise _away(credentials, type(error).__name__) from None


def _away(credentials: Credentials, found: str) -> Transient:
    return Transient("AWS STS cannot be reached", code="unreachable", where=credentials.where, found=found)


class AzureToken:
    """`azure.core.credentials.TokenCredential`, from the token cache that all templates share."""

    def __init__(self, credentials: Credentials) -> None:
        self._tokens = token_source(credentials)

    def get_token(self, *_scopes: str, **_options: Any) -> Any:
        from azure.core.credentials import AccessToken

        token = self._tokens.current()
        return AccessToken(token.value, int(token.expires_at))


def google_credentials(credentials: Credentials) -> Any:
    """Credentials of google-auth, from the token cache that all templates share."""
    from google.auth.credentials import Credentials as GoogleCredentials

    tokens = token_source(credentials)

    class FromTemplate(GoogleCredentials):  # type: ignore[misc, no-untyped-call]
        def refresh(self, request: Any) -> None:
            token = tokens.current()
            self.token = token.value
            self.expiry = datetime.fromtimestamp(token.expires_at, UTC).replace(tzinfo=None)  # the library has no zones

    made = FromTemplate()
    made.refresh(None)
    return made

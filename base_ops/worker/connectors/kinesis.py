"""Kinesis data streams: read shard by shard from the sequence numbers in the landing log, exactly once.

The cursor is `{stream: {shard: {"after": sequence number, "at": arrival of that record}}}` and moves in the entry of
the landing log that lands the records. Shards that a split or merge closed are read to their end before those that
came from them. Kinesis does not tell that records expired unread; where the last record read is older than what the
stream keeps, that is taken as loss (`lost`). A line has `stream`, `shard`, `sequence_number`, `timestamp` (of arrival),
`key` (the partition key), `headers` (none) and `value`. Records that the Kinesis Producer Library packed together are
one message each: take them with `value: bytes`.

The connection's login and password are the access key; without one the environment's; extra: region_name,
endpoint_url. The template `aws_iam` can assume a role. Tested against a simulated Kinesis (moto).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.sources.streams import KinesisSpec
from base_ops.worker.backoff import Backoff, retry
from base_ops.worker.connections.clouds import aws_identity, boto_session, region_of
from base_ops.worker.connections.credentials import Credentials, credentials_of
from base_ops.worker.connectors.base import Keep, Report, Site
from base_ops.worker.connectors.extras import require
from base_ops.worker.connectors.streams.envelope import Envelope, json_time
from base_ops.worker.connectors.streams.taking import Taking
from base_ops.worker.failpoints import failpoint
from base_ops.worker.lake.landing import History

_TRIES = 5
_MOST = 10_000
"""Records that one request may ask for."""
_DENIED = {"AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"}
_DENIED |= {"IncompleteSignature", "InvalidClientTokenId", "MissingAuthenticationTokenException"}
_LATER = {"ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException"}
_LATER |= {"InternalFailure", "InternalServerError", "ServiceUnavailable", "ThrottlingException"}


class KinesisStream:
    """Takes what the shards hold behind the cursor."""

    def __init__(self, site: Site) -> None:
        require("boto3", "kinesis")
        self.site = site
        self.spec: KinesisSpec = site.source.kinesis  # type: ignore[assignment]
        self.where = f"source {site.source.id}, kinesis stream {self.spec.stream}"
        self.findings: list[Finding] = []

    def fetch(self, history: History, keep: Keep) -> Report:
        taking = Taking(self.site, self.spec, history, keep, Envelope(self.spec.value, extra="kinesis"))
        before = history.cursor if isinstance(history.cursor, dict) else {}
        known = before.get(self.spec.stream)
        after: dict[str, Any] = dict(known) if isinstance(known, dict) else {}
        with self._errors():
            client = self._client()
            keeps = self._keeps(client)
            ended: set[str] = set()
            shards = self._shards(client)
            for shard in _parents_first(shards):
                if taking.left <= 0:
                    break
                parents = {shard.get("ParentShardId"), shard.get("AdjacentParentShardId")} & {
                    s["ShardId"] for s in shards
                }
                if parents <= ended and self._read(client, shard["ShardId"], after, keeps, taking):
                    ended.add(shard["ShardId"])
        report = taking.finish()
        report.findings += self.findings
        report.cursor_after = {**before, self.spec.stream: after}
        return report

    def probe(self) -> str:
        """How many shards there are."""
        with self._errors():
            return f"{len(self._shards(self._client()))} shards"

    def _keeps(self, client: Any) -> timedelta:
        facts = self._ask(client.describe_stream_summary, StreamName=self.spec.stream)
        return timedelta(hours=facts["StreamDescriptionSummary"]["RetentionPeriodHours"])

    def _shards(self, client: Any) -> list[dict[str, Any]]:
        asked: dict[str, Any] = {"StreamName": self.spec.stream}
        found: list[dict[str, Any]] = []
        while True:
            answer = self._ask(client.list_shards, **asked)
            found += answer["Shards"]
            if not answer.get("NextToken"):
                return found
            asked = {"NextToken": answer["NextToken"]}

    def _read(self, client: Any, shard: str, after: dict[str, Any], keeps: timedelta, taking: Taking) -> bool:
        """Take a shard's records up to now; whether it is closed and was read to its end."""
        begin = self._begin(shard, after.get(shard), keeps)
        place = self._ask(client.get_shard_iterator, StreamName=self.spec.stream, ShardId=shard, **begin)
        iterator = place["ShardIterator"]
        while iterator and (left := taking.left) > 0:
            answer = self._ask(client.get_records, ShardIterator=iterator, Limit=min(left, _MOST))
            for record in answer["Records"]:
                after[shard] = self._take(record, shard, taking)
            failpoint("kinesis.batch_taken")
            iterator = answer.get("NextShardIterator")
            if iterator and not answer["Records"] and not answer.get("MillisBehindLatest"):
                return False
        return not iterator

    def _begin(self, shard: str, known: Any, keeps: timedelta) -> dict[str, Any]:
        if isinstance(known, dict) and isinstance(known.get("after"), str):
            self._check_kept(shard, known, keeps)
            return {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": known["after"]}
        if (moment := self.spec.start_time) is not None:
            return {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": moment}
        return {"ShardIteratorType": "TRIM_HORIZON"}

    def _check_kept(self, shard: str, known: dict[str, Any], keeps: timedelta) -> None:
        at = datetime.fromisoformat(known["at"])
        if self.site.clock.now() - at <= keeps:
            return
        found = f"the last record read arrived {at.isoformat()}, the stream keeps {keeps}"
        if self.spec.lost == "refuse":
            raise BadInput(
                "Records may have expired that were not read",
                code="messages_lost",
                where=f"{self.where}, {shard}",
                found=found,
                todo="lost: go_on takes the earliest there is; longer retention and more frequent runs avoid it",
            )
        self.findings.append(Finding(code="messages_lost", severity="error", message=f"{shard}: {found}"))

    def _take(self, record: dict[str, Any], shard: str, taking: Taking) -> dict[str, str]:
        at: datetime = record["ApproximateArrivalTimestamp"].astimezone(UTC)
        number = record["SequenceNumber"]
        facts = taking.envelope.members(stream=self.spec.stream, shard=shard, sequence_number=number)
        facts += b',"timestamp":' + json_time(round(at.timestamp() * 1000))
        taking.take(facts, (), bytes(record["Data"]), record["PartitionKey"].encode())
        return {"after": number, "at": at.isoformat()}

    # -- connecting

    def log_in(self) -> None:
        """See that the credentials are accepted."""
        aws_identity(self.site)

    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        found = self.site.connection
        extra = found.extra if found else {}
        timeout_s = self.site.source.connecting.resolved().connect_s
        own = found is not None and bool(found.login)
        if self.site.source.authentication is not None:
            credentials = credentials_of(self.site)
            session, region = _session(credentials), region_of(credentials)
        else:
            session, region = (
                boto3.Session(
                    aws_access_key_id=found.login if own and found else None,
                    aws_secret_access_key=found.password if own and found else None,
                    aws_session_token=extra.get("aws_session_token"),
                ),
                extra.get("region_name"),
            )
        return session.client(
            "kinesis",
            region_name=region,
            endpoint_url=extra.get("endpoint_url"),
            config=Config(connect_timeout=timeout_s, read_timeout=timeout_s, retries={"total_max_attempts": 1}),
        )

    def _ask(self, call: Any, **asked: Any) -> Any:
        """One request, tried again while the service is not ready."""

        def once() -> Any:
            with self._errors():
                return call(**asked)

        return retry(once, tries=_TRIES, backoff=Backoff(), clock=self.site.clock, longest_wait_s=0)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Tell the library's errors apart; their texts are not passed on."""
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

        by = f"connection {self.site.connection.name}" if self.site.connection else "the environment's credentials"
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _DENIED:
                raise self._error(Denied, f"Kinesis refused {by}", "forbidden", code) from None
            if code == "ResourceNotFoundException":
                raise self._error(ConfigError, "The stream does not exist", "no_such_stream", code) from None
            kind = Transient if code in _LATER or code == "ExpiredIteratorException" else ConfigError
            raise self._error(kind, "Kinesis could not be read", "kinesis_failed", code) from None
        except (NoCredentialsError, NoRegionError) as error:
            what = "There are no credentials, or no region, for Kinesis"
            raise self._error(ConfigError, what, "no_credentials", type(error).__name__) from None
        except BotoCoreError as error:
            raise self._error(Transient, "Kinesis cannot be reached", "unreachable", type(error).__name__) from None

    def _error(self, kind: Any, what: str, code: str, found: str) -> BaseOpsError:
        error: BaseOpsError = kind(what, code=code, where=self.where, found=found)
        return error


CONNECTOR = KinesisStream


def _session(credentials: Credentials) -> Any:
    """One that renews the credentials of the template's role."""
    import boto3
    from botocore.credentials import RefreshableCredentials
    from botocore.session import get_session

    return boto3.Session(botocore_session=boto_session(credentials, get_session(), RefreshableCredentials))


def _parents_first(shards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Shards come into being with growing numbers, so that parents are before their children."""
    return sorted(shards, key=lambda shard: str(shard["ShardId"]))

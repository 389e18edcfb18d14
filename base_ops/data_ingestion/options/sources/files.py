"""Files: here, on a server, or in an object store."""

from __future__ import annotations

from pydantic import Field

from base_ops.data_ingestion.options.sources.base import Address, ProtocolSpec


class FilesSpec(ProtocolSpec):
    """Files under a folder, here or on a server, or a prefix of an object store."""

    path: Address
    """Local path, s3://bucket/…, gs://bucket/…, abfs://container/…, sftp:///…, ftp:///…, ftps:///… or hdfs:///… with
    `*`, `**` and captures such as {symbol} or {date}; `…/`: all below. Servers' hosts come from the connection."""
    stable_s: float = Field(0.0, ge=0)
    """A file must be unchanged for this long before it is taken, seconds; on SFTP, FTP and HDFS servers, whose times
    say little, it must be the same at two looks this far apart."""
    downloads: int = Field(5, ge=1, le=10)
    """Files fetched at once from a server."""

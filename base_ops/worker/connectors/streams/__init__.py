"""What the connectors of streams share: messages as JSON lines, dead letters, and messages that come again.

A landed object is NDJSON, one line per message: what the broker says about it (Kafka: topic, partition, offset,
timestamp, tombstone), `key`, `headers` (a list of name and value, since names may repeat) and `value`. With
`value: json` the payload stands in the line letter by letter, so that the converter types its fields as columns
`value.<field>`; with `text` it is a string, with `bytes` base64.

A message that is not what `value` (or `key`) says is set aside as a dead letter: an object of its own, named in the
same entry of the landing log that moves the cursor, each line with the reason and all bytes as base64.
"""

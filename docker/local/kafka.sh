#!/usr/bin/env bash
# KAFKA_NODE_ID=1 becomes node.id=1 and so on, as the official image reads them.
set -euo pipefail
env | sed -n 's/^KAFKA_//p' | while IFS='=' read -r name value; do
  name=${name,,}
  echo "${name//_/.}=$value"
done >/tmp/server.properties
java=(java -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "/opt/kafka/libs/*")
data=$(sed -n 's/^log.dirs=//p' /tmp/server.properties)
[ -f "$data/meta.properties" ] || "${java[@]}" kafka.tools.StorageTool format --cluster-id AAAAAAAAAAAAAAAAAAAAAA --config /tmp/server.properties
exec "${java[@]}" kafka.Kafka /tmp/server.properties

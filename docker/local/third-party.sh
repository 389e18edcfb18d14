#!/usr/bin/env bash
# The local images that compose.local.yaml puts in the place of third parties' ones. Usage: third-party.sh BASE_IMAGE
set -euo pipefail
cd "$(dirname "$0")/../.."
DOCKER=${DOCKER:-docker}
read -ra FLAGS <<<"${BUILD_FLAGS:-}"
for name in postgres s3; do
  tar -c --exclude=__pycache__ docker | $DOCKER build --quiet "${FLAGS[@]}" --file "docker/local/$name.Dockerfile" \
    --tag "base-ops-local/$name:1" --build-arg "BASE_IMAGE=$1" - >/dev/null
done

#!/usr/bin/env bash
# The local images that compose.local.yaml puts in the place of third parties' ones. Usage: third-party.sh BASE_IMAGE [NAME…]
# Names: postgres and s3 by default; kafka (needs Maven), prometheus (needs Go), mlflow (the project's own Dockerfile).
set -euo pipefail
cd "$(dirname "$0")/../.."
DOCKER=${DOCKER:-docker}
base=$1
shift
[ $# -gt 0 ] || set -- postgres s3
read -ra FLAGS <<<"${BUILD_FLAGS:-}"
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp -r docker "$context"
for name in "$@"; do
  file=docker/local/$name.Dockerfile image=base-ops-local/$name:1
  case $name in
  kafka) mvn -q -B -f tests/fakes/kafka_jars/pom.xml dependency:copy-dependencies -DoutputDirectory="$context/jars" ;;
  prometheus) GOBIN=$context CGO_ENABLED=0 go install github.com/prometheus/statsd_exporter@v0.28.0 ;;
  mlflow) file=docker/mlflow.Dockerfile image=base-ops-mlflow:$TAG ;;
  esac
  tar -C "$context" -c --exclude=__pycache__ . | $DOCKER build --quiet "${FLAGS[@]}" --file "$file" --tag "$image" \
    --build-arg "BASE_IMAGE=$base" - >/dev/null
done

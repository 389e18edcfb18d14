#!/usr/bin/env bash
# `make stack-test`: builds the images on a base made here, looks at them (tests/deploy/images.py) and brings the stack
# up with them (stack.py). `make profiles-test` (stack_test.sh profiles): its profiles instead (stack_profiles.py). Needs root on a Debian machine; what is missing is installed; a Docker engine of its own is
# started where none answers, and ended. Nothing waits for ever: after STACK_TEST_S seconds (2400) all is ended.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${STACK_TEST_UNTIL:-}" ]; then
  STACK_TEST_UNTIL=set exec timeout --kill-after=60 "${STACK_TEST_S:-2400}" "$0" "$@"
fi
need() { # command, packages
  command -v "$1" >/dev/null && return
  [ -n "${UPDATED:-}" ] || { apt-get update -qq && UPDATED=1; }
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${@:2}" >/dev/null
}
need dockerd docker.io
need docker-compose docker-compose
need debootstrap debootstrap
need iptables iptables

# The client that came with the engine: another one may lack what it needs to build.
export DOCKER=/usr/bin/docker DOCKER_BUILDKIT=0
if ! $DOCKER info >/dev/null 2>&1; then
  work=$(mktemp -d)
  export DOCKER_HOST=unix://$work/docker.sock
  dockerd --host "$DOCKER_HOST" --data-root "${DOCKER_DATA:-$work/data}" --exec-root "$work/exec" --pidfile "$work/pid" >"$work/log" 2>&1 &
  engine=$!
  stop_engine() {
    { kill $engine && wait $engine; umount "$work"/exec/netns/*; rm -rf "$work"; } 2>/dev/null || true
  }
  trap stop_engine EXIT
  for _ in $(seq 60); do $DOCKER info >/dev/null 2>&1 && break || sleep 0.5; done
  $DOCKER info >/dev/null 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }
fi

base=base-ops-local/base:1
docker/local/base.sh "$base"
export BASE_IMAGE=$base BUILD_FLAGS="--network=host" TAG=stack-test OVERRIDE=docker/compose.local.yaml
docker/images.sh
docker/local/third-party.sh "$base"
export SCHEDULES=False
if [ "${1:-}" = profiles ]; then
  need mvn maven default-jre-headless
  need go golang-go
  docker/local/third-party.sh "$base" kafka prometheus mlflow
  python3 tests/deploy/stack_profiles.py
else
  python3 tests/deploy/stack_profiles.py --render
  python3 tests/deploy/images.py "$TAG"
  python3 tests/deploy/stack.py
fi

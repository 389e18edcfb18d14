#!/usr/bin/env bash
# Builds the images with plain `docker build`: worker, airflow and, of both, dev. Prints their sizes.
#
#   PROFILES     of the dev stack; with `ml` MLflow's image too
#   BASE_IMAGE   a Debian-like image with Python >= 3.11 and its venv module
#   TAG          default: the version of base_ops
#   BUILD_FLAGS  more arguments of docker build, e.g. --network=host or --no-cache
#
# The context is a tar of what the images need, in one order and with one date: the same files, the same context.
set -euo pipefail
cd "$(dirname "$0")/.."
DOCKER=${DOCKER:-docker}
BASE_IMAGE=${BASE_IMAGE:-python:3.11-slim-bookworm}
VERSION=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' base_ops/__init__.py)
TAG=${TAG:-$VERSION}
REVISION=${REVISION:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
read -ra FLAGS <<<"${BUILD_FLAGS:-}"

context() {
  tar --create --sort=name --mtime="@$EPOCH" --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw,a-s \
    --exclude=__pycache__ --exclude='*.pyc' \
    docker requirements base_ops dags plugins pod_templates pyproject.toml README.md LICENSE
}

build() { # name, more arguments
  local name=$1
  shift
  context | $DOCKER build --quiet "${FLAGS[@]}" --file "docker/$name.Dockerfile" --tag "base-ops-$name:$TAG" \
    --build-arg "VERSION=$VERSION" --build-arg "REVISION=$REVISION" "$@" - >/dev/null
  printf '%-28s %6s MB\n' "base-ops-$name:$TAG" "$($DOCKER image inspect --format '{{.Size}}' "base-ops-$name:$TAG" | awk '{printf "%d", $1 / 1e6}')"
}

build worker --build-arg "BASE_IMAGE=$BASE_IMAGE" --build-arg "SOURCE_DATE_EPOCH=$EPOCH"
build airflow --build-arg "BASE_IMAGE=$BASE_IMAGE" --build-arg "SOURCE_DATE_EPOCH=$EPOCH"
build dev --build-arg "AIRFLOW_IMAGE=base-ops-airflow:$TAG" --build-arg "WORKER_IMAGE=base-ops-worker:$TAG"
case " ${PROFILES:-} " in *" ml "*) build mlflow --build-arg "BASE_IMAGE=$BASE_IMAGE" ;; esac

#!/usr/bin/env bash
# The dev stack: stack.sh up | down | logs | compose …
#   PROFILES   more profiles, e.g. PROFILES="ml observability"
#   QUIET      anything: do not print the logins
#   OVERRIDE   one more compose file, e.g. docker/compose.local.yaml
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${COMPOSE:-}" ]; then
  if command -v docker-compose >/dev/null; then COMPOSE=docker-compose; else COMPOSE="docker compose"; fi
fi
read -ra COMMAND <<<"$COMPOSE -f docker-compose.yaml${OVERRIDE:+ -f $OVERRIDE}"
for profile in ${PROFILES:-}; do COMMAND+=(--profile "$profile"); done
setting() { sed -n "s/^$1=//p" .env; }

wait_healthy() { # seconds
  local end=$((SECONDS + $1)) sick
  while :; do
    sick=$("${COMMAND[@]}" ps -q | xargs -r "${DOCKER:-docker}" inspect --format \
      '{{.Name}} {{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}} {{.State.ExitCode}}' |
      grep -vE ' healthy 0$|-init[_-]1 exited 0$' || true)
    [ -z "$sick" ] && return
    if [ $SECONDS -gt $end ]; then
      echo "not healthy after $1 s:" "$sick" >&2
      return 1
    fi
    sleep 2
  done
}

case ${1:-} in
up)
  python3 docker/make_env.py
  case " ${PROFILES:-} " in *" observability "*) export STATSD_ON=True ;; esac
  case " ${PROFILES:-} " in *" ml "*) export BASE_MLFLOW_TRACKING_URI=http://mlflow:5000 ;; esac
  case " ${PROFILES:-} " in *" cluster "*) export BASE_RUNNER=kubernetes ;; esac
  "${COMMAND[@]}" up --detach --no-build
  wait_healthy "${PATIENCE:-300}"
  case " ${PROFILES:-} " in *" cluster "*)  # no registry is needed: the worker's image goes straight in
    "${DOCKER:-docker}" save "base-ops-worker:${TAG:-$(setting TAG)}" | "${COMMAND[@]}" exec -T k3s ctr images import - ;;
  esac
  [ -z "${QUIET:-}" ] || exit 0
  echo
  echo "  Airflow     http://127.0.0.1:$(setting AIRFLOW_PORT)   login: admin   password: $(setting AIRFLOW_ADMIN_PASSWORD)"
  echo "  S3          http://127.0.0.1:$(setting S3_PORT)   key: $(setting S3_ACCESS_KEY)   secret: $(setting S3_SECRET_KEY)   lake: s3://base-ops/lake"
  for profile in ${PROFILES:-}; do
    case $profile in
    ml) echo "  MLflow      http://127.0.0.1:$(setting MLFLOW_PORT)" ;;
    streaming) echo "  Kafka       127.0.0.1:$(setting KAFKA_PORT)" ;;
    observability)
      echo "  Prometheus  http://127.0.0.1:$(setting PROMETHEUS_PORT)"
      echo "  Grafana     http://127.0.0.1:$(setting GRAFANA_PORT)   login: admin   password: $(setting GRAFANA_PASSWORD)" ;;
    cluster) echo "  Kubernetes  https://127.0.0.1:$(setting K3S_PORT)" ;;
    esac
  done
  ;;
down) "${COMMAND[@]}" down --remove-orphans "${@:2}" ;;
logs) "${COMMAND[@]}" logs --follow --tail 100 "${@:2}" ;;
compose) "${COMMAND[@]}" "${@:2}" ;;
*)
  echo "usage: stack.sh up | down | logs | compose …" >&2
  exit 2
  ;;
esac

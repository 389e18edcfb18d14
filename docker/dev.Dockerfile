# For the dev stack only: Airflow's image and beside it the worker's environment, so that the local runner has both.
ARG AIRFLOW_IMAGE=base-ops-airflow:dev
ARG WORKER_IMAGE=base-ops-worker:dev

FROM ${WORKER_IMAGE} AS worker

FROM ${AIRFLOW_IMAGE}
LABEL org.opencontainers.image.title="base-ops-dev" \
      org.opencontainers.image.description="Airflow with the worker's environment beside it, for the local runner"
COPY --from=worker /opt/base-ops/worker /opt/base-ops/worker
ENV BASE_WORKER_PYTHON=/opt/base-ops/worker/bin/python

# The MLflow server of the dev stack's profile `ml`, and of helm-values/mlflow.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="base-ops-mlflow" \
      org.opencontainers.image.description="MLflow tracking server"
COPY docker/mlflow.txt /tmp/mlflow.txt
RUN python3 -m venv /opt/mlflow && /opt/mlflow/bin/pip install --no-cache-dir --require-hashes -r /tmp/mlflow.txt \
    && useradd --uid 50000 --create-home mlflow && mkdir /data && chown mlflow /data
ENV PATH=/opt/mlflow/bin:$PATH
USER mlflow
EXPOSE 5000

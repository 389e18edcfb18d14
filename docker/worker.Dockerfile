# The image of jobs: base_ops and the engine. No Airflow is in it. Built by `make images`.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG SOURCE_DATE_EPOCH=0
ENV PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 UV_LINK_MODE=copy SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH}
WORKDIR /src
COPY docker/build.txt docker/finish.sh docker/
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --quiet --require-hashes -r docker/build.txt
COPY requirements/worker.txt requirements/
RUN /opt/build/bin/uv venv --quiet --python python3 /opt/base-ops/worker \
 && /opt/build/bin/uv pip install --quiet --python /opt/base-ops/worker --require-hashes -r requirements/worker.txt \
 && sh docker/finish.sh /opt/base-ops/worker
COPY pyproject.toml README.md LICENSE ./
COPY base_ops base_ops
RUN sh docker/finish.sh /opt/base-ops/worker /src

FROM ${BASE_IMAGE}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="base-ops-worker" \
      org.opencontainers.image.description="Runs one job of base_ops and ends" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN echo 'base:x:1000:1000::/tmp:/usr/sbin/nologin' >> /etc/passwd
COPY --from=build /opt/base-ops/worker /opt/base-ops/worker
ENV PATH=/opt/base-ops/worker/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp BASE_HOME=/tmp/base_ops
USER 1000:1000
WORKDIR /tmp
# A job serves nothing: healthy is a worker that can be started.
HEALTHCHECK --interval=60s --timeout=10s CMD ["python", "-m", "base_ops.worker", "--help"]
CMD ["python", "-m", "base_ops.worker", "--help"]

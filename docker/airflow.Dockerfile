# The image of Airflow's parts: API server, scheduler, DAG processor, triggerer. No engine (polars) is in it.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG SOURCE_DATE_EPOCH=0
ENV PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 UV_LINK_MODE=copy SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH}
WORKDIR /src
COPY docker/build.txt docker/finish.sh docker/
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --quiet --require-hashes -r docker/build.txt
COPY requirements/airflow.txt requirements/
RUN /opt/build/bin/uv venv --quiet --python python3 /opt/base-ops/airflow \
 && /opt/build/bin/uv pip install --quiet --python /opt/base-ops/airflow --require-hashes -r requirements/airflow.txt \
 && sh docker/finish.sh /opt/base-ops/airflow
COPY pyproject.toml README.md LICENSE ./
COPY base_ops base_ops
RUN sh docker/finish.sh /opt/base-ops/airflow /src \
 && mkdir -p /opt/airflow/logs /opt/airflow/base_ops && chown -R 1000:0 /opt/airflow && chmod -R g=u /opt/airflow

FROM ${BASE_IMAGE}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="base-ops-airflow" \
      org.opencontainers.image.description="Apache Airflow with the operators, DAGs and plugin of base_ops" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
# The chart's probes run `/entrypoint airflow jobs check …`, its log groomers `/clean-logs`: as Airflow's own image has.
RUN echo 'base:x:1000:0::/opt/airflow:/usr/sbin/nologin' >> /etc/passwd && ln -s /usr/bin/env /entrypoint
COPY --from=build /opt/base-ops/airflow /opt/base-ops/airflow
COPY --from=build --chown=1000:0 /opt/airflow /opt/airflow
COPY dags /opt/base-ops/dags
COPY plugins /opt/base-ops/plugins
COPY pod_templates /opt/base-ops/pod_templates
COPY docker/healthy.py docker/init.py /opt/base-ops/
COPY docker/clean-logs.sh /clean-logs
ENV PATH=/opt/base-ops/airflow/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOME=/opt/airflow AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/base-ops/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/base-ops/plugins \
    BASE_POD_TEMPLATES_DIR=/opt/base-ops/pod_templates
# The group is 0 as in Airflow's own image: the chart mounts volumes for that group.
USER 1000:0
WORKDIR /opt/airflow
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s CMD ["python", "/opt/base-ops/healthy.py", "metadatabase"]
CMD ["airflow", "api-server"]

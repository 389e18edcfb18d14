# Stands in for Prometheus and for its StatsD exporter where no registry answers: Debian's, and the exporter from its Go module.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus wget >/dev/null \
 && rm -rf /var/lib/apt/lists/* && mkdir -p /prometheus && chown 1000:1000 /prometheus
COPY statsd_exporter /usr/bin/
USER 1000:1000
WORKDIR /prometheus

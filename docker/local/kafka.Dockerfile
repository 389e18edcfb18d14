# Stands in for the official Kafka image where no registry answers: the same program from Maven, behind the same variables.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN mkdir -p /usr/share/man/man1 && apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends default-jre-headless >/dev/null \
 && rm -rf /var/lib/apt/lists/* && mkdir -p /var/lib/kafka/data && chown 1000:1000 /var/lib/kafka/data
COPY jars /opt/kafka/libs
COPY docker/local/kafka.sh /usr/local/bin/start-kafka
USER 1000:1000
CMD ["bash", "/usr/local/bin/start-kafka"]

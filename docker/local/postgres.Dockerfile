# Stands in for the official PostgreSQL image where no registry answers: Debian's, behind the same variables.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/* && mkdir -p /var/lib/postgresql/data \
 && chown postgres:postgres /var/lib/postgresql /var/lib/postgresql/data \
 && ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/
COPY docker/local/postgres.sh /usr/local/bin/start-postgres
USER postgres
CMD ["bash", "/usr/local/bin/start-postgres"]

# Stands in for SeaweedFS where no registry answers: an S3 server in Python, in memory, any key is good.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ENV PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1
COPY docker/build.txt docker/local/s3.txt /src/
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --quiet --require-hashes -r /src/build.txt \
 && /opt/build/bin/uv venv --quiet --python python3 /opt/s3 \
 && /opt/build/bin/uv pip install --quiet --python /opt/s3 --require-hashes -r /src/s3.txt
ENV PATH=/opt/s3/bin:/usr/local/bin:/usr/bin:/bin
USER 1000:1000
CMD ["moto_server", "--host", "0.0.0.0", "--port", "8333"]

#!/usr/bin/env bash
# A base image where no registry answers: Debian with Python, by debootstrap. Usage: base.sh IMAGE
#
# What this machine's pip needs to reach its index (certificates, configuration) goes into the image too.
set -euo pipefail
image=$1
DOCKER=${DOCKER:-docker}
$DOCKER image inspect "$image" >/dev/null 2>&1 && exit 0
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv "$suite" "$root" >/dev/null
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale,info}/*
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
[ -f /etc/pip.conf ] && cp /etc/pip.conf "$root/etc/pip.conf"
bundle=/etc/ssl/certs/ca-certificates.crt
tar -C "$root" -c . | $DOCKER import --change "ENV SSL_CERT_FILE=$bundle" --change "ENV PIP_CERT=$bundle" - "$image" >/dev/null

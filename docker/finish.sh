#!/bin/sh
# Ends a step of a build stage: `finish.sh ENVIRONMENT [WHEEL_SOURCE]` installs base_ops from there (if given), drops
# what nobody runs, and makes the files the same in every build: byte code by hash of its source, one date for all.
set -eu
packages=$(echo "$1"/lib/python3*/site-packages)
fresh=$packages
if [ $# -gt 1 ]; then
  (cd "$2" && /opt/build/bin/python -m hatchling build -t wheel -d /tmp/wheel >/dev/null)
  /opt/build/bin/uv pip install --quiet --no-deps --python "$1" /tmp/wheel/*.whl
  rm -f "$packages"/base_ops-*.dist-info/direct_url.json "$packages"/base_ops-*.dist-info/uv_cache.json
  fresh=$packages/base_ops
fi
find "$fresh" -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} +
rm -rf "$packages"/pyarrow/include "$packages"/pyarrow/src
# Some libraries hold templates that are no Python: they stay uncompiled.
"$1"/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash "$fresh" >/dev/null || true
find "$1" -newermt "@${SOURCE_DATE_EPOCH:-0}" -exec touch --no-dereference --date "@${SOURCE_DATE_EPOCH:-0}" {} +

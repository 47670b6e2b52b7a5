#!/usr/bin/env bash
# The report is tested in real Chromium; where it is absent and we may, Debian's package is installed.
set -u
command -v chromium >/dev/null && command -v chromedriver >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null && exit 0
fi
echo "Chromium is not installed: the browser tests will be skipped." >&2

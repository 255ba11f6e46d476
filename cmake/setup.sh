#!/bin/sh
# Installs the packages named on the command line that are missing: on Debian and its kin by apt-get, elsewhere it
# says which they are. Says what it does before it does it.
set -eu

if ! command -v dpkg-query >/dev/null 2>&1; then
  if command -v cmake >/dev/null 2>&1; then exit 0; fi  # cmake names what is missing, one line each
  echo "plumage: this is no Debian; install the equivalents of: $*" >&2
  exit 2
fi

missing=
for package in "$@"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ]; then sudo=; elif command -v sudo >/dev/null 2>&1; then sudo=sudo; else
  echo "plumage: missing packages, and neither root nor sudo to install them:$missing" >&2
  exit 2
fi
echo "plumage: installing from Debian:$missing"
$sudo apt-get update -q
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends $missing

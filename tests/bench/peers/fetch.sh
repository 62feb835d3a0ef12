#!/bin/sh
# Unpacks the servers of the bench into build/peers: nothing is installed, nothing is started.
set -eu
cd "$(dirname "$0")/../../.."
mkdir -p build/peers && cd build/peers
[ -e .fetched ] && exit 0
command -v apt-get >/dev/null 2>&1 || { echo "no apt-get: peers that are missing are left out"; exit 0; }
packages="redis-server redis-tools beanstalkd liblzf1 libjemalloc2 liblua5.1-0 lua-bitop lua-cjson"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || packages="$packages postgresql-15"
if apt-get download $packages >fetch.log 2>&1; then
    for package in *.deb; do dpkg -x "$package" . && rm "$package"; done
    touch .fetched
else
    echo "could not fetch the peers (build/peers/fetch.log); those that are missing are left out"
fi

#!/bin/sh
# Installs what Layover is compared with, and the load generator: what is missing, and only that.
# What cannot be installed here is explained; its columns are then left out of the tables.
set -u

# Also read by bench/distribution.ts.
tools=${LAYOVER_TOOLS:-$HOME/.cache/layover-tools/bin}
PATH=$tools:$HOME/go/bin:$PATH:/usr/local/go/bin:/usr/sbin:/sbin

say() { echo "bench/setup.sh: $*" >&2; }
missing() { ! command -v "$1" >/dev/null 2>&1; }

# Debian package : a program that it brings
packages=
for pair in nginx-light:nginx docker-registry:docker-registry wrk:wrk openssl:openssl util-linux:taskset redis-server:redis-server; do
  if missing "${pair#*:}"; then packages="$packages ${pair%:*}"; fi
done
if [ -n "$packages" ]; then
  if [ "$(id -u)" = 0 ] && ! missing apt-get; then
    say "installing Debian packages:$packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || say "apt-get update failed; trying with the lists at hand"
    for package in $packages; do
      apt-get install -qq -y --no-install-recommends "$package" >/dev/null || say "cannot install $package"
      # Debian starts what it installs; here only the program is wanted.
      case $package in
        nginx-light) systemctl disable --now nginx >/dev/null 2>&1 ;;
        redis-server) systemctl disable --now redis-server >/dev/null 2>&1 ;;
        docker-registry) systemctl disable --now docker-registry >/dev/null 2>&1 ;;
      esac
    done
  else
    say "cannot install$packages: needs root and apt-get; install them by hand"
  fi
fi

# go_tool <program> <module@version>
go_tool() {
  if ! missing "$1"; then return; fi
  if missing go; then
    say "cannot install $1: needs Go (https://go.dev/dl)"
    return
  fi
  say "building $2"
  mkdir -p "$tools"
  GOBIN=$tools CGO_ENABLED=0 go install "$2" || say "cannot install $1: go install $2 failed"
}
go_tool registry github.com/distribution/distribution/v3/cmd/registry@v3.1.2
go_tool versitygw github.com/versity/versitygw/cmd/versitygw@v1.8.0

for program in zot angos; do
  if missing "$program"; then say "$program is not on PATH and is left out"; fi
done
exit 0

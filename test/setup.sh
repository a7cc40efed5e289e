#!/bin/sh
# Installs the real clients that the end-to-end tests drive, and strace: what is missing, and only that.
# What cannot be installed here is explained and left out; its tests are then skipped (in CI they fail).
set -eu

# Also read by test/e2e/environment.ts.
tools=${LAYOVER_TOOLS:-$HOME/.cache/layover-tools/bin}
PATH=$tools:$HOME/go/bin:$PATH:/usr/local/go/bin:/usr/sbin:/sbin

say() { echo "test/setup.sh: $*" >&2; }
missing() { ! command -v "$1" >/dev/null 2>&1; }

# Debian package : a program that it brings
packages=
for pair in redis-server:redis-server skopeo:skopeo podman:podman buildah:buildah containerd:containerd docker-registry:docker-registry strace:strace; do
  if missing "${pair#*:}"; then packages="$packages ${pair%:*}"; fi
done
if [ -n "$packages" ]; then
  if [ "$(id -u)" = 0 ] && ! missing apt-get; then
    say "installing Debian packages:$packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || say "apt-get update failed; trying with the lists at hand"
    for package in $packages; do
      apt-get install -qq -y --no-install-recommends "$package" >/dev/null || say "cannot install $package"
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
go_tool crane github.com/google/go-containerregistry/cmd/crane@v0.22.1
go_tool regctl github.com/regclient/regclient/cmd/regctl@v0.11.7
go_tool helm helm.sh/helm/v3/cmd/helm@v3.22.0
go_tool registry github.com/distribution/distribution/v3/cmd/registry@v3.1.2
go_tool versitygw github.com/versity/versitygw/cmd/versitygw@v1.8.0

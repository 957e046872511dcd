#!/usr/bin/env bash
# Builds the control plane that the cluster tests run against, once per user: etcd, kube-apiserver and kubectl from
# their Go modules. Prints the folder that they are in. Cold it takes about four minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")"

TOOLS=(k8s.io/kubernetes/cmd/kube-apiserver go.etcd.io/etcd/server/v3 k8s.io/kubernetes/cmd/kubectl)
VERSION=1.36.3

cache=${XDG_CACHE_HOME:-$HOME/.cache}/fairlead
key=$(cat go.mod go.sum build.sh | sha256sum | cut -c1-12)
bin=$cache/kube-$key
if [ -x "$bin/kube-apiserver" ] && [ -x "$bin/etcd" ] && [ -x "$bin/kubectl" ]; then
  echo "$bin"
  exit 0
fi
if ! command -v go >/dev/null; then
  echo "The cluster tests build Kubernetes from its Go modules and need Go 1.26 or newer on the PATH." >&2
  exit 1
fi
mkdir -p "$cache"
exec 9>"$cache/kube.lock"
flock 9 # another test run may be building: then this one finds its result
if [ ! -x "$bin/kubectl" ]; then
  echo "Building etcd, kube-apiserver $VERSION and kubectl from Go modules (once, about four minutes) …" >&2
  work=$(mktemp -d "$cache/kube-build-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  flags="-s -w -X k8s.io/component-base/version.gitVersion=v$VERSION"
  flags+=" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"
  CGO_ENABLED=0 GOFLAGS='' GOBIN="$work" go install -trimpath -ldflags "$flags" "${TOOLS[@]}" >&2
  mv "$work/server" "$work/etcd"
  mv -T "$work" "$bin"
fi
echo "$bin"

#!/usr/bin/env bash
# Builds what the cluster tests run against, once per user: etcd, the Kubernetes control plane, kubectl and Helm from
# their Go modules. Prints the folder that they are in. Cold it takes about six minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")"

VERSION=1.36.3
HELM_VERSION=4.2.4
TOOLS=(
  go.etcd.io/etcd/server/v3
  k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubectl}
  helm.sh/helm/v4/cmd/helm
)

cache=${XDG_CACHE_HOME:-$HOME/.cache}/fairlead
key=$(cat go.mod go.sum build.sh | sha256sum | cut -c1-12)
bin=$cache/kube-$key
if [ -d "$bin" ]; then # renamed into place when whole
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
if [ ! -d "$bin" ]; then
  echo "Building etcd, Kubernetes $VERSION and Helm $HELM_VERSION from Go modules (once, about six minutes) …" >&2
  work=$(mktemp -d "$cache/kube-build-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  flags="-s -w -X k8s.io/component-base/version.gitVersion=v$VERSION"
  flags+=" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"
  flags+=" -X helm.sh/helm/v4/internal/version.version=v$HELM_VERSION"
  CGO_ENABLED=0 GOFLAGS='' GOBIN="$work" go install -trimpath -ldflags "$flags" "${TOOLS[@]}" >&2
  mv "$work/server" "$work/etcd"
  mv -T "$work" "$bin"
fi
echo "$bin"

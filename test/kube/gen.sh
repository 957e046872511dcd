#!/bin/sh -eu
# Writes go.mod and go.sum anew, for a maintainer who raises a version here.
KUBERNETES=36.3 ETCD=3.6.8 HELM=4.2.4 # ETCD is the version that this Kubernetes' own go.mod names
cd "$(dirname "$0")"
rm -f go.mod go.sum
go mod init fairlead.dev/testcluster
go mod edit -go 1.26.0
mod=$(go mod download -json k8s.io/kubernetes@v1.$KUBERNETES | sed -n 's/.*"GoMod": "\(.*\)",*/\1/p')
for m in $(sed -n 's/^\t\(k8s.io[^ ]*\) v0\.0\.0$/\1/p' "$mod"); do go mod edit -require "$m@v0.$KUBERNETES"; done
go mod edit \
  -require k8s.io/kubernetes@v1.$KUBERNETES -require go.etcd.io/etcd/server/v3@v$ETCD -require helm.sh/helm/v4@v$HELM \
  -tool k8s.io/kubernetes/cmd/kube-apiserver -tool go.etcd.io/etcd/server/v3 -tool k8s.io/kubernetes/cmd/kubectl \
  -tool k8s.io/kubernetes/cmd/kube-controller-manager -tool k8s.io/kubernetes/cmd/kube-scheduler \
  -tool helm.sh/helm/v4/cmd/helm
go mod tidy

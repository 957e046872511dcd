#!/usr/bin/env bash
# Runs a command in namespaces of its own, where the tests with pods can make bridges, addresses and mounts that nobody
# else sees: in-namespace.sh node --test test/kube/pods/kubelet.test.ts
# As root or, where the kernel allows user namespaces, as anybody. Its TMPDIR is in memory and gone afterwards.
set -euo pipefail

missing=()
command -v ip >/dev/null || missing+=('ip (Debian: apt-get install iproute2)')
for program in unshare nsenter setpriv mount; do
  command -v "$program" >/dev/null || missing+=("$program (Debian: apt-get install util-linux mount)")
done
command -v hostname >/dev/null || missing+=('hostname (Debian: apt-get install hostname)')
if [ "${#missing[@]}" -gt 0 ]; then
  echo 'The tests with pods give each its own network, and need:' >&2
  printf '  %s\n' "${missing[@]}" >&2
  exit 1
fi

isolate=(unshare --net --mount --propagation private)
[ "$(id -u)" = 0 ] || isolate+=(--map-root-user)
if ! why=$("${isolate[@]}" ip link add probe type bridge 2>&1); then
  cat >&2 <<END
The tests with pods need network and mount namespaces of their own, and cannot have them here:
  $why
Run them as root, or allow user namespaces: sysctl -w user.max_user_namespaces=10000, and where they exist
  sysctl -w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0
In a container: with --privileged.
END
  exit 1
fi

scratch=$(mktemp -d "${TMPDIR:-/tmp}/fairlead-pods-XXXXXX")
trap 'rmdir "$scratch"' EXIT
# shellcheck disable=SC2016 # expanded inside
TMPDIR=$scratch "${isolate[@]}" sh -euc '
  mount -t tmpfs -o mode=0755 tmpfs "$TMPDIR"
  ip link set lo up
  FAIRLEAD_TEST_NETWORK=$(readlink /proc/self/ns/net)
  export FAIRLEAD_TEST_NETWORK
  exec "$@"' sh "$@"

#!/usr/bin/env bash
# Prints the path of a program that is a Valkey or Redis server: the one of the PATH where there is one, else Debian's,
# unpacked once per user without installing it.
set -euo pipefail

for program in valkey-server redis-server; do
  if found=$(command -v "$program"); then
    echo "$found"
    exit 0
  fi
done

fail() {
  echo "The tests of the limit store need a server, and $1" >&2
  echo "Install valkey-server or redis-server, of version 7 or newer, so that it is on the PATH." >&2
  exit 1
}

for tool in apt-get apt-cache dpkg-deb flock ldd; do
  command -v "$tool" >/dev/null || fail "there is no $tool here to fetch Debian's packages with."
done

cache=${XDG_CACHE_HOME:-$HOME/.cache}/fairlead
mkdir -p "$cache"
exec 9>"$cache/store.lock"
flock 9 # another test run may be fetching: then this one finds its result
store=$cache/store-$(. /etc/os-release && echo "$ID-$VERSION_ID")-$(dpkg --print-architecture)
if [ -x "$store/run" ]; then # renamed into place when whole
  echo "$store/run"
  exit 0
fi

work=$(mktemp -d "$cache/store-fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/lists/partial "$work"/archives/partial "$work/root"
# Lists of our own: nobody need be root, and those of the machine may be old or missing.
apt=(-o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work" -o Debug::NoLocking=1 -o APT::Sandbox::User=root)

echo "Fetching a server for the tests of the limit store from Debian's packages (once) …" >&2
apt-get "${apt[@]}" -qq update >"$work/log" 2>&1 || {
  cat "$work/log" >&2
  fail "Debian's package lists cannot be fetched (above)."
}
fetch() { # packages, unpacked into root
  (cd "$work/archives" && apt-get "${apt[@]}" -qq download "$@" >"$work/log" 2>&1) || {
    cat "$work/log" >&2
    fail "Debian's packages $* cannot be fetched (above)."
  }
  for package in "$work"/archives/*.deb; do dpkg-deb -x "$package" "$work/root"; done
  rm -f "$work"/archives/*.deb
}

kind=redis
if apt-cache "${apt[@]}" show valkey-server >/dev/null 2>&1; then kind=valkey; fi
fetch "$kind-server" "$kind-tools"

libraries=$work/root/usr/lib/$(ldd /bin/sh | sed -n 's|.*/lib/\([^/]*-linux-gnu[^/]*\)/libc\.so.*|\1|p')
server=$work/root/usr/bin/$kind-server
missing() { LD_LIBRARY_PATH=$libraries ldd "$server" | sed -n 's/^\t\([^ ]*\)\.so\.\([0-9]*\)[^ ]* => not found$/\1\2/p'; }
packages=$(missing) # "liblzf.so.1" is in liblzf1, as Debian's policy has it
if [ -n "$packages" ]; then
  # shellcheck disable=SC2086
  fetch $packages
  left=$(missing)
  [ -z "$left" ] || fail "libraries are missing for Debian's $kind-server: $left."
fi
cat >"$work/root/run" <<RUN
#!/bin/sh
root=\$(dirname "\$(readlink -f "\$0")")
LD_LIBRARY_PATH="\$root${libraries#"$work/root"}" exec "\$root/usr/bin/$kind-server" "\$@"
RUN
chmod +x "$work/root/run"
"$work/root/run" --version >"$work/log" 2>&1 || {
  cat "$work/log" >&2
  fail "Debian's $kind-server does not start (above)."
}
mv -T "$work/root" "$store"
echo "$store/run"

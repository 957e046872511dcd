#!/bin/sh
# Installs OpenAI's Python client into .venv at the root of the checkout. Does nothing when it is there already.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
venv=$here/../../.venv
requirements=$here/requirements.txt
installed=$venv/fairlead-requirements.txt

if [ -x "$venv/bin/python" ] && cmp -s "$requirements" "$installed"; then
  exit 0
fi

fail() {
  echo "The Python client could not be set up: $1" >&2
  exit 1
}

python=
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || fail "it needs Python 3.11 or newer on the PATH (Debian: apt-get install python3 python3-venv)."

echo "Installing OpenAI's Python client (once) …"
rm -rf "$venv"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$python" -m venv "$venv" >"$log" 2>&1 || {
  cat "$log" >&2
  fail "$python cannot make a virtual environment (Debian: apt-get install python3-venv)."
}
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement "$requirements" \
  >"$log" 2>&1 || {
  cat "$log" >&2
  fail "pip cannot install what $requirements lists. It needs a package index that it can reach."
}
# Written last: an installation that was broken off starts again.
cp "$requirements" "$installed"

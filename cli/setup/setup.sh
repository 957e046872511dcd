#!/usr/bin/env bash
# Brings a fresh machine to where `make run` and `make test` work: npm packages (the pinned Node among them) and Envoy.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v npm >/dev/null; then
  echo "Fairlead needs npm (any Node from 20 on brings it; the Node it runs on is then fetched as a package)." >&2
  exit 1
fi
echo "Installing npm packages …"
if ! output=$(npm ci --no-audit --no-fund --loglevel=error 2>&1); then
  printf '%s\n' "$output" >&2
  echo "npm ci failed (above). It needs the npm registry; after a network failure run the same command again." >&2
  exit 1
fi
# The command itself, so that `npx fairlead` in this checkout is this checkout.
ln -sf ../../cli/bin/fairlead node_modules/.bin/fairlead
cli/bin/fairlead setup

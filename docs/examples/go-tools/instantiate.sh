#!/bin/sh
# Writes the .drv files of graph.nix, and the source that they name, beside it.
# It takes a nix-instantiate; any version gives the same files.
set -eu
cd "$(dirname "$0")"
root=$(mktemp -d)
trap 'chmod -R u+w "$root"; rm -rf "$root"' EXIT
rm -f -- *.drv *-fill.go
NIX_REMOTE="" nix-instantiate --store "$root" graph.nix >/dev/null
cp -r "$root"/nix/store/*.drv "$root"/nix/store/*-fill.go .
chmod 644 -- *.drv *-fill.go

#!/bin/bash
# Compares what Nix and troupe know of the outputs of one graph that both have
# built. usage: compare.sh TROUPE NIXSTORE TROUPESTORE STOREPATH
#   NIXSTORE and TROUPESTORE are the directories given as --store.
# Paths, NAR hashes and sizes, references and derivers must agree. A hash that
# differs alone is a build that does not repeat; it is listed and fails as well.
set -euo pipefail
troupe=$1 nix_store=$2 troupe_store=$3 path=$4
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

NIX_REMOTE='' nix --extra-experimental-features nix-command path-info --store "$nix_store" -r --json "$path" >"$dir/nix.json"
"$troupe" --store "$troupe_store" path-info -r --json "$path" >"$dir/troupe.json"

# Nix up to 2.18 prints a list, later ones a map; hashes are in base 32 or SRI.
cat >"$dir/lines.py" <<'PY'
import base64, json, os, sys
ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"

def sri(h):
    kind, sep, rest = h.partition("-")
    if sep:
        return h
    kind, _, rest = h.partition(":")
    if len(rest) == 64:
        return kind + "-" + base64.b64encode(bytes.fromhex(rest)).decode()
    n = 0
    for c in rest:
        n = n * 32 + ALPHABET.index(c)
    return kind + "-" + base64.b64encode(n.to_bytes(32, "little")).decode()

base = lambda p: os.path.basename(p) if p else "-"
infos = json.load(open(sys.argv[1]))
if "info" in infos and "version" in infos:
    infos = infos["info"]
if isinstance(infos, dict):
    infos = [dict(v, path=k) for k, v in infos.items()]
for i in sorted(infos, key=lambda i: base(i["path"])):
    print(base(i["path"]), sri(i["narHash"]), i["narSize"], "deriver", base(i.get("deriver")),
          "references", *sorted(map(base, i["references"])))
PY
python3 "$dir/lines.py" "$dir/nix.json" >"$dir/nix"
python3 "$dir/lines.py" "$dir/troupe.json" >"$dir/troupe"
diff -u --label nix --label troupe "$dir/nix" "$dir/troupe"
echo "$(wc -l <"$dir/nix") paths agree"

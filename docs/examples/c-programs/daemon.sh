#!/bin/bash
# Builds the graph by the stock nix-build of this machine through nix-daemon and
# through `troupe daemon`, in a sandbox, and compares what both know of it.
# usage, as root: daemon.sh TROUPE WORKDIR [ATTRIBUTE]
#   WORKDIR is the directory that fetch.sh has filled; TROUPE can be executed by everybody.
#   DAEMON_UID=1234 runs our daemon as that user, else it is root's, with build users.
#   NIX_BUILD is another client, for instance that of a newer Nix.
#   DAEMONS=troupe builds by ours alone, and compares with what an earlier run has of nix-daemon.
#
# Each daemon has a mount namespace in which /nix is its own and in which there are
# build users; nothing of it is left but WORKDIR/nix and WORKDIR/troupe.
set -euo pipefail
if [ -z "${HOLDS-}" ]; then
  here=$(cd "$(dirname "$0")" && pwd)
  troupe=$(readlink -f "$1") work=$(cd "$2" && pwd) attribute=${3:-all} user=${DAEMON_UID:-0}
  export troupe work here attribute
  base=$((60000 + RANDOM % 1000 * 20)) # of two runs at a time each has its own: a daemon kills what a build user has left
  for HOLDS in ${DAEMONS:-nix troupe}; do
    world=$work/$HOLDS-world
    mkdir -p "$world"/{nix/store,nix/var/nix,etc,conf}
    members=
    grep -v '^nixbld' /etc/passwd >"$world/etc/passwd"
    for i in 1 2 3 4; do
      echo "nixbld$i:x:$((base + i)):$base::/var/empty:/noshell" >>"$world/etc/passwd"
      members+=${members:+,}nixbld$i
    done
    { grep -v '^nixbld' /etc/group; echo "nixbld:x:$base:$members"; } >"$world/etc/group"
    base=$((base + 10))
    group=nixbld owner=0
    if [ $HOLDS = troupe ] && [ "$user" != 0 ]; then group= owner=$user; fi
    chown "$owner" "$world"
    chown -R "$owner" "$world/nix"
    printf '%s\n' "build-users-group = $group" 'sandbox = true' 'sandbox-paths =' 'substitute = false' 'max-jobs = auto' 'cores = 1' \
      >"$world/conf/nix.conf"
    HOLDS=$HOLDS world=$world owner=$owner unshare --mount --propagation private "$0"
  done
  diff -u --label nix --label troupe "$work/nix-world/dump" "$work/troupe-world/dump"
  echo "$(grep -c "^/nix/store" "$work/nix-world/dump") lines of paths agree"
  exit
fi

mount --bind "$world/nix" /nix
mount --bind "$world/etc/passwd" /etc/passwd
mount --bind "$world/etc/group" /etc/group
export NIX_CONF_DIR=$world/conf NIX_DAEMON_SOCKET_PATH=$world/socket HOME=$world
rm -f "$world/socket"
if [ "$HOLDS" = nix ]; then
  NIX_REMOTE=local nix-daemon 2>"$world/daemon.log" &
else
  setpriv --reuid "$owner" --regid "$owner" --clear-groups "$troupe" daemon --socket "$world/socket" 2>"$world/daemon.log" &
fi
daemon=$!
trap 'kill $daemon; wait $daemon || true' EXIT
until [ -S "$world/socket" ]; do kill -0 $daemon; sleep 0.1; done
export NIX_REMOTE=unix://$world/socket
"${NIX_BUILD:-nix-build}" --no-out-link "$here/programs.nix" -A "$attribute" --argstr work "$work" 2>"$world/build.log" | tee "$world/out"
# Path, NAR hash and size, deriver and references, as a registration has them.
nix-store -q --requisites $(nix-store -q --deriver "$(cat "$world/out")") "$(cat "$world/out")" | sort -u | while read -r p; do
  echo "$p $(nix-store -q --hash "$p") $(nix-store -q --size "$p") $(nix-store -q --deriver "$p")" $(nix-store -q --references "$p" | sort)
done >"$world/dump"

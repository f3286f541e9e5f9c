#!/bin/bash
# Fetches what programs.nix builds from: a C toolchain as Debian packages,
# unpacked to one tree, and the source archives. usage: fetch.sh WORKDIR
#
# Only apt is used, with lists of its own below WORKDIR, so the machine's
# configuration stays as it is and no privilege is needed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mkdir -p "$1" && cd "$1" && pwd)
suite=bookworm

tools=(gcc gcc-12 cpp-12 libgcc-12-dev libgcc-s1 libc6 libc6-dev linux-libc-dev libcrypt-dev libcrypt1 libnsl-dev libnsl2 libtirpc-dev
  binutils binutils-x86-64-linux-gnu libbinutils libctf0 libctf-nobfd0 libgprofng0 libjansson4 libisl23 libmpc3 libmpfr6 libgmp10
  libzstd1 zlib1g libcc1-0 libgomp1 libatomic1 libstdc++6 patchelf busybox-static make bash coreutils sed grep gawk tar gzip bzip2 xz-utils
  diffutils findutils m4 file libmagic1 libmagic-mgc libsigsegv2 libreadline8 libtinfo6 libacl1 libattr1 libselinux1 libpcre2-8-0
  libbz2-1.0 liblzma5 libssl3)

apt_dirs=(-o "Dir::Etc::SourceList=$work/apt/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State=$work/apt/state"
  -o "Dir::State::Lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache" -o "Dir::State::Status=$work/apt/status" -o APT::Sandbox::User=)
mkdir -p "$work"/apt/{state,lists/partial,cache/archives/partial} "$work"/{debs,archives,sources}
: >"$work/apt/status"
for kind in deb deb-src; do
  echo "$kind [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main"
done >"$work/apt/sources.list"
apt-get -q "${apt_dirs[@]}" update

(cd "$work/debs" && apt-get -q "${apt_dirs[@]}" -o APT::Architecture=amd64 download "${tools[@]}")
rm -rf "$work/toolchain"
mkdir -p "$work"/toolchain/usr/{bin,sbin,lib,lib64}
for d in bin sbin lib lib64; do ln -s "usr/$d" "$work/toolchain/$d"; done
for deb in "$work"/debs/*.deb; do
  dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink --no-same-owner -C "$work/toolchain"
done
rm -rf "$work"/toolchain/{etc,var} "$work"/toolchain/usr/share/{doc,man,info,locale,lintian,bug}
# Links from / would lead out of the tree.
find "$work/toolchain" -type l -lname '/*' | while read -r link; do
  ln -sfn "$(realpath -m -s --relative-to="$(dirname "$link")" "$work/toolchain$(readlink "$link")")" "$link"
done

mapfile -t sources < <(sed -n 's/^  "\?\([a-z0-9.+-]*\)"\? = program.*/\1/p' "$here/programs.nix")
(cd "$work/archives" && apt-get -q "${apt_dirs[@]}" source --download-only "${sources[@]}")
{
  echo '{'
  for name in "${sources[@]}"; do
    archive=$(find "$work/archives" -name "${name}_*.orig.tar.*" ! -name '*.asc' | sort | tail -n 1)
    ext=${archive##*.orig.}
    cp "$archive" "$work/sources/$name.$ext"
    echo "  \"$name\" = ./sources/$name.$ext;"
  done
  echo '}'
} >"$work/sources.nix"
echo "fetched ${#sources[@]} archives to $work"

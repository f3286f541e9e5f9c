# Builds one program from its archive. Run by the toolchain's bash with:
#   toolchain, src, deps (store paths), out, and optionally the commands
#   configure, make, install in the place of the usual ones.
set -euo pipefail
export PATH=$toolchain/cc:$toolchain/usr/bin
export SOURCE_DATE_EPOCH=1 LC_ALL=C TZ=UTC CONFIG_SHELL=$toolchain/usr/bin/bash SHELL=$toolchain/usr/bin/bash
export CPPFLAGS= LDFLAGS= EXTRA_LINK_FLAGS="-Wl,-rpath=$out/lib" CFLAGS="-O1 -ffile-prefix-map=$PWD=."
export FORCE_UNSAFE_CONFIGURE=1 MAKEINFO=true HELP2MAN=true
for d in $deps; do
  PATH=$d/bin:$PATH
  CPPFLAGS+=" -I$d/include"
  LDFLAGS+=" -L$d/lib"
  EXTRA_LINK_FLAGS+=" -Wl,-rpath=$d/lib"
done

mkdir source
tar -xf "$src" -C source --strip-components=1 --no-same-owner
cd source
# Scripts are run through their first line, and there is no /bin/sh here. Their
# times stay, or make would want to generate them again.
find . -type f -perm -100 | while read -r f; do
  first=$(head -c 30 "$f" | tr -d '\0' | head -n 1)
  case $first in
    '#!/bin/sh'* | '#! /bin/sh'* | '#!/bin/bash'* | '#! /bin/bash'*)
      touch -r "$f" ../time
      sed -i "1s,^#! */bin/\(ba\)\?sh,#!$SHELL," "$f"
      touch -r ../time "$f"
      ;;
  esac
done

jobs=-j${NIX_BUILD_CORES:-1}
eval "${configure:-$SHELL ./configure --prefix=\$out --disable-dependency-tracking --disable-static --disable-nls $flags}"
eval "${make:-make \$jobs SHELL=\$SHELL}"
eval "${install:-make install SHELL=\$SHELL}"
rm -rf "$out"/share/{info,doc} "$out"/lib/*.la

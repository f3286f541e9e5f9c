# Makes the unpacked Debian packages run from the store. Run by a static busybox.
set -eu
b=$src/usr/bin/busybox
[ -e "$b" ] || b=$src/bin/busybox
$b mkdir -p /build/b && $b --install -s /build/b
export PATH=/build/b
cp -r "$src" "$out"
chmod -R u+w "$out"

arch=x86_64-linux-gnu
loader=$out/usr/lib/$arch/ld-linux-x86-64.so.2
libs=$out/usr/lib/$arch
patch() { "$src/usr/lib/$arch/ld-linux-x86-64.so.2" --library-path "$src/usr/lib/$arch" "$src/usr/bin/patchelf" "$@"; }
# DT_RPATH of a program also counts for the libraries of its libraries, so that
# those need no change.
find "$out/usr/bin" "$out/usr/sbin" "$out/usr/lib/gcc" -type f -perm -100 | sort | while read -r f; do
  patch --print-interpreter "$f" >/dev/null 2>&1 || continue
  patch --set-interpreter "$loader" --force-rpath --set-rpath "$libs" "$f"
done

mkdir "$out/cc"
for tool in gcc cpp; do
  cat >"$out/cc/$tool" <<END
#!$out/usr/bin/bash
exec $out/usr/bin/$tool-12 --sysroot=$out -Wl,--dynamic-linker=$loader -Wl,--disable-new-dtags -Wl,-rpath=$libs "\$@" \${EXTRA_LINK_FLAGS:-}
END
done
cat >"$out/cc/cpp" <<END
#!$out/usr/bin/bash
exec $out/usr/bin/cpp-12 --sysroot=$out "\$@"
END
chmod +x "$out"/cc/*
ln -s gcc "$out/cc/cc"
ln -sfn gawk "$out/usr/bin/awk"
ln -sfn bash "$out/usr/bin/sh"

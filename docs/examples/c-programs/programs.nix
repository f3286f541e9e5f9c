# Real C programs and the libraries they share, from Debian's source archives.
# `work` is the directory that fetch.sh has filled.
{ work }:
let
  archives = import (/. + work + "/sources.nix");
  system = "x86_64-linux";

  tree = builtins.path { name = "debian-toolchain"; path = /. + work + "/toolchain"; };
  toolchain = derivation {
    name = "toolchain";
    inherit system;
    builder = "${tree}/bin/busybox";
    args = [ "sh" ./toolchain.sh ];
    src = tree;
  };

  program = name: deps: options: derivation ({
    inherit name system toolchain deps;
    builder = "${toolchain}/usr/bin/bash";
    args = [ ./build.sh ];
    src = archives.${name};
    flags = "";
  } // options);

  makefile = options: { configure = "true"; } // options;

  programs = with programs; {
    # libraries
  zlib = program "zlib" [ ] { configure = "$SHELL ./configure --prefix=$out"; };
  bzip2 = program "bzip2" [ ] (makefile {
    make = "make -f Makefile-libbz2_so CC=gcc SHELL=$SHELL && make SHELL=$SHELL libbz2.a bzip2recover";
    install = ''
      mkdir -p $out/bin $out/lib $out/include
      cp bzip2-shared $out/bin/bzip2 && cp bzip2recover $out/bin && cp bzlib.h $out/include
      cp -P libbz2.so* $out/lib && ln -s libbz2.so.1.0 $out/lib/libbz2.so
    '';
  });
  xz-utils = program "xz-utils" [ ] { flags = "--disable-doc --disable-scripts"; };
  lz4 = program "lz4" [ ] (makefile { install = "make install PREFIX=$out SHELL=$SHELL"; });
  xxhash = program "xxhash" [ ] (makefile { make = "make SHELL=$SHELL lib xxhsum"; install = "make install PREFIX=$out SHELL=$SHELL"; });
  ncurses = program "ncurses" [ ] { flags = "--with-shared --without-debug --without-ada --without-cxx --without-cxx-binding --without-normal --without-tests --without-manpages --with-fallbacks= --disable-widec --enable-overwrite"; };
  readline = program "readline" [ ncurses ] { make = "make SHELL=$SHELL SHLIB_LIBS=-lncurses"; };
  "libpng1.6" = program "libpng1.6" [ zlib ] { };
  gmp = program "gmp" [ ] { # Debian's archive has no manual
    configure = "mkdir -p doc && printf 'all install:\n' >doc/Makefile.in && $SHELL ./configure --prefix=$out --disable-static --disable-assembly";
  };
  mpfr4 = program "mpfr4" [ gmp ] { };
  mpclib3 = program "mpclib3" [ gmp mpfr4 ] { };
  libffi = program "libffi" [ ] { };
  popt = program "popt" [ ] { };
  gdbm = program "gdbm" [ readline ncurses ] { };
  attr = program "attr" [ ] { };
  acl = program "acl" [ attr ] { };
    # programs
  "lua5.4" = program "lua5.4" [ readline ncurses ] (makefile {
    make = "make SHELL=$SHELL linux-readline MYCFLAGS=\"$CPPFLAGS\" MYLDFLAGS=\"$LDFLAGS\" MYLIBS=-lncurses";
    install = "make install INSTALL_TOP=$out SHELL=$SHELL";
  });
  bash = program "bash" [ readline ncurses ] { flags = "--with-installed-readline --with-curses --without-bash-malloc"; };
  sed = program "sed" [ acl attr ] { };
  grep = program "grep" [ ] { };
  gawk = program "gawk" [ readline ncurses gmp mpfr4 ] { # without its manual, which Debian's archive lacks
    flags = "--disable-extensions";
    make = "make SHELL=$SHELL SUBDIRS='support .'";
    install = "make install SHELL=$SHELL SUBDIRS='support .'";
  };
  diffutils = program "diffutils" [ ] { };
  patch = program "patch" [ attr ] { };
  tar = program "tar" [ acl attr ] { };
  gzip = program "gzip" [ ] { };
  less = program "less" [ ncurses ] { };
  nano = program "nano" [ ncurses zlib ] { };
  file = program "file" [ zlib bzip2 xz-utils ] { };
  tree = program "tree" [ ] (makefile { install = "mkdir -p $out/bin && cp tree $out/bin"; });
  ed = program "ed" [ ] { configure = "$SHELL ./configure --prefix=$out CC=gcc"; };
  bc = program "bc" [ ed ] { # without its manual, which wants makeinfo
    make = "make -C lib SHELL=$SHELL && make -C bc SHELL=$SHELL && make -C dc SHELL=$SHELL";
    install = "make -C bc install SHELL=$SHELL && make -C dc install SHELL=$SHELL";
  };
  m4 = program "m4" [ ] { };
  hello = program "hello" [ ] { };
  rsync = program "rsync" [ zlib popt lz4 xxhash acl attr ] { flags = "--disable-openssl --disable-zstd --disable-md2man"; };
  units = program "units" [ readline ncurses ] { };
  mawk = program "mawk" [ ] { };
  };
in
programs // {
  inherit toolchain;
  all = derivation {
    name = "c-programs";
    inherit system;
    builder = "builtin:buildenv";
    manifest = "/dummy";
    derivations = builtins.concatMap (p: [ "true" 5 1 p ]) (builtins.attrValues programs);
  };
}

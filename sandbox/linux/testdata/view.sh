# What a builder finds, as text. $in is a directory with busybox.
b=$in/busybox
show() { echo "$1:"; shift; "$@" 2>&1 | $b sed 's/[[:space:]][[:space:]]*/ /g; s/^/  /'; }
names() { for f in $1/.[!.]* $1/*; do test $f = /dev/kvm || { test -e $f -o -L $f && $b stat -c "$2 %n" $f; }; done; }
link() { echo "  $1 -> $($b readlink $1)"; }

show user $b id
echo "process: $$ of $PPID"
show directory pwd
show umask umask
show root names '' %F
show devices names /dev %A
for l in fd stdin stdout stderr ptmx; do link /dev/$l; done
show terminals names /dev/pts %A
show shared-memory names /dev/shm %A
show temporary names /tmp %A
show build $b stat -c '%A %u %g' /build
show store $b stat -c '%A %u %g' /nix/store
show configuration names /etc %F
for f in passwd group hosts nsswitch.conf ssl/certs/ca-certificates.crt; do test -e /etc/$f && show $f $b cat /etc/$f; done
show status $b grep -E '^(Umask|Uid|Gid|Groups|NSpid|NSpgid|NSsid|SigBlk|CapInh|CapPrm|CapEff|CapAmb|NoNewPrivs|Seccomp):' /proc/1/status
show session,terminal $b sh -c "$b cut -d ' ' -f 5-7 /proc/1/stat"
show descriptors $b sh -c "for f in 0 1 2 3 4 5 6 7 8 9; do $b readlink /proc/1/fd/\$f; done | $b sed 's/[0-9]*$//'"
show limits $b grep core /proc/1/limits
show personality $b cat /proc/1/personality
show name $b sh -c "$b uname -n; $b cat /proc/sys/kernel/domainname"
echo terminal:; $b stty -a <&1
show mounts $b sh -c "$b awk '\$2 == \"/proc\" || \$2 ~ \"^/dev/...\$\" && \$3 != \"devtmpfs\" { print \$2, \$3 }' /proc/mounts | $b sort"
test -e /etc/resolv.conf || show network $b sh -c "$b ip -o link | $b cut -d ' ' -f 1-3; $b ip -o addr | $b grep -o 'inet.*/[0-9]*'"

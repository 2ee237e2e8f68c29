#!/bin/sh
# The first process of a machine that has nothing but version 2 of control groups.
export PATH=/bin RUST_BACKTRACE=0
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
cd /sys/fs/cgroup
echo "+memory +pids +cpu" >cgroup.subtree_control
mkdir svc user mixed
chown -R 65534:65534 user

somebody="setpriv --reuid=65534 --regid=65534 --clear-groups --"
within() {
    group=$1
    shift
    # No process but the tests is in there.
    sh -c 'echo $$ >"$0/cgroup.procs"; cd /; exec "$@" --test-threads=1 --nocapture 2>&1' "$group" "$@"
}
left() {
    left=nothing passes=nothing holds=nobody
    ls -d "$2"/*/ >/dev/null 2>&1 && left=groups
    [ -z "$(cat "$2/cgroup.subtree_control")" ] || passes=controllers
    [ -z "$(cat "$2/cgroup.procs")" ] || holds=somebody
    echo "$1: left $left, passes on $passes, holds $holds"
}

within svc tests cgroup::tests
left root svc
within user $somebody tests cgroup::tests
left somebody user
sleep 1000 &
echo $! >mixed/cgroup.procs
within mixed tests cgroup::tests::bounds
left "a stranger" mixed
within . tests cgroup::tests
within . $somebody tests cgroup::tests::bounds
echo "the end"
echo o >/proc/sysrq-trigger
sleep 100

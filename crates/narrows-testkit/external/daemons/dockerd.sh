# A Docker daemon of one's own on the Unix socket $1, without a network, with its data in a folder
# that goes with it. Says `ready`, and ends when its standard input does.
# gVisor is its runtime `runsc`: without control groups, which it cannot have here.
socket=$1
folder=$(mktemp -d) && cd "$folder" || exit 1
printf '#!/bin/sh\nexec runsc --platform=ptrace --network=none --ignore-cgroups "$@"\n' >runsc
chmod +x runsc
PATH=$PATH:/usr/sbin:/sbin
containerd --root "$folder/content" --state "$folder/state" --address "$folder/containerd.sock" \
    >containerd.log 2>&1 &
containerd=$!

start() {
    dockerd --containerd "$folder/containerd.sock" --host "unix://$socket" \
        --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/pid" \
        --iptables=false --ip6tables=false --bridge=none --storage-driver="$1" \
        --add-runtime "runsc=$folder/runsc" >"$1.log" 2>&1 &
    dockerd=$!
    until curl -s -o /dev/null -m 5 --unix-socket "$socket" http://docker/_ping; do
        kill -0 $dockerd 2>/dev/null || return 1
        sleep 0.1
    done
}

# Not every file system can be under an overlay.
if start overlay2 || start vfs; then
    chown "${SUDO_UID:-0}" "$socket"
    # For those who want to kill it.
    echo $dockerd >"$socket.pid"
    echo ready
    cat >/dev/null
    kill $dockerd 2>/dev/null
    wait $dockerd
else
    tail -3 vfs.log >&2
fi
# What a killed daemon could not take down itself.
tasks() { ctr --address "$folder/containerd.sock" --namespace moby tasks "$@"; }
for task in $(tasks ls -q); do tasks rm --force "$task"; done >/dev/null 2>&1
kill $containerd
wait $containerd
grep -o " $folder/[^ ]*" /proc/mounts | sort -r | xargs -r umount -l
rm -rf "$folder" "$socket" "$socket.pid"

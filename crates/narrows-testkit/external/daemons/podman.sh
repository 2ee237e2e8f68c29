# Podman's service on the Unix socket $1, with its data in a folder that goes with it. Says `ready`,
# and ends when its standard input does.
socket=$1
folder=$(mktemp -d) && cd "$folder" || exit 1
# The limits that it gives by itself are beyond what may be given here.
cat >containers.conf <<'END'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
END
start() {
    CONTAINERS_CONF=$folder/containers.conf podman --root "$folder/root" --runroot "$folder/run" \
        --tmpdir "$folder/tmp" --storage-driver "$1" --runtime runc \
        system service --time 0 "unix://$socket" >"$1.log" 2>&1 &
    podman=$!
    until curl -s -o /dev/null -m 5 --unix-socket "$socket" http://podman/_ping; do
        kill -0 $podman 2>/dev/null || return 1
        sleep 0.1
    done
}
if start overlay || start vfs; then
    chown "${SUDO_UID:-0}" "$socket"
    echo ready
    cat >/dev/null
    kill $podman
    wait $podman
else
    tail -3 vfs.log >&2
fi
grep -o " $folder/[^ ]*" /proc/mounts | sort -r | xargs -r umount -l
rm -rf "$folder" "$socket"

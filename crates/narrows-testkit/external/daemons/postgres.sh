# A PostgreSQL server of one's own on the loopback port $1, with the flags $2 (`-F`: nothing is
# flushed), with its data in a folder that goes with it. Says `ready`, and ends when its standard
# input does. It refuses to be root.
folder=$(mktemp -d) && bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1) || exit 1
"$bin/initdb" -D "$folder/data" -U narrows -A trust -E UTF8 --no-sync >"$folder/log" 2>&1 || exit 1
"$bin/postgres" -D "$folder/data" -h 127.0.0.1 -p "$1" -k '' $2 -c max_connections=400 \
    >>"$folder/log" 2>&1 &
pid=$!
until "$bin/pg_isready" -q -h 127.0.0.1 -p "$1"; do kill -0 $pid || exit 1; sleep 0.1; done
echo ready
cat >/dev/null
kill -INT $pid
wait $pid
rm -rf "$folder"

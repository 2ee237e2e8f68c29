# A Redis server of one's own on the loopback port $1, with a file that is appended to if $2 is `yes`,
# in a folder that goes with it. Says `ready`, and ends when its standard input does.
folder=$(mktemp -d) && cd "$folder" || exit 1
redis-server --bind 127.0.0.1 --port "$1" --dir "$folder" --save '' --appendonly "${2:-no}" >log 2>&1 &
pid=$!
until [ "$(redis-cli -p "$1" ping 2>&1)" = PONG ]; do kill -0 $pid || exit 1; sleep 0.1; done
echo ready
cat >/dev/null
kill $pid
wait $pid
rm -rf "$folder"

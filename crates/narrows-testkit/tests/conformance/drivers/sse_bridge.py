"""A server on stdio, offered over the HTTP+SSE transport of revision 2024-11-05: one process a stream.

usage: sse_bridge.py COMMAND ARGS...   Prints the URL of the stream once it listens.
"""

import signal
import subprocess
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

open_streams = {}


class Bridge(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path != "/sse":
            return self.send_error(404)
        name = uuid.uuid4().hex
        child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        open_streams[name] = child
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            self.event("endpoint", f"/messages?session={name}")
            for line in child.stdout:
                self.event("message", line.decode().strip())
        except OSError:
            pass
        finally:
            del open_streams[name]
            child.stdin.close()
            child.wait()
        self.close_connection = True

    def event(self, kind, data):
        self.wfile.write(f"event: {kind}\ndata: {data}\n\n".encode())
        self.wfile.flush()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        child = open_streams.get(self.path.partition("=")[2])
        if not self.path.startswith("/messages") or child is None:
            return self.send_error(404)
        child.stdin.write(body.replace(b"\n", b" ") + b"\n")
        child.stdin.flush()
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()


def end_with_parent():
    sys.stdin.read()
    server.shutdown()


server = ThreadingHTTPServer(("127.0.0.1", 0), Bridge)
server.daemon_threads = True
print(f"http://127.0.0.1:{server.server_port}/sse", flush=True)
threading.Thread(target=end_with_parent, daemon=True).start()
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
try:
    server.serve_forever()
finally:
    for child in list(open_streams.values()):
        child.terminate()
        child.wait()

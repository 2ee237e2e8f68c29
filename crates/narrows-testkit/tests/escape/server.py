"""A server for programs that have a network: over HTTP, and over TLS where a certificate is given.
Says its port, and ends with its standard input."""

import http.server
import json
import os
import ssl
import sys
import threading
import time


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # How many wait for `/slow`, and how many did at most.
    lock, slow, most = threading.Lock(), 0, 0

    def log_message(self, *_):
        pass

    def answer(self, text, status=200, **fields):
        body = text.encode()
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def wait(self, more):
        with Server.lock:
            Server.slow += more
            Server.most = max(Server.most, Server.slow)

    def do_GET(self):
        if self.path.startswith("/away/"):
            return self.answer("", 302, Location="http://" + self.path[len("/away/"):])
        if self.path == "/fields":
            return self.answer(json.dumps({name.lower(): value for name, value in self.headers.items()}))
        if self.path == "/large":
            return self.answer("x" * (8 << 20))
        if self.path == "/slow":
            self.wait(1)
            time.sleep(1)
            self.wait(-1)
        if self.path == "/most":
            return self.answer(str(Server.most))
        if self.path == "/hang":
            # Until whoever asked has gone.
            self.rfile.read(1)
            self.close_connection = True
            return
        self.answer("hello")

    def do_POST(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            size = 0
            while part := int(self.rfile.readline(), 16):
                size += len(self.rfile.read(part))
                self.rfile.readline()
            self.rfile.readline()
            return self.answer(f"chunks of {size}")
        self.answer(str(len(self.rfile.read(int(self.headers["Content-Length"])))))


# Whoever found no place in the queue would come again seconds later.
http.server.ThreadingHTTPServer.request_queue_size = 128
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
if len(sys.argv) > 1:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[1:])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
os._exit(0)

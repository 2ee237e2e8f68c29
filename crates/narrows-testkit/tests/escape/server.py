"""A server for programs that have a network: over HTTP, and over TLS where a certificate is given.
Says its port, and ends with its standard input."""

import http.server
import json
import os
import ssl
import sys
import threading


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

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

    def do_GET(self):
        if self.path.startswith("/away/"):
            return self.answer("", 302, Location="http://" + self.path[len("/away/"):])
        if self.path == "/fields":
            return self.answer(json.dumps({name.lower(): value for name, value in self.headers.items()}))
        if self.path == "/large":
            return self.answer("x" * (8 << 20))
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


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
if len(sys.argv) > 1:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[1:])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
os._exit(0)

"""FastMCP as a proxy of one upstream over Streamable HTTP: a peer in the benchmark.

usage: fastmcp_proxy.py PORT URL | fastmcp_proxy.py PORT COMMAND ARGS...
"""

import sys

from fastmcp.server import create_proxy

port, first, rest = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
upstream = {"url": first} if first.startswith("http") else {"command": first, "args": rest}
server = create_proxy({"mcpServers": {"echo": upstream}}, name="peer")
server.run(transport="http", host="127.0.0.1", port=port, path="/mcp", show_banner=False, log_level="error")

"""FastMCP with its CodeMode transform over a proxy of one stdio upstream: a peer in the benchmark.

usage: fastmcp_code_mode.py COMMAND ARGS...
"""

import sys

from fastmcp.experimental.transforms.code_mode import CodeMode
from fastmcp.server import create_proxy

server = create_proxy({"mcpServers": {"scripted": {"command": sys.argv[1], "args": sys.argv[2:]}}}, name="peer")
server.add_transform(CodeMode())
server.run(show_banner=False)

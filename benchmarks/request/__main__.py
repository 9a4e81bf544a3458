"""Serve one of the applications: ``python -m benchmarks.request NAME FD``.

uvicorn's own ``--fd`` takes each socket for one of the file system, so that what it
accepts waits for acknowledgements (Nagle's algorithm) as no server in use does.
"""

import socket
import sys

import uvicorn

name, number = sys.argv[1:]
config = uvicorn.Config(f"benchmarks.request.{name}:app", log_level="warning")
uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(number))])

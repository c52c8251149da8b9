"""Has the server beside this file run the command of this file's name."""

import json
import os
import signal
import socket
import sys


def ask(script: str, arguments: list[str]) -> int:
    """Have a command run with this process's folder, variables and streams.

    Returns:
        its exit code; minus the signal that ended it.
    """
    place, name = os.path.split(os.path.abspath(script))
    server = socket.socket(socket.AF_UNIX)
    server.connect(os.path.join(place, "socket"))
    socket.send_fds(server, [b"\0"], [0, 1, 2])
    asked = {"command": [name, *arguments], "folder": os.getcwd(), "variables": dict(os.environ)}
    server.sendall(json.dumps(asked).encode() + b"\n")
    return int(server.recv(16) or 1)


if __name__ == "__main__":
    status = ask(sys.argv[0], sys.argv[1:])
    if status < 0:
        if -status != signal.SIGKILL:  # Python handles some of the others.
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)

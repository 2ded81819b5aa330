"""Starts a keyward of its own and runs a command beside it: with_gateway.py COMMAND...

The command finds KEYWARD_URL, KEYWARD_TOKEN and KEYWARD_CA; Node and Python clients trust the gateway's CA."""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

from keyward import Server  # noqa: E402


def main():
    server = Server(*os.environ.get("KEYWARD_SERVE", "").split()).start()
    ca = str(server.data / "ca.pem")
    environment = dict(os.environ, KEYWARD_URL=f"https://localhost:{server.port}",
                       KEYWARD_TOKEN=server.token, KEYWARD_CA=ca, NODE_EXTRA_CA_CERTS=ca,
                       REQUESTS_CA_BUNDLE=ca, KEYWARD_DATA=str(server.data), KEYWARD_PID=str(server.process.pid))
    code = 1
    try:
        code = subprocess.run(sys.argv[1:], env=environment, check=False).returncode
    finally:
        if code:
            print(server.log()[-5000:], file=sys.stderr)
        stopped = server.stop()
        server.remove()
    sys.exit(code or stopped)


main()

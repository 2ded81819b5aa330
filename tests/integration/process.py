"""A real gateway for the integration tests: started in a folder of its own, asked with curl, ended."""
import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import unittest

KEYWARD = os.environ["KEYWARD_BIN"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def keyward(*args, **options):
    """Runs a command of the CLI to its end."""
    return subprocess.run([KEYWARD, *args], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, **options)


def content(*path):
    with open(os.path.join(*path), "rb") as stream:
        return stream.read()


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Gateway:
    """serve --dev, or serve -c FILE when `config` is given. Context manager: ends with SIGTERM."""

    def __init__(self, folder, config=None, env=None):
        self.data = os.path.join(folder, "data")
        self.admin = free_port()
        self.config = config
        self.log = os.path.join(folder, "log")
        self.env = {**os.environ, **(env or {})}
        self.port = None

    def start(self):
        command = [KEYWARD, "serve"]
        if self.config:
            command += ["-c", self.config]
        else:
            command += ["--dev", "--data", self.data, "--listen", "127.0.0.1:0", "--admin", f"127.0.0.1:{self.admin}"]
        self.started = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, env=self.env
            )
        line = self.process.stdout.readline().decode()
        if self.config:
            assert line.startswith("ready "), (line, self.logs())
        else:
            assert line.startswith("ready https://localhost:"), (line, self.logs())
            self.port = int(line.strip().rsplit(":", 1)[1])
        self.ready_after = time.monotonic() - self.started
        return self

    def logs(self):
        with open(self.log, encoding="utf-8") as stream:
            return stream.read()

    def log_lines(self):
        return [json.loads(line) for line in self.logs().split("\n") if line]

    def token(self):
        with open(os.path.join(self.data, "token"), encoding="ascii") as stream:
            return stream.read().strip()

    def api(self, method, path, body=None, token=None, http="--http2", extra=()):
        """(status, JSON, HTTP version) by curl, certificate checked."""
        command = [
            "curl", "-sS", http, "--max-time", "20", "--cacert", os.path.join(self.data, "ca.pem"),
            "-H", f"Authorization: Bearer {token or self.token()}", "-X", method, "-w", "\n%{http_code} %{http_version}",
            *extra,
        ]
        if body is not None:
            command += ["-H", "Content-Type: application/json", "--data-binary", json.dumps(body)]
        command.append(f"https://localhost:{self.port}{path}{'&' if '?' in path else '?'}api-version=7.4")
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, (done.stderr, self.logs())
        text, tail = done.stdout.rsplit("\n", 1)
        status, version = tail.split()
        return int(status), json.loads(text) if text else None, version

    def get_admin(self, path):
        done = subprocess.run(
            ["curl", "-sS", "-i", "--max-time", "10", f"http://127.0.0.1:{self.admin}{path}"],
            capture_output=True, timeout=30,
        )
        head, _, body = done.stdout.decode().partition("\r\n\r\n")
        return int(head.split()[1]), head.lower(), body

    def reload(self):
        before = self.logs().count('"reload done"')
        self.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 10
        while self.logs().count('"reload done"') == before:
            assert time.monotonic() < end, self.logs()
            time.sleep(0.02)

    def stop(self, sig=signal.SIGTERM, seconds=20):
        """Exit code and what else came on standard output."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        rest = self.process.stdout.read().decode()
        code = self.process.wait(seconds)
        self.process.stdout.close()
        return code, rest

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if not self.process.stdout.closed:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise


class Case(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="kw-")
        self.folder = self.temporary.name
        self.addCleanup(self.temporary.cleanup)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)


DIGEST = hashlib.sha256(b"hello").digest()


"""The real program in a folder of its own, and a small client for it (standard library only)."""

import base64
import copy
import http.client
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

VERSION = "api-version=7.4"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json["error"]["code"]

    @property
    def inner(self):
        return self.json["error"].get("innererror", {}).get("code")


class Server:
    """`keyward serve --dev`: started, waited for, stopped."""

    def __init__(self, *extra):
        self.binary = os.environ["KEYWARD_BIN"]
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="keyward-test-"))
        self.data = self.folder / "data"
        self.port = free_port()
        self.admin = free_port()
        self.extra = extra
        self.process = None
        self.connection = None

    def start(self):
        self.errors = open(self.folder / "stderr", "ab")
        self.process = subprocess.Popen(
            [self.binary, "serve", "--dev", "--data", str(self.data), "--listen",
             f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin}", *self.extra],
            stdout=subprocess.PIPE, stderr=self.errors)
        ready, _, _ = select.select([self.process.stdout], [], [], 30)
        line = self.process.stdout.readline().decode().strip() if ready else ""
        if line != f"ready https://localhost:{self.port}":
            self.process.kill()
            raise RuntimeError(f"not ready: {line!r}\n{self.log()[-2000:]}")
        self.token = (self.data / "token").read_text().strip()
        self.tls = ssl.create_default_context(cafile=str(self.data / "ca.pem"))
        return self

    def log(self):
        return (self.folder / "stderr").read_text(errors="replace")

    def stop(self):
        """Drains; the exit code must be 0."""
        self.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(30)
        finally:
            self.process.kill()
            self.process.stdout.close()
            self.errors.close()
        return code

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def clone(self):
        """The same gateway over a connection of its own, for another thread."""
        other = copy.copy(self)
        other.connection = None
        return other

    def connect(self):
        return http.client.HTTPSConnection("localhost", self.port, context=self.tls, timeout=60)

    def request(self, method, path, body=None, headers=None, token=True, version=True):
        """One request on the kept connection. `body`: bytes as they are, else JSON."""
        if version:
            path += ("&" if "?" in path else "?") + VERSION
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        sent = {"Content-Type": "application/json"}
        if token:
            sent["Authorization"] = f"Bearer {self.token if token is True else token}"
        sent.update(headers or {})
        for last in (False, True):
            if not self.connection:
                self.connection = self.connect()
            try:
                self.connection.request(method, path, body, sent)
                return Answer(self.connection.getresponse())
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                # the kept connection was closed while idle
                self.close()
                if last:
                    raise
        raise AssertionError("not reached")

    def post(self, path, body, **more):
        return self.request("POST", path, body, **more)

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def create(self, name, kty, **more):
        answer = self.post(f"/keys/{name}/create", {"kty": kty, **more})
        assert answer.status == 200, answer.body
        return answer.json

    def ok(self, path, body):
        answer = self.post(path, body)
        assert answer.status == 200, (path, answer.status, answer.body)
        return answer.json


class Case(unittest.TestCase):
    """A test case with one server for all of its tests."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        log = cls.server.log()
        cls.server.remove()
        assert code == 0, f"exit code {code}\n{log[-3000:]}"
        assert "Sanitizer" not in log and "runtime error" not in log, log[-5000:]

    def expect(self, answer, status, code=None, inner=None):
        self.assertEqual(answer.status, status, answer.body)
        if code:
            self.assertEqual(answer.headers.get_content_type(), "application/json")
            error = answer.json["error"]
            self.assertEqual(error["code"], code, answer.body)
            self.assertTrue(error["message"])
            self.assertEqual(error.get("innererror", {}).get("code"), inner, answer.body)
        return answer


def now():
    return int(time.time())

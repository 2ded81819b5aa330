"""Starts the test server and talks to it; shared by the scripts of this folder."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else None

SANITIZED = PROGRAM is not None and b"__asan_" in open(PROGRAM, "rb").read()


def make_pair(folder, name="tls", key="ec", days=30, ca=None, common_name="localhost"):
    """A key and a certificate by openssl; signed by `ca` (a pair of paths) or by itself."""
    cert, pem = os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key")
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if key == "ec" else ["-newkey", key]
    command = ["openssl", "req", "-x509", *kind, "-nodes", "-keyout", pem, "-out", cert, "-days", str(days),
               "-subj", "/CN=" + common_name, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    if ca:
        command += ["-CA", ca[0], "-CAkey", ca[1]]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return cert, pem


class Server:
    """One running test server. `with Server(header=1000) as server: ...`"""

    def __init__(self, tls=True, client_ca=None, key="ec", **options):
        self.folder = tempfile.mkdtemp(prefix="kwp")
        self.unix = os.path.join(self.folder, "api.sock")
        self.control = os.path.join(self.folder, "control.sock")
        self.cert, self.key = make_pair(self.folder, key=key)
        command = [PROGRAM, "--unix", self.unix, "--control", self.control, "--cert", self.cert, "--key", self.key]
        if client_ca:
            command += ["--client-ca", client_ca]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        self.log = open(os.path.join(self.folder, "log"), "w+")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline().split()
        if not line or line[0] != "ready":
            self.log.seek(0)
            raise RuntimeError("server did not start: " + self.log.read())
        self.port, self.admin = int(line[1]), int(line[2])

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        code = self.stop()
        self.log.seek(0)
        text = self.log.read()
        shutil.rmtree(self.folder, ignore_errors=True)
        if "Sanitizer" in text or "runtime error" in text:
            raise AssertionError("sanitizer report:\n" + text)
        if code != 0 and kind is None:
            raise AssertionError("server ended with %s:\n%s" % (code, text))

    def stop(self, timeout=10):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "hung"

    def rss(self):
        """Resident bytes; 0 in a sanitized build, whose allocator keeps what was freed."""
        if SANITIZED:
            return 0
        with open("/proc/%d/statm" % self.process.pid) as statm:
            return int(statm.read().split()[1]) * 4096

    def cpu(self):
        """Seconds of processor time used so far."""
        with open("/proc/%d/stat" % self.process.pid) as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def raw(self, timeout=10, unix=True):
        """A cleartext connection: the Unix socket, or the admin listener."""
        if unix:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(timeout)
            sock.connect(self.unix)
            return sock
        return socket.create_connection(("127.0.0.1", self.admin), timeout)

    def tls(self, alpn=("h2",), timeout=10, **settings):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.cert)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        for name, value in settings.items():
            if name == "ciphers":
                context.set_ciphers(value)
            elif name == "client":
                context.load_cert_chain(*value)
            elif name != "session":
                setattr(context, name, value)
        sock = socket.create_connection(("127.0.0.1", self.port), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(sock, server_hostname="localhost")

    def count(self):
        """How many requests reached a handler (this one not counted)."""
        sock = self.raw()
        sock.sendall(b"GET /count HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = read_all(sock)
        counts = json.loads(answer.split(b"\r\n\r\n", 1)[1])
        self.counts_asked = getattr(self, "counts_asked", 0) + 1
        counts["begun"] -= self.counts_asked
        counts["run"] -= self.counts_asked
        return counts


def read_all(sock, limit=1 << 24):
    """Until the other side closes; a reset after an answer ends it too."""
    data = b""
    try:
        while len(data) < limit:
            piece = sock.recv(65536)
            if not piece:
                break
            data += piece
    except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
        pass
    return data


def check(condition, message="check failed"):
    if not condition:
        raise AssertionError(message)


def main(cases):
    """Runs functions, prints one line each, exits 1 when any failed."""
    failed = 0
    only = sys.argv[2:]
    for case in cases:
        if only and case.__name__ not in only:
            continue
        start = time.monotonic()
        try:
            case()
            outcome = "ok"
        except Exception:  # one broken case must not hide the others
            failed += 1
            outcome = "FAILED\n" + traceback.format_exc()
        print("%-44s %5.1fs %s" % (case.__name__, time.monotonic() - start, outcome), flush=True)
    print("%d cases, %d failed" % (len(cases), failed))
    sys.exit(1 if failed else 0)

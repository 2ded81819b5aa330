"""Clients that break off while something is done for them beside the loops, and requests behind an answer that came early."""

import base64
import json
import socket
import struct
import subprocess
import tempfile
import time
import unittest

from keyward import VERSION, Case, b64


class Gone(Case):
    def open(self):
        plain = socket.create_connection(("127.0.0.1", self.server.port), timeout=30)
        return self.server.tls.wrap_socket(plain, server_hostname="localhost")

    def send(self, sock, method, path, body=b"", length=None):
        head = (f"{method} {path}?{VERSION} HTTP/1.1\r\nHost: localhost:{self.server.port}\r\n"
                f"Authorization: Bearer {self.server.token}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n")
        sock.sendall(head.encode() + body)

    def break_off(self, method, path, body, after):
        """A reset, not an orderly end: whoever half-closes is still answered."""
        sock = self.open()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.send(sock, method, path, body)
        time.sleep(after)
        sock.close()

    def status(self, sock):
        line = b""
        while b"\r\n\r\n" not in line:
            piece = sock.recv(65536)
            self.assertTrue(piece, "closed before the answer")
            line += piece
        head, _, rest = line.partition(b"\r\n\r\n")
        length = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:"))
        while len(rest) < length:
            rest += sock.recv(65536)
        return int(head.split()[1])

    def test_a_download_of_the_domain_that_nobody_takes(self):
        with tempfile.TemporaryDirectory() as folder:
            certs = []
            for i in range(3):
                subprocess.run(["openssl", "req", "-newkey", "rsa:4096", "-nodes", "-keyout", f"{folder}/key", "-x509", "-days",
                                "9", "-subj", f"/CN=o{i}", "-outform", "DER", "-out", f"{folder}/cert"],
                               check=True, capture_output=True)
                with open(f"{folder}/cert", "rb") as file:
                    certs.append({"kty": "RSA", "x5c": [base64.b64encode(file.read()).decode()]})
        body = json.dumps({"certificates": certs, "required": 2}).encode()
        for after in (0, 0.001, 0.002, 0.005) * 5:
            self.break_off("POST", "/securitydomain/download", body, after)
        self.expect(self.server.get("/keys"), 200)
        self.expect(self.server.get("/securitydomain/download/pending"), 200)

    def test_a_request_behind_a_batch_that_was_answered_while_its_body_waited(self):
        self.server.create("slow", "RSA", key_size=4096)
        op = json.dumps({"op": "sign", "key": "slow", "alg": "RS256", "value": b64(bytes(32))})
        # the window is full while the first is signed, so the body waits; what is behind is broken
        body = ("[" + op + ",1" * 1100 + ",}").encode()
        with self.open() as sock:
            self.send(sock, "POST", "/batch", body, length=len(body) + 1000)
            self.assertEqual(self.status(sock), 400)
            sock.sendall(b" " * 1000)
            self.send(sock, "GET", "/keys")
            self.assertEqual(self.status(sock), 200)


if __name__ == "__main__":
    unittest.main()

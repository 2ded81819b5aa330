"""H5: every return code of the standard, out of C_Sign and C_SignInit of one member. While another
member is well, no client sees any of them, but for the few that are about the key or the data."""
import hashlib
import os
import re
import signal
import time
import unittest

from faults import FaultCase
from keyward import b64, unb64

# What a code may do to the member that said it: nothing of lasting effect, or down when it goes on.
CALLER = {0x20, 0x21, 0x40, 0x41, 0x68, 0x69, 0x6a, 0xc0, 0xc1, 0x110, 0x112, 0x1b9, 0x1c4}
# about this host or this moment, not about the token: never a reason to take the member down
NO_CHARGE = {0x02, 0x31, 0xb1, 0x150}
# about the mechanism: remembered, and another member is asked
UNSUPPORTED = {0x07, 0x10, 0x11, 0x12, 0x13, 0x1b, 0x54, 0x62, 0x63, 0x67, 0x70, 0x71, 0xd0, 0xd1}
CODES = [0x01, 0x02, 0x03, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x10, 0x11, 0x12, 0x13, 0x1b, 0x20, 0x21,
         0x30, 0x31, 0x32, 0x40, 0x41, 0x50, 0x51, 0x54, 0x60, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
         0x69, 0x6a, 0x70, 0x71, 0x82, 0x90, 0x91, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xb0, 0xb1, 0xb3, 0xb4,
         0xb5, 0xb6, 0xb7, 0xb8, 0xc0, 0xc1, 0xd0, 0xd1, 0xe0, 0xe1, 0xe2, 0xf0, 0xf1, 0xf2, 0x100, 0x101,
         0x102, 0x103, 0x104, 0x105, 0x110, 0x112, 0x113, 0x114, 0x115, 0x120, 0x121, 0x130, 0x140, 0x150,
         0x160, 0x170, 0x180, 0x190, 0x191, 0x1a0, 0x1a1, 0x1b0, 0x1b1, 0x1b5, 0x1b6, 0x1b7, 0x1b8, 0x1b9,
         0x1c0, 0x1c1, 0x1c2, 0x1c3, 0x1c4, 0x200, 0x201, 0x202, 0x203,
         0x80000000, 0x80000042, 0xffffffff]


class Codes(FaultCase):
    options = {"standby": ["hsm-b"]}  # so that hsm-a is asked first, whatever it did before

    def ask(self, key):
        """One signature: its status; a wrong one fails the test."""
        digest = hashlib.sha256(os.urandom(8)).digest()
        answer = self.server.post(f"{key.path}/sign", {"alg": key.alg, "value": b64(digest)})
        if answer.status == 200:
            self.assertTrue(key.right(digest, unb64(answer.json["value"])))
        return answer

    def each_code(self, function):
        unexpected, key = [], self.keys[1]
        for code in CODES:
            if code - 1 in (0x54, 0x70) or code == 0x60:  # what was refused is forgotten with the host
                self.bad.set()
                os.kill(self.server.host_pid("hsm-a"), signal.SIGKILL)
                self.server.wait_health("hsm-a", "down")
            if self.server.health("hsm-a") not in ("up", "warming"):
                self.bad.set()
                self.server.recover("hsm-a")
                self.server.wait_serving(["hsm-a"])
            before = len(self.server.changes("hsm-a"))
            slot = self.bad.set(f"{function} rv={code} times=2")
            statuses, asked = set(), 0
            while self.bad.fired(slot) == 0 and asked < 400:
                statuses.add(self.ask(key).status)
                asked += 1
            if self.bad.fired(slot) == 0:
                unexpected.append((hex(code), "never fired", asked))
            allowed = {200, 400, 403} if code in CALLER else {200}
            if not statuses <= allowed:
                unexpected.append((hex(code), statuses))
            time.sleep(0.02)
            changes = self.server.changes("hsm-a")[before:]
            fell = [change for change in changes if change[0] in ("down", "auth_failed", "mismatched")]
            if fell and code in CALLER | NO_CHARGE | UNSUPPORTED:
                unexpected.append((hex(code), fell))
        self.assertEqual([], unexpected)

    def test_each_code_from_sign(self):
        self.each_code("C_Sign")

    def test_each_code_from_sign_after_the_work(self):
        """The operation is over in the token, as the standard has it for all but one code."""
        self.each_code("C_Sign after=1")

    def test_each_code_from_sign_init(self):
        self.each_code("C_SignInit")

    def test_table_is_whole(self):
        """The list above has every code that PKCS#11 2.40 names for functions of a token."""
        import pathlib
        header = next((p for p in ("/usr/include/p11-kit-1/p11-kit/pkcs11.h",) if os.path.exists(p)), None)
        self.assertIsNotNone(header)
        named = {int(m.group(1), 16) for m in re.finditer(
            r"^#define\s+CKR_\w+\s+\((0x[0-9a-f]+)UL\)", pathlib.Path(header).read_text(), re.M | re.I)}
        named |= {int(m.group(1)) for m in re.finditer(
            r"^#define\s+CKR_\w+\s+\((\d+)UL\)", pathlib.Path(header).read_text(), re.M)}
        missing = {hex(code) for code in named - set(CODES) - {0, 1 << 31}}
        self.assertEqual(set(), missing)


class Poison(FaultCase):
    def test_bad_ciphertexts(self):
        """Requests that cannot be right, as fast as they come: no member changes its health."""
        self.server.create("aes", "oct-HSM")
        before = {name: len(self.server.changes(name)) for name in self.labels}
        deadline, count = time.monotonic() + 6, 0
        while time.monotonic() < deadline:
            body = ({"alg": "RSA-OAEP", "value": b64(os.urandom(255).rjust(256, b"\0"))},
                    {"alg": "RSA1_5", "value": b64(os.urandom(255).rjust(256, b"\0"))},
                    {"alg": "RSA-OAEP-256", "value": b64(b"\0" * 256)},
                    {"alg": "RSA-OAEP", "value": b64(b"\xff" * 256)})[count % 4]
            answer = self.server.post("/keys/rsa/decrypt", body)
            self.assertEqual(400, answer.status, answer.body)
            answer = self.server.post("/keys/aes/decrypt", {
                "alg": "A256GCM", "value": b64(os.urandom(32)), "iv": b64(os.urandom(12)),
                "tag": b64(os.urandom(16))})
            self.assertEqual(400, answer.status, answer.body)
            answer = self.server.post("/keys/aes/unwrapkey", {"alg": "A256KW", "value": b64(os.urandom(40))})
            self.assertEqual(400, answer.status, answer.body)
            answer = self.server.post("/keys/aes/decrypt", {
                "alg": "A256CBCPAD", "value": b64(os.urandom(32)), "iv": b64(os.urandom(16))})
            self.assertIn(answer.status, (200, 400), answer.body)
            count += 1
        self.assertGreater(count, 50)
        for name in self.labels:
            fell = [c for c in self.server.changes(name)[before[name]:] if c[0] not in ("up", "warming")]
            self.assertEqual([], fell)


if __name__ == "__main__":
    unittest.main()

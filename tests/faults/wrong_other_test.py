"""H4, what is not a signature: decryptions and new keys that are wrong."""
import hashlib
import os
import time
import unittest

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from faults import FaultCase
from keyward import b64, unb64


class WrongDecryption(FaultCase):
    options = {"standby": ["hsm-b"]}

    def check(self, alg, how, pad):
        """A decryption is right or it is refused as a fault of the service, never wrong."""
        key = self.keys[0]
        wrong = self.server.metric("wrong_answers_total")
        slot = self.bad.set(f"C_Decrypt answer={how}")
        deadline = time.monotonic() + 20
        while self.bad.fired(slot) == 0 and time.monotonic() < deadline:
            secret = os.urandom(32)
            answer = self.server.post(f"{key.path}/decrypt", {
                "alg": alg, "value": b64(key.public.encrypt(secret, pad))})
            self.assertEqual(200, answer.status, answer.body)
            self.assertEqual(secret, unb64(answer.json["value"]))
        self.assertGreater(self.bad.fired(slot), 0)
        self.server.wait_health("hsm-a", "down", "starting", "syncing", "probing", "warming")
        self.assertGreater(self.server.metric("wrong_answers_total"), wrong, "no alarm")
        self.bad.set()

    def test_oaep(self):
        pad = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
        for how in ("flip", "zero", "random", "truncate"):
            with self.subTest(how):
                self.setUp()
                self.check("RSA-OAEP", how, pad)

    def test_v15(self):
        for how in ("flip", "zero", "random"):
            with self.subTest(how):
                self.setUp()
                self.check("RSA1_5", how, padding.PKCS1v15())


class WrongWrap(FaultCase):
    options = {"standby": ["hsm-b"]}
    group = FaultCase.group + "  min_copies: 1\n"  # one of the two is down by then

    def test_new_key_that_cannot_be_used(self):
        """A key whose wrapped form was damaged on its way out of the token is never answered."""
        for how in ("flip", "zero", "truncate"):
            with self.subTest(how):
                self.setUp()
                slot = self.bad.set(f"C_WrapKey answer={how}")
                deadline, number = time.monotonic() + 20, 0
                while self.bad.fired(slot) == 0 and time.monotonic() < deadline:
                    number += 1
                    name = f"new-{how}-{number}"
                    made = self.server.post(f"/keys/{name}/create", {"kty": "EC-HSM", "crv": "P-256"})
                    self.assertEqual(200, made.status, made.body)
                    digest = hashlib.sha256(b"x").digest()
                    for _ in range(4):
                        self.server.ok(f"/keys/{name}/sign", {"alg": "ES256", "value": b64(digest)})
                self.assertGreater(self.bad.fired(slot), 0)
                self.bad.set()


if __name__ == "__main__":
    unittest.main()

"""H4: members that answer wrong. Nothing of it may reach a client."""
import hashlib
import os
import time
import unittest

from faults import FaultCase
from keyward import b64


class WrongSignature(FaultCase):
    def lies(self, how, key):
        wrong = self.server.metric("wrong_answers_total")
        clients = self.clients(key)
        time.sleep(0.3)
        slot = self.bad.set(f"C_Sign answer={how} times=3")
        self.server.wait_health("hsm-a", "down", "starting", "syncing", "probing", "warming")
        deadline = time.monotonic() + 10
        while self.bad.fired(slot) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        self.bad.set()
        self.server.wait_serving(["hsm-a"])
        self.unharmed(clients)
        self.assertGreater(self.bad.fired(slot), 0)
        return self.server.metric("wrong_answers_total") - wrong

    def test_flipped_bit(self):
        for key in self.keys:
            with self.subTest(key.name):
                self.assertGreater(self.lies("flip", key), 0, "no alarm")
                self.assertIn("an answer did not verify", [why for _, why in self.server.changes("hsm-a")])
                self.assertIn("wrong", self.server.log().lower())

    def test_zero(self):
        for key in self.keys:
            with self.subTest(key.name):
                self.assertGreater(self.lies("zero", key), 0, "no alarm")

    def test_random(self):
        self.assertGreater(self.lies("random", self.keys[0]), 0, "no alarm")

    def test_another_operations_answer(self):
        for key in self.keys:
            with self.subTest(key.name):
                self.assertGreater(self.lies("stale", key), 0, "no alarm")

    def test_valid_signature_of_another_key(self):
        for key in self.keys:
            with self.subTest(key.name):
                self.assertGreater(self.lies("other_key", key), 0, "no alarm")

    def test_truncated(self):
        for key in self.keys:
            with self.subTest(key.name):
                self.assertGreater(self.lies("truncate", key), 0, "no alarm")

    def test_only_a_liar_is_left(self):
        """No member that answers right: 503, not a wrong signature."""
        self.server.cli("member", "drain", "hsm-b", "-c", str(self.server.config))
        try:
            self.bad.set("C_Sign answer=flip")
            deadline = time.monotonic() + 3
            refused = 0
            while time.monotonic() < deadline:
                digest = hashlib.sha256(os.urandom(8)).digest()
                answer = self.server.post(f"{self.keys[0].path}/sign", {"alg": "RS256", "value": b64(digest)})
                self.assertEqual(503, answer.status, answer.body)
                self.assertTrue(answer.headers["Retry-After"])
                refused += 1
            self.assertGreater(refused, 5)
        finally:
            self.server.cli("member", "activate", "hsm-b", "-c", str(self.server.config))

    def test_a_million_is_not_needed(self):
        """A member that lies now and then, for a while: every answer is right."""
        clients = self.clients()
        self.bad.set("C_Sign answer=flip probability=0.2")
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            self.server.recover("hsm-a")
            time.sleep(0.25)
        self.bad.set()
        self.unharmed(clients)


if __name__ == "__main__":
    unittest.main()

"""Keys that were on the tokens before, when the login is lost and when handles go stale: another
member serves meanwhile, and the one it happened to finds the keys again."""
import time
import unittest

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from faults import Clients, FaultGroup, Key
from resident_test import Prepared

LABELS = ["hsm-a", "hsm-b"]
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


class Tokens(FaultGroup, Prepared):
    """Tokens that are prepared by the real module, members that load the one with faults."""


class Resident(Key):
    """An adopted key: its answers are checked against what was put on the tokens."""

    def __init__(self, name, key):
        self.name, self.path, self.public = name, f"/keys/{name}", key.public_key()
        self.rsa = isinstance(key, rsa.RSAPrivateKey)


class Adopted(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = server = Tokens(LABELS, group="  recovery: { retries: -1, interval: 100ms }\n")
        server.pair(LABELS, RSA_KEY, "a1", "payments")
        server.pair(LABELS, EC_KEY, "a2", "codesign")
        server.start()
        server.key("adopt", "payments", "--id", "a1")
        server.key("adopt", "codesign", "--id", "a2")
        cls.keys = [Resident("payments", RSA_KEY), Resident("codesign", EC_KEY)]

    @classmethod
    def tearDownClass(cls):
        cls.server.end()

    def setUp(self):
        self.bad.set()
        self.server.recover("hsm-a")
        self.server.wait_serving(LABELS)

    @property
    def bad(self):
        return self.server.plans["hsm-a"]

    def suffers(self, rule, times=1, restarts=None):
        """hsm-a suffers `rule` under load: no client sees it, and hsm-a signs with both keys again."""
        host = self.server.host_pid("hsm-a")
        logins = self.bad.logins
        clients = Clients(self.server, *self.keys)
        self.addCleanup(clients.end)
        time.sleep(0.5)
        slot = self.bad.set(f"{rule} times={times}")
        deadline = time.monotonic() + 20
        while self.bad.fired(slot) < times and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(times, self.bad.fired(slot))
        time.sleep(1)
        self.server.wait_serving(LABELS)
        time.sleep(0.5)
        clients.end()
        print(f"\n    {clients.good} answers, slowest {clients.slowest() * 1000:.0f} ms, "
              f"{self.bad.logins - logins} logins", flush=True)
        self.assertEqual([], clients.bad[:5], f"{len(clients.bad)} bad answers")
        self.assertEqual(0, clients.wrong)
        self.assertGreaterEqual(clients.good, 50)
        if restarts is not None:
            self.assertEqual(restarts, host != self.server.host_pid("hsm-a"))
        self.alone()

    def alone(self):
        """hsm-a has to sign by itself: it knows where its keys are now."""
        self.server.command("drain", "hsm-b")
        try:
            clients = Clients(self.server, *self.keys, threads=2)
            time.sleep(0.5)
            clients.end()
        finally:
            self.server.command("activate", "hsm-b")
        self.server.wait_serving(LABELS)
        self.assertEqual([], clients.bad[:5], self.server.members())
        self.assertEqual(0, clients.wrong)
        self.assertGreater(clients.good, 10)

    def test_login_is_lost(self):
        """The token closed every session, and with the last one the login is gone."""
        self.suffers("C_Sign lose=sessions", restarts=True)

    def test_login_is_lost_by_its_code(self):
        self.suffers("C_SignInit rv=0x101", times=4)

    def test_sessions_of_workers_are_lost(self):
        self.suffers("C_Sign lose=workers", restarts=False)

    def test_session_handles_go_stale(self):
        self.suffers("C_SignInit rv=0xb3", times=20)

    def test_object_handles_go_stale(self):
        self.suffers("C_Sign lose=objects", restarts=True)

    def test_key_handle_is_refused(self):
        for code in ("0x60", "0x82"):
            with self.subTest(code):
                self.suffers(f"C_SignInit rv={code}", times=5, restarts=False)


if __name__ == "__main__":
    unittest.main()

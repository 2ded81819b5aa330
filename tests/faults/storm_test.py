"""H5 at length: a code that comes again and again, from one member under load."""
import hashlib
import json
import time
import unittest

from faults import FaultCase
from hsm import Load
from keyward import VERSION, b64


class Storms(FaultCase):
    options = {"standby": ["hsm-b"]}  # so that hsm-a is asked first, whatever it did before

    def storm(self, rule, seconds=4, at_least=50):
        """A code that comes again and again, under load."""
        clients = self.clients()
        time.sleep(0.3)
        slot = self.bad.set(rule)
        time.sleep(seconds)
        self.assertGreater(self.bad.fired(slot), 0)
        self.bad.set()
        self.unharmed(clients, at_least)

    def test_storms(self):
        for code in (0x02, 0x32, 0x60, 0x82, 0x90, 0x91, 0xb0, 0xe0, 0x150, 0x190):
            with self.subTest(hex(code)):
                self.setUp()
                self.storm(f"C_Sign rv={code}", seconds=1)

    def test_storms_under_load(self):
        """64 requests at a time: what one member refuses finds its way to the other."""
        digest = hashlib.sha256(b"a message").digest()
        body = json.dumps({"alg": "ES256", "value": b64(digest)}).encode()
        for code in (0x05, 0x06, 0x30, 0x31, 0x101, 0xb1, 0xb3, 0x80000042):
            with self.subTest(hex(code)):
                self.setUp()
                load = Load(self.server, f"{self.keys[1].path}/sign?{VERSION}", body, seconds=2)
                time.sleep(0.5)
                slot = self.bad.set(f"C_Sign rv={code}")
                time.sleep(1)
                self.bad.set()
                result = load.end()
                print(f"\n    0x{code:x}: {result}, fired {self.bad.fired(slot)}", flush=True)
                self.assertGreater(self.bad.fired(slot), 0)
                self.assertEqual(0, result["failed"] + result["errored"] + result["timeout"] + result["bad"])
                self.assertGreater(result["succeeded"], 500)

    def test_now_and_then(self):
        for code in (0x30, 0x05, 0xb3, 0x82):
            with self.subTest(hex(code)):
                self.setUp()
                self.storm(f"C_Sign rv={code} probability=0.05", seconds=2)

    def test_ambiguous_does_not_eject(self):
        """GENERAL_ERROR while the token's canary works is nobody's proven fault."""
        before = len(self.server.changes("hsm-a"))
        clients = self.clients()
        slot = self.bad.set("C_Sign rv=5 probability=0.2")
        time.sleep(2)
        self.assertGreater(self.bad.fired(slot), 20)
        self.bad.set()
        self.unharmed(clients)
        fell = [change for change in self.server.changes("hsm-a")[before:] if change[0] == "down"]
        self.assertEqual([], fell)

    def test_one_operation_error_does_not_eject(self):
        before = len(self.server.changes("hsm-a"))
        clients = self.clients()
        self.bad.set("C_Sign nth=20 rv=0x30", "C_Sign nth=60 rv=0x30")
        time.sleep(2)
        self.unharmed(clients)
        fell = [change for change in self.server.changes("hsm-a")[before:] if change[0] == "down"]
        self.assertEqual([], fell)

    def test_other_functions(self):
        """The rest of what a signature needs: keys that are loaded, sessions that are opened."""
        for rule in ("C_SignInit rv=0x30", "C_SignInit rv=0xb3", "C_UnwrapKey rv=0x30", "C_UnwrapKey rv=0x05",
                     "C_OpenSession rv=0xb1", "* rv=0x32"):
            with self.subTest(rule):
                self.setUp()
                clients = self.clients()
                self.bad.set(rule, "C_Sign nth=3 times=1 rv=0xb3")
                time.sleep(1)
                self.bad.set()
                self.unharmed(clients)


if __name__ == "__main__":
    unittest.main()

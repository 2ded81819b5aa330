"""limits.rate: one client's flood is held back with 429 and Retry-After, another client is not."""
import os
import socket
import time
import unittest

import hsm


@unittest.skipUnless(os.path.exists(hsm.MODULE), "SoftHSM is not installed")
class Rate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = hsm.Group(["hsm-a"], limits="limits: { rate: 20 }\n")
        cls.other = cls.server.cli("token", "create", "other", "-c",
                                   str(cls.server.config)).strip()
        cls.server.start()

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        cls.server.remove()
        assert code == 0, f"exit code {code}"

    def test_a_flood_is_held_back_alone(self):
        answers = [self.server.get("/keys") for _ in range(300)]
        refused = [a for a in answers if a.status == 429]
        self.assertEqual({a.status for a in answers}, {200, 429})
        self.assertGreater(len(refused), 100)
        for answer in refused:
            self.assertEqual(answer.code, "Throttled")
            self.assertEqual(answer.headers["Retry-After"], "1")
        quiet = [self.server.get("/keys", token=self.other).status for _ in range(15)]
        self.assertEqual(quiet, [200] * 15)
        # who is not known is told so, however often it asks
        self.assertEqual({self.server.get("/keys", token=False).status for _ in range(60)}, {401})

    def test_operators_are_not_held_back(self):
        for _ in range(3):
            self.server.cli("export", "-c", str(self.server.config), "-o", str(self.server.folder / f"out{_}"))
        control = str(self.server.data / "control.sock")
        for _ in range(60):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(control)
                sock.sendall(b"GET /status.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                self.assertEqual(sock.recv(64)[:12], b"HTTP/1.1 200")

    def test_a_batch_counts_each_of_its_operations(self):
        time.sleep(1.2)  # the bucket is full again
        operations = [{"op": "sign", "key": "none", "alg": "RS256", "value": "AA"}] * 100
        results = self.server.post("/batch", {"operations": operations}).json["results"]
        codes = [r["error"]["code"] for r in results]
        self.assertEqual(len(codes), 100)
        self.assertEqual(set(codes[:15]) & {"Throttled"}, set())
        self.assertGreater(codes.count("Throttled"), 60)


if __name__ == "__main__":
    unittest.main()

"""Labels are bytes that somebody else has written: no answer breaks by them."""
import json
import os
import subprocess
import unittest

from hsm import PIN
from resident_test import Prepared, aes_object

LATIN = "Schlüssel".encode("latin-1")


class Labels(unittest.TestCase):
    def setUp(self):
        self.server = server = Prepared(["hsm-a", "hsm-b"])
        self.addCleanup(server.remove)
        server.config.write_text(server.config.read_text().replace("token: hsm-b", "token: elsewhere"))
        server.objects("hsm-a", aes_object(os.urandom(32), "e1", {"hex": LATIN.hex()}, encrypt=True, decrypt=True),
                       aes_object(os.urandom(32), "e2", {"hex": "Schlüssel".encode().hex()}, encrypt=True,
                                  decrypt=True))
        # a text as long as a reason gets, of characters of two bytes: it is cut somewhere
        for label in (LATIN, "ü".encode() * 16, b"x" + "ü".encode() * 15, b"\xc2\x9b31m"):
            subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin",
                            "so-" + PIN], check=True, capture_output=True, env=server.tokens.environment)
        server.start(wait=False)
        self.addCleanup(server.stop)
        server.wait_serving(["hsm-a"])

    def test_nothing_is_left_out_of_a_list(self):
        member = self.server.members()["hsm-b"]
        self.assertIn("no token with this label", member["reason"])
        self.assertNotIn("\x9b", member["reason"])
        for line in self.server.log().splitlines():
            self.assertNotIn("\x9b", json.loads(line).get("reason", ""))
        rows = {row["id"]: row["label"] for row in self.server.on_tokens()["keys"]}
        self.assertEqual({"e1": "Schl?ssel", "e2": "Schlüssel"}, rows)


if __name__ == "__main__":
    unittest.main()

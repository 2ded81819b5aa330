"""keyward dr rehearse: everything of an instance comes back in a scratch one and works, and nothing of it is left behind."""

import pathlib
import random
import shutil
import signal
import subprocess
import time
import unittest

import estate
from dr_check_test import Base

EMPTY = {}


class Rehearse(Base):
    @classmethod
    def fill(cls):
        estate.fill(cls.server)
        for kty, name in (("EC", "only-verify"), ("oct", "only-wrap"), ("RSA", "only-decrypt")):
            ops = {"EC": ["verify"], "oct": ["wrapKey"], "RSA": ["decrypt", "encrypt"]}[kty]
            cls.server.create(name, kty, key_ops=ops)
        other = cls.server.clone()
        for name in ("one", "two"):
            answer = other.request("POST", f"/keys/{name}/create", {"kty": "EC"}, headers={"Host": f"other.localhost:{cls.server.port}"})
            assert answer.status == 200, answer.body
        answer = other.request("POST", "/keys/exchange/create", {"kty": "RSA-HSM", "key_size": 2048, "key_ops": ["import"]},
                               headers={"Host": f"other.localhost:{cls.server.port}"})
        assert answer.status == 200, answer.body
        other.close()

    @classmethod
    def back_up(cls, vault="default"):
        super().back_up("other")
        return super().back_up()

    def scratch(self):
        folder = self.place / "scratch"
        folder.mkdir(exist_ok=True)
        return folder

    def test_everything(self):
        before, key = estate.inventory(self.server), (self.server.data / "domain.key").read_bytes()
        began = time.monotonic()
        out, items = self.items("rehearse", "--scratch", str(self.scratch()), keys="bc")
        self.assertLess(out["recovery_seconds"], time.monotonic() - began)
        self.assertGreater(out["recovery_seconds"], 0)
        self.assertEqual(out["problems"], 0, out)
        keys = items[("recovered", "keys")]["seen"]
        versions = sum(len(estate.listed(self.server, f"keys/{k['kid'].split('/')[4]}/versions"))
                       for k in estate.listed(self.server, "keys"))
        numbers = [int(word) for word in keys.replace("(", " ").split() if word.isdigit()]
        self.assertEqual(sum(numbers[:3]), versions + 2, keys)  # two of the other vault
        self.assertGreater(min(numbers[:3]), 0, keys)
        self.assertIn("and 1 key exchange keys", keys)
        self.assertEqual(self.result(items, "recovered", "against the backup"), "OK")
        self.assertIn("0 changed, 0 made, 0 removed", items[("recovered", "against the live store")]["seen"])
        self.assertIn(("restore of other", "restored"), items)
        # nothing is left, and nothing was done to the live one
        self.assertEqual(list(self.scratch().iterdir()), [])
        self.assertEqual((self.server.data / "domain.key").read_bytes(), key)
        self.assertEqual(estate.differences(before, estate.inventory(self.server)), EMPTY)

    def test_without_the_instance(self):
        """All that is left: the file, two keys, a backup."""
        out = self.dr("rehearse", "--from", str(self.backup.parent), "--vault", "default", data=False)
        self.assertIn("the recovery was rehearsed: it works", out)
        self.assertNotIn("restore of other", out)

    def test_too_few_keys(self):
        out = self.dr("rehearse", "--scratch", str(self.scratch()), keys="a", code=1)
        self.assertIn("found 1 private keys; this file needs 2 of its 3", out)
        self.assertNotIn("new instance", out)
        self.assertEqual(list(self.scratch().iterdir()), [])

    def begin(self):
        process = subprocess.Popen([self.server.binary, "dr", "rehearse", "--domain", self.file, "--keys", self.who.keys("ab"),
                                    "--data", str(self.server.data), "--scratch", str(self.scratch())],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
        self.addCleanup(process.stdout.close)
        end = time.monotonic() + 120
        while not any((p / "control").exists() for p in self.scratch().iterdir()):
            self.assertIsNone(process.poll())
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)
        return process

    def children(self):
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and str(self.scratch()).encode() in (entry / "cmdline").read_bytes().split(b"--domain")[0]:
                    found.append(int(entry.name))
            except OSError:
                pass
        return found

    def test_interrupted(self):
        rng = random.Random(2)
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = self.begin()
            time.sleep(rng.uniform(0, 1.5))
            process.send_signal(sig)
            text = process.stdout.read()
            code = process.wait(60)
            if "it works" not in text:
                self.assertEqual(code, 1)
                self.assertIn("the rehearsal was interrupted", text)
            self.assertEqual(list(self.scratch().iterdir()), [], text)
            self.assertEqual(self.children(), [])

    def test_killed(self):
        """Nothing can be wiped then; but no instance goes on."""
        process = self.begin()
        process.kill()
        process.wait(30)
        end = time.monotonic() + 20
        while self.children():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        for left in self.scratch().iterdir():
            shutil.rmtree(left)


if __name__ == "__main__":
    unittest.main()

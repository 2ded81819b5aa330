"""The cases of deploy/runbook.md, command by command, on tokens of SoftHSM. Total loss is in total_loss_test."""

import os
import pathlib
import shutil
import signal
import subprocess
import time
import unittest

from domain_test import Operators
from hsm import PIN, Group
from keyward import b64

USES = (("rsa", "RSA-HSM", "RS256"), ("ec", "EC-HSM", "ES256"), ("soft", "EC", "ES256"))


class Runbook(unittest.TestCase):
    def setUp(self):
        self.group = Group(["hsm-a", "hsm-b"])
        self.addCleanup(self.group.remove)
        self.place = self.group.folder / "place"
        self.place.mkdir()
        text = self.group.config.read_text()
        for name in "ab":  # a PIN file for each
            pin = self.group.folder / f"{name}.pin"
            pin.write_text(PIN)
            pin.chmod(0o600)
            text = text.replace(f"token: hsm-{name}, pin_file: {self.group.tokens.pin_file}", f"token: hsm-{name}, pin_file: {pin}")
        self.group.config.write_text(text + f"backup: {{ to: {self.place}, every: 24h }}\n")
        self.group.start()
        self.addCleanup(self.end)
        self.keys = {name: self.group.create(name, kty)["key"] for name, kty, _ in USES}

    def end(self):
        if self.group.process.poll() is None:
            self.assertEqual(self.group.stop(), 0, self.group.log()[-2000:])

    def kw(self, *words, code=0):
        done = subprocess.run([self.group.binary, *words, "-c", str(self.group.config)], capture_output=True, text=True, timeout=150,
                              env=self.group.tokens.environment, stdin=subprocess.DEVNULL, check=False)
        self.assertEqual(done.returncode, code, (words, done.stdout, done.stderr))
        return done.stdout + done.stderr

    def wait(self, name, health):
        end = time.monotonic() + 120
        while self.group.members().get(name, {}).get("health") != health:
            self.assertLess(time.monotonic(), end, self.group.members().get(name))
            time.sleep(0.2)

    def works(self):
        for name, _, alg in USES:
            self.group.ok(f"/keys/{name}/sign", {"alg": alg, "value": b64(bytes(32))})
            self.assertEqual(self.group.get(f"/keys/{name}").json["key"], self.keys[name])

    def softhsm(self, *words):
        subprocess.run(["softhsm2-util", *words], env=self.group.tokens.environment, check=True, capture_output=True)

    def test_member_drained_and_auth_failed(self):
        self.kw("member", "drain", "hsm-a")
        self.works()
        self.kw("member", "activate", "hsm-a")
        self.kw("member", "recover", "hsm-a")
        self.wait("hsm-a", "up")
        pin = self.group.folder / "b.pin"
        pin.write_text("wrong")
        os.kill(self.group.host_pid("hsm-b"), signal.SIGKILL)
        self.wait("hsm-b", "auth_failed")
        self.assertIn("CKR_PIN_INCORRECT", self.kw("member", "list"))
        self.works()
        pin.write_text(PIN)
        self.kw("member", "recover", "hsm-b")
        self.wait("hsm-b", "up")

    def test_token_lost_and_replaced(self):
        self.softhsm("--delete-token", "--token", "hsm-a")
        os.kill(self.group.host_pid("hsm-a"), signal.SIGKILL)
        self.works()
        self.softhsm("--init-token", "--free", "--label", "hsm-a", "--pin", PIN, "--so-pin", "so-" + PIN)
        self.kw("member", "recover", "hsm-a")
        self.wait("hsm-a", "mismatched")
        self.assertIn("which was joined: keyward member replace hsm-a", self.kw("member", "list"))
        self.kw("member", "replace", "hsm-a")
        self.wait("hsm-a", "up")
        self.works()

    def test_store_lost(self):
        data, broken = self.group.data, self.group.folder / "broken"
        operators = self.group.folder / "operators"
        operators.mkdir()
        who = Operators(operators, "abc")
        file = str(operators / "domain.json")
        self.kw("domain", "download", "--certs", who.certs("abc"), "--quorum", "2", "-o", file)
        end = time.monotonic() + 120
        while not self.backups():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.2)
        self.assertIn("backup of default: ", self.kw("status"))
        self.assertIn("a recovery would succeed today", self.kw("dr", "check", "--domain", file))
        self.assertIn("it works", self.kw("dr", "rehearse", "--domain", file, "--keys", who.keys("ab")))
        backup = self.backups()[-1]
        self.assertEqual(self.group.stop(), 0)
        shutil.move(data, broken)
        data.mkdir(mode=0o700)
        for name in ("domain.key", "tls.pem", "tls.key", "ca.pem", "tokens.json"):  # all but the first are of this test's set-up
            shutil.copy2(broken / name, data / name)
        self.group.start()
        self.assertEqual(self.group.get("/keys/rsa").status, 404)
        self.kw("backup", "--to", str(self.place))
        self.kw("restore", str(backup))
        self.works()
        self.assertIn("a recovery would succeed today", self.kw("dr", "check", "--domain", file, "--keys", who.keys("bc")))

    def backups(self):
        """Those that were verified: noted as kept."""
        whole = "kept" in self.kw("status") and "verified" in self.kw("status")
        return [p for p in sorted(self.place.iterdir()) if whole and (pathlib.Path(p) / "manifest.json").exists()]


if __name__ == "__main__":
    unittest.main()

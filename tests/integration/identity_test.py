"""A token that is not the one that was joined, or that belongs to another domain, never serves by itself."""
import json
import shutil
import subprocess
import time
import unittest

from group_test import DIGEST, check_es256
from hsm import PIN, Group, kill_process
from keyward import b64, unb64


def renew_token(server, label):
    """A device that was reset: the same label, another serial number, nothing on it."""
    environment = server.tokens.environment
    subprocess.run(["softhsm2-util", "--delete-token", "--token", label], check=True, capture_output=True,
                   env=environment)
    subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin",
                    "so-" + PIN], check=True, capture_output=True, env=environment)


class Identity(unittest.TestCase):
    def setUp(self):
        self.groups = []

    def tearDown(self):
        for group in self.groups:
            if group.process and group.process.poll() is None:
                self.assertEqual(0, group.stop())
            group.remove()

    def group(self, *labels):
        self.groups.append(Group(list(labels)))
        return self.groups[-1]

    def command(self, server, word, name, good=True):
        done = subprocess.run([server.binary, "member", word, name, "-c", str(server.config)],
                              capture_output=True, text=True, timeout=30)
        self.assertEqual(good, done.returncode == 0, done)
        return done.stderr

    def await_health(self, server, name, health, seconds=30):
        deadline = time.monotonic() + seconds
        while True:
            member = server.members()[name]
            if member["health"] == health:
                return member
            self.assertLess(time.monotonic(), deadline, member)
            time.sleep(0.1)

    def await_serving(self, server, name, serving):
        deadline = time.monotonic() + 30
        while server.members()[name]["serving"] != serving:
            self.assertLess(time.monotonic(), deadline, server.members()[name])
            time.sleep(0.1)

    def sign(self, server, name, key):
        signed = server.ok(f"/keys/{name}/sign", {"alg": "ES256", "value": b64(DIGEST)})
        check_es256(key, unb64(signed["value"]))

    def test_another_serial_is_joined_only_by_word(self):
        server = self.group("hsm-a", "hsm-b").start()
        key = server.create("k", "EC-HSM", crv="P-256")["key"]
        old = server.members()["hsm-b"]["token"]["serial"]
        self.assertIn(f"#{old}", (server.data / "member-hsm-b.json").read_text())
        self.assertIn("no meaning", self.command(server, "replace", "hsm-b", good=False))
        renew_token(server, "hsm-b")
        kill_process(server.host_pid("hsm-b"))
        member = self.await_health(server, "hsm-b", "mismatched")
        new = member["token"]["serial"]
        self.assertNotEqual(old, new)
        for part in (old, new, "keyward member replace hsm-b"):
            self.assertIn(part, member["reason"])
        self.sign(server, "k", key)
        # neither time, nor a recover, nor a restart of the gateway joins it
        self.command(server, "recover", "hsm-b")
        time.sleep(1)
        self.await_health(server, "hsm-b", "mismatched")
        self.assertEqual(0, server.stop())
        server.start(wait=False)
        self.await_health(server, "hsm-b", "mismatched")
        # its PIN was not tried: the record still has the old token's login
        self.assertIn(old, (server.data / "member-hsm-b.json").read_text())
        self.command(server, "replace", "hsm-b")
        server.wait_serving(["hsm-b"])
        self.assertIn(f"#{new}", (server.data / "member-hsm-b.json").read_text())
        self.command(server, "drain", "hsm-a")
        self.await_serving(server, "hsm-a", False)
        self.sign(server, "k", key)
        # joined once, it comes back by itself
        kill_process(server.host_pid("hsm-b"))
        time.sleep(0.5)
        server.wait_serving(["hsm-b"])
        self.sign(server, "k", key)

    def test_a_token_of_another_domain_never_serves(self):
        first = self.group("stray").start()
        first.create("theirs", "EC-HSM", crv="P-256")
        self.assertEqual(0, first.stop())
        theirs = json.loads((first.data / "member-stray.json").read_text())["domain"]
        server = self.group("hsm-a")
        for folder in (first.tokens.folder / "tokens").iterdir():
            shutil.copytree(folder, server.tokens.folder / "tokens" / folder.name)
        server.tokens.labels.append("stray")
        server._write_config()
        server.start(wait=False)
        server.wait_serving(["hsm-a"])
        member = self.await_health(server, "stray", "mismatched")
        ours = json.loads((server.data / "member-hsm-a.json").read_text())["domain"]
        self.assertNotEqual(ours, theirs)
        for part in (theirs[:8], ours[:8], "stray"):
            self.assertIn(part, member["reason"])
        warnings = [json.loads(line) for line in server.log().splitlines() if '"mismatched"' in line]
        self.assertTrue(warnings)
        self.assertTrue(all(line["level"] in ("warn", "error") for line in warnings), warnings)
        self.assertFalse((server.data / "member-stray.json").exists())
        self.command(server, "replace", "stray")
        server.wait_serving(["stray"])
        key = server.create("ours", "EC-HSM", crv="P-256")["key"]
        self.sign(server, "ours", key)
        # and now it is the first gateway that must not take it
        shutil.rmtree(first.tokens.folder / "tokens")
        shutil.copytree(server.tokens.folder / "tokens", first.tokens.folder / "tokens")
        first.start(wait=False)
        member = self.await_health(first, "stray", "mismatched")
        self.assertIn(ours[:8], member["reason"])
        self.assertEqual(503, first.post("/keys/theirs/sign", {"alg": "ES256", "value": b64(DIGEST)}).status)

    def test_sync_drops_what_is_loaded_and_goes_on(self):
        server = self.group("hsm-a").start()
        keys = [server.create(f"k{i}", "EC-HSM", crv="P-256")["key"] for i in range(5)]
        for _ in range(3):
            self.command(server, "sync", "hsm-a")
            for i, key in enumerate(keys):
                self.sign(server, f"k{i}", key)
        self.assertIn("no member", self.command(server, "sync", "hsm-z", good=False))


if __name__ == "__main__":
    unittest.main()

"""The total loss of one member while clients work: its token is deleted from the disk, a new one of another serial number
takes its place, by an operator's word alone, and no client notices."""

import json
import subprocess
import time
import unittest

from faults import Clients, Key, until
from full_backup_test import run
from hsm import PIN, Wide, kill_process


def token(server, *words):
    subprocess.run(["softhsm2-util", *words], check=True, capture_output=True, env=server.tokens.environment)


def changes(server, name, since):
    """The healths that a member went through, from this place of the log on."""
    found = []
    for line in server.log()[since:].splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("member") == name and "to" in event:
            found.append(event["to"])
    return found


class Loss(unittest.TestCase):
    def setUp(self):
        self.server = Wide(["hsm-a", "hsm-b", "hsm-c"], group="  recovery: { retries: -1, interval: 200ms }\n").start()
        self.clients = None

    def tearDown(self):
        if self.clients:
            self.clients.end()
        self.assertEqual(self.server.stop(), 0)
        self.server.remove()

    def member(self, word, name, good=True):
        done = subprocess.run([self.server.binary, "member", word, name, "-c", str(self.server.config)], capture_output=True, text=True,
                              timeout=30, check=False)
        self.assertEqual(done.returncode == 0, good, done.stderr)

    def health(self, name, *wanted, seconds=40):
        until(lambda: self.server.members()[name]["health"] in wanted, seconds,
              lambda: f"{self.server.members()[name]}\n{self.server.log()[-2000:]}")

    def lose(self, name):
        token(self.server, "--delete-token", "--token", name)
        kill_process(self.server.host_pid(name))  # what the library still had in memory goes as well
        self.health(name, "down")

    def test_one_of_three_under_load(self):
        server = self.server
        keys = [Key(server, f"k{i}", kty) for i, kty in enumerate(["RSA-HSM", "EC-HSM"] * 4)]
        kids = [key.made["kid"] for key in keys]
        old = server.members()["hsm-b"]["token"]["serial"]
        self.clients = clients = Clients(server, *keys, threads=6)
        until(lambda: clients.good > 100, 30, lambda: "no load")
        self.lose("hsm-b")
        lost_at = clients.good
        until(lambda: clients.good > lost_at + 100, 30, lambda: "the others do not carry it")
        token(server, "--init-token", "--free", "--label", "hsm-b", "--pin", PIN, "--so-pin", "so-" + PIN)
        self.health("hsm-b", "mismatched")
        self.assertNotEqual(server.members()["hsm-b"]["token"]["serial"], old)
        time.sleep(1)  # time alone does not join it
        self.health("hsm-b", "mismatched", seconds=0.1)
        self.assertFalse(server.members()["hsm-b"]["serving"])

        mark, work = len(server.log()), server.operations("hsm-b")
        self.member("replace", "hsm-b")
        self.health("hsm-b", "up")
        until(lambda: changes(server, "hsm-b", mark)[-1:] == ["up"], 10, lambda: "the log does not say so")
        way = changes(server, "hsm-b", mark)
        print(f"\n    {' '.join(way)}", flush=True)
        self.assertEqual(way[-4:], ["syncing", "probing", "warming", "up"])  # in step, tried, and slowly
        until(lambda: server.operations("hsm-b") > work + 50, 30, lambda: "it gets no work")

        # every key is on it: it carries all of them alone
        for other in ("hsm-a", "hsm-c"):
            self.member("drain", other)
        until(lambda: not any(server.members()[n]["serving"] for n in ("hsm-a", "hsm-c")), 30, lambda: "not drained")
        alone = clients.good
        until(lambda: clients.good > alone + 100, 60, lambda: "it does not serve alone")
        clients.end()
        print(f"    {clients.good} answers, p99 {clients.slowest(0.99) * 1000:.0f} ms, slowest {clients.slowest() * 1000:.0f} ms", flush=True)
        self.assertEqual([], clients.bad[:5], f"{len(clients.bad)} bad answers")
        self.assertEqual(0, clients.wrong)
        self.assertEqual([server.get(f"/keys/{key.name}").json["key"]["kid"] for key in keys], kids)
        # who it is now is kept: it comes back by itself
        kill_process(server.host_pid("hsm-b"))
        server.wait_serving(["hsm-b"])

    def test_backup_and_restore_under_load(self):
        """Clients go on from the state before to the restored one without a fault."""
        server = self.server
        keys = [Key(server, f"k{i}", kty) for i, kty in enumerate(["RSA-HSM", "EC-HSM", "EC"] * 2)]
        for i in range(200):
            self.assertEqual(server.request("PUT", f"/secrets/s{i}", {"value": "x" * 500}).status, 200)
        place = {"storageResourceUri": f"file://{server.store}"}
        self.clients = clients = Clients(server, *keys, threads=4)
        for _ in range(3):
            job = run(server, "POST", "/backup", place)
            self.assertEqual(job["status"], "Succeeded", job)
            folder = job["azureStorageBlobContainerUri"].rsplit("/", 1)[1]
            self.assertEqual(server.request("PUT", "/secrets/after", {"value": "the backup"}).status, 200)
            job = run(server, "PUT", "/restore", {"sasTokenParameters": place, "folderToRestore": folder})
            self.assertEqual(job["status"], "Succeeded", job)
            self.assertEqual(server.get("/secrets/after").status, 404)
            at = clients.good
            until(lambda: clients.good > at + 50, 30, lambda: "no answers after the restore")
        clients.end()
        print(f"\n    {clients.good} answers, slowest {clients.slowest() * 1000:.0f} ms", flush=True)
        self.assertEqual(([], 0), (clients.bad[:5], clients.wrong), f"{len(clients.bad)} bad answers")

    def test_all_of_them(self):
        """The gateway still has its domain: each new token is joined by a word, and opens every key."""
        server = self.server
        keys = [Key(server, "rsa", "RSA-HSM"), Key(server, "ec", "EC-HSM")]
        for name in server.tokens.labels:
            self.lose(name)
        self.assertEqual(server.post("/keys/ec/sign", {"alg": "ES256", "value": "A" * 43}).status, 503)
        for name in server.tokens.labels:
            token(server, "--init-token", "--free", "--label", name, "--pin", PIN, "--so-pin", "so-" + PIN)
        for name in server.tokens.labels:
            self.health(name, "mismatched")
            self.member("replace", name)
        server.wait_serving(server.tokens.labels)
        self.clients = clients = Clients(server, *keys, threads=3)
        until(lambda: clients.good > 60, 30, lambda: "no answers")
        clients.end()
        self.assertEqual(([], 0), (clients.bad[:5], clients.wrong))


if __name__ == "__main__":
    unittest.main()

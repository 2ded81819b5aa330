"""Full backup to Azure Blob storage and back: Azurite as the service, Python's own client of it beside."""

import hashlib
import json
import os
import pathlib
import random
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "integration"))

from azurite import Azurite  # noqa: E402
from full_backup_test import everything, poll, put, run  # noqa: E402
from keyward import Server  # noqa: E402

KILLS = int(os.environ.get("KEYWARD_KILLS", "12"))


class Base(unittest.TestCase):
    versions = 700  # some blocks of 4 MiB

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        os.environ["SSL_CERT_FILE"] = str(cls.server.data / "ca.pem")  # the gateway trusts Azurite's certificate
        cls.server.start()
        cls.azurite = Azurite(cls.server)
        for i in range(40):
            put(cls.server, f"s{i:02}", "x" * 20000)
        for i in range(cls.versions):
            put(cls.server, "large", os.urandom(12000).hex())
        cls.server.create("key", "EC")

    @classmethod
    def tearDownClass(cls):
        cls.azurite.stop()
        code = cls.server.stop()
        cls.server.remove()
        assert code == 0

    def place(self, token=None):
        return {"storageResourceUri": self.azurite.uri, "token": token or self.azurite.sas}

    def source(self, folder):
        return {"sasTokenParameters": self.place(), "folderToRestore": folder}

    def await_upload(self, before):
        """Until the first block of a new archive is there: the spool is whole then, and the probe is over."""
        end = time.monotonic() + 60
        while not {blob.name for blob in self.azurite.container.list_blobs(include=["uncommittedblobs"])} - before - {"keyward-probe"}:
            assert time.monotonic() < end
            time.sleep(0.03)

    def blobs(self):
        return {blob.name for blob in self.azurite.container.list_blobs()}

    def back_up(self):
        job = run(self.server, "POST", "/backup", self.place())
        self.assertEqual(job["status"], "Succeeded", job)
        self.assertRegex(job["azureStorageBlobContainerUri"], f"^{self.azurite.uri}/mhsm-default-\\d{{16}}$")
        return job["azureStorageBlobContainerUri"].rsplit("/", 1)[1]


class Blob(Base):
    def test_there_and_back(self):
        for blob in list(self.azurite.container.list_blobs()):
            self.azurite.container.delete_blob(blob.name)
        before = everything(self.server)
        folder = self.back_up()
        self.assertEqual(sorted(b.name for b in self.azurite.container.list_blobs()),
                         [f"{folder}/archive.kwar", f"{folder}/manifest.json"])
        put(self.server, "s00", "changed")
        self.server.request("DELETE", "/secrets/s01")
        put(self.server, "more", "m")
        self.assertEqual(run(self.server, "POST", "/backup/verify", self.source(folder))["status"], "Succeeded")
        self.assertEqual(run(self.server, "PUT", "/restore", self.source(folder))["status"], "Succeeded")
        self.assertEqual(everything(self.server), before)

    def test_changed_bytes(self):
        folder = self.back_up()
        rng = random.Random(4)
        put(self.server, "marker", "stays")
        for name in ("archive.kwar", "manifest.json"):
            blob = self.azurite.container.get_blob_client(f"{folder}/{name}")
            good = blob.download_blob().readall()
            for bad in [good[:-1], good + b"\0"] + [None] * 3:
                at = rng.randrange(len(good))
                blob.upload_blob(bad or good[:at] + bytes([good[at] ^ 1]) + good[at + 1:], overwrite=True)
                job = run(self.server, "PUT", "/restore", self.source(folder))
                self.assertEqual(job["status"], "Failed", (name, at))
                self.assertEqual(self.server.get("/secrets/marker").json["value"], "stays")
            blob.delete_blob()
            self.assertEqual(run(self.server, "PUT", "/restore", self.source(folder))["status"], "Failed")
            blob.upload_blob(good)
        self.assertEqual(run(self.server, "PUT", "/restore", self.source(folder))["status"], "Succeeded")
        self.assertEqual(self.server.get("/secrets/marker").status, 404)

    def test_rights(self):
        for token in (self.azurite.token(read=True), self.azurite.token(hours=-1), self.azurite.sas[:-4] + "xxx%3D"):
            begun = self.server.post("/backup", self.place(token))
            self.assertEqual(begun.status, 202)
            job = poll(self.server, begun.headers["Azure-AsyncOperation"])
            self.assertEqual(job["status"], "Failed")
            self.assertIn("the storage answered 403", job["error"]["message"])
            self.assertNotIn("sig", job["error"]["message"])
        self.assertEqual(run(self.server, "POST", "/prebackup", self.place())["status"], "Succeeded")
        self.assertEqual(run(self.server, "PUT", "/prerestore", {"sasTokenParameters": self.place()})["status"], "Succeeded")
        for uri in ("https://localhost", "https://localhost/c?x=y", "https://u@localhost/c", "http://localhost/c", "https://localhost/c d"):
            self.assertEqual(self.server.post("/backup", {"storageResourceUri": uri}).status, 400, uri)

    def test_storage_away_for_a_while(self):
        """Away when the upload begins, for less than the tries last: what has failed is sent again."""
        began = self.server.post("/backup", self.place())
        time.sleep(0.3)
        self.azurite.end()
        timer = threading.Timer(4.5, self.azurite.start)
        timer.start()
        job = poll(self.server, began.headers["Azure-AsyncOperation"])
        timer.join()
        self.assertEqual(job["status"], "Succeeded", job)
        self.assertGreaterEqual(job["endTime"] - job["startTime"], 4, "it ended before the storage was back")
        folder = job["azureStorageBlobContainerUri"].rsplit("/", 1)[1]
        self.assertEqual(run(self.server, "POST", "/backup/verify", self.source(folder))["status"], "Succeeded")

    def test_storage_ends_while_blocks_are_sent(self):
        """At any moment of the upload: it goes on with the block that did not come over, and the backup is whole."""
        rng = random.Random(11)
        for turn in range(4):
            before = self.blobs()
            begun = self.server.post("/backup", self.place())
            self.await_upload(before)
            time.sleep(rng.uniform(0, 0.1))
            self.azurite.end()
            time.sleep(0.5)
            self.azurite.start()
            job = poll(self.server, begun.headers["Azure-AsyncOperation"])
            self.assertEqual(job["status"], "Succeeded", (turn, job))
            folder = job["azureStorageBlobContainerUri"].rsplit("/", 1)[1]
            checked = run(self.server, "POST", "/backup/verify", self.source(folder))
            self.assertEqual(checked["status"], "Succeeded", (turn, checked))
        # away when the blocks are fetched
        before = everything(self.server)
        self.azurite.end()
        begun = self.server.request("PUT", "/restore", self.source(folder))
        time.sleep(2)
        self.azurite.start()
        job = poll(self.server, begun.headers["Azure-AsyncOperation"])
        self.assertEqual(job["status"], "Succeeded", job)
        self.assertEqual(everything(self.server), before)


class Killed(Base):
    """kill -9 of the gateway at any moment: a backup verifies or is refused, a vault is the old one or the new."""

    versions = 350

    def kill(self):
        self.server.process.kill()
        self.server.process.wait()
        self.server.process.stdout.close()
        self.server.errors.close()
        self.server.close()
        self.server.start()

    def timed(self, method, path, body):
        began = time.monotonic()
        job = run(self.server, method, path, body)
        self.assertEqual(job["status"], "Succeeded", job)
        return time.monotonic() - began

    def whole(self, folder):
        """By what lies there, without the gateway."""
        if f"{folder}/manifest.json" not in self.blobs():
            return False
        read = {name: self.azurite.container.download_blob(f"{folder}/{name}").readall() for name in ("archive.kwar", "manifest.json")}
        said = json.loads(read["manifest.json"])["archive"]
        return (said["size"], said["sha256"]) == (len(read["archive.kwar"]), hashlib.sha256(read["archive.kwar"]).hexdigest())

    def test_backups(self):
        rng, seen = random.Random(5), {True: 0, False: 0, "nothing": 0}
        took = min(self.timed("POST", "/backup", self.place()) for _ in range(2))
        for turn in range(KILLS // 2):
            names = self.blobs()
            self.assertEqual(self.server.post("/backup", self.place()).status, 202)
            if turn % 2:
                self.await_upload(names)  # half of them while blocks are sent
                time.sleep(rng.uniform(0, 0.3))
            else:
                time.sleep(took * rng.uniform(0, 1))
            self.kill()
            new = {name.split("/")[0] for name in self.blobs() - names} - {"keyward-probe"}
            seen["nothing"] += not new
            for folder in new:
                verified = run(self.server, "POST", "/backup/verify", self.source(folder))["status"] == "Succeeded"
                self.assertEqual(verified, self.whole(folder), folder)
                seen[verified] += 1
        print(f"\n    {KILLS // 2} kills of backups: {seen[True]} whole, {seen[False]} refused, {seen['nothing']} with nothing there",
              flush=True)
        self.assertGreater(seen[False] + seen["nothing"], 0)
        self.timed("POST", "/backup", self.place())  # and the next one is well

    def test_restores(self):
        rng, seen = random.Random(6), {"old": 0, "new": 0}
        good, state = self.back_up(), everything(self.server)
        took = min(self.timed("PUT", "/restore", self.source(good)) for _ in range(2))
        for turn in range(KILLS - KILLS // 2):
            put(self.server, "mark", f"turn {turn}")
            put(self.server, "s00", f"turn {turn}")
            old = everything(self.server)
            self.assertEqual(self.server.request("PUT", "/restore", self.source(good)).status, 202)
            time.sleep(took * (rng.uniform(0, 1) if turn % 2 else rng.uniform(0.85, 1.2)))  # half of them about the exchange
            self.kill()
            now = everything(self.server)
            self.assertIn(now, (old, state), f"turn {turn}")
            seen["old" if now == old else "new"] += 1
        print(f"\n    {KILLS - KILLS // 2} kills of restores: {seen}", flush=True)
        self.assertGreater(seen["old"], 0)
        self.timed("PUT", "/restore", self.source(good))
        self.assertEqual(everything(self.server), state)


if __name__ == "__main__":
    unittest.main()

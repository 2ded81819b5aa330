"""Full backup to Azure Blob storage and back: Azurite as the service, Python's own client of it beside."""

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


class Blob(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        os.environ["SSL_CERT_FILE"] = str(cls.server.data / "ca.pem")  # the gateway trusts Azurite's certificate
        cls.server.start()
        cls.azurite = Azurite(cls.server)
        for i in range(40):
            put(cls.server, f"s{i:02}", "x" * 20000)
        for i in range(700):  # some blocks of 4 MiB
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

    def back_up(self):
        job = run(self.server, "POST", "/backup", self.place())
        self.assertEqual(job["status"], "Succeeded", job)
        self.assertRegex(job["azureStorageBlobContainerUri"], f"^{self.azurite.uri}/mhsm-default-\\d{{16}}$")
        return job["azureStorageBlobContainerUri"].rsplit("/", 1)[1]

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


if __name__ == "__main__":
    unittest.main()

"""Scheduled backups to Azure Blob storage (Azurite): made, verified, retired; a token that ends and is renewed in its file; keyward dr
check and rehearse from there."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "integration"))

from azurite import Azurite  # noqa: E402
from backup_schedule_test import BINARY, Gateway, wait  # noqa: E402
from domain_test import Operators  # noqa: E402
from keyward import Server  # noqa: E402


class Blob(unittest.TestCase):
    def setUp(self):
        dev = Server().start()  # its certificate serves the storage
        self.assertEqual(dev.stop(), 0)
        self.addCleanup(dev.remove)
        self.azurite = Azurite(dev)
        self.addCleanup(self.azurite.stop)
        self.ca = dev.data / "ca.pem"
        self.sas = dev.folder / "sas"
        self.token(self.azurite.sas)
        self.gateway = Gateway(f'to: "{self.azurite.uri}", token_file: "{self.sas}", ca: "{self.ca}", every: 5s, keep: 1, keep_days: 0')
        self.addCleanup(self.gateway.remove)
        self.gateway.start()
        for i in range(20):
            self.gateway.api("PUT", f"/secrets/s{i}", {"value": "x" * 5000})
        self.gateway.api("POST", "/keys/k/create", {"kty": "EC"})

    def token(self, text):
        self.sas.write_text(text + "\n")
        self.sas.chmod(0o600)

    def folders(self):
        return sorted({blob.name.split("/")[0] for blob in self.azurite.container.list_blobs()})

    def dr(self, *words, code=0):
        environment = {**os.environ, "SSL_CERT_FILE": str(self.ca)}
        done = subprocess.run([BINARY, "dr", *words, "--json"], capture_output=True, text=True, timeout=200, env=environment, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertNotIn("sig=", done.stdout + done.stderr)
        return done.stdout

    def test_schedule(self):
        g = self.gateway
        other = self.azurite.container.get_blob_client("keyward-default-20200101T000000Z-00000000/archive.kwar")
        other.upload_blob(b"not its own")
        wait(lambda: g.status().get("verified"), g, 120)
        first = [f for f in self.folders() if "20200101" not in f]
        wait(lambda: not set(first) & set(self.folders()) and g.status()["kept"] == 1, g, 120)
        self.assertIn("keyward-default-20200101T000000Z-00000000", self.folders())
        # a token that may not remove: backups go on, the old ones stay, and the log says so
        self.token(self.azurite.token(read=True, write=True, create=True))
        wait(lambda: g.lines("scheduled backup: old ones cannot be removed now; the next run tries it again"), g, 120)
        self.assertEqual(g.status()["failures"], 0)
        # one that has ended: nothing is lost, and the next one from the same file goes on
        self.token(self.azurite.token(hours=-1))
        wait(lambda: g.status()["failures"] > 0, g, 120)
        self.assertIn("the storage answered 403", g.status()["error"])
        g.api("GET", "/keys/k")
        self.token(self.azurite.sas)
        wait(lambda: g.status()["failures"] == 0 and len(self.folders()) == 2, g, 180)
        self.assertNotIn("sig=", g.log())
        # the storage is away
        self.azurite.end()
        wait(lambda: g.status()["failures"] > 0, g, 200)
        self.assertIn("cannot be reached", g.status()["error"])
        self.azurite.start()
        wait(lambda: g.status()["failures"] == 0, g, 200)
        self.assertEqual(g.end(), 0)

    def test_dr(self):
        g = self.gateway
        who = Operators(g.folder, "abc")
        file = g.folder / "domain.json"
        g.cli("domain", "download", "--certs", who.certs("abc"), "--quorum", "2", "-o", str(file), "-c", str(g.config))
        wait(lambda: g.status().get("last_bytes", 0) > 100000, g, 120)
        g.write("folders: [place]")  # no more backups: what is there stays
        g.reload()
        common = ("--domain", str(file), "--keys", who.keys("ab"), "--from", self.azurite.uri, "--sas-file", str(self.sas))
        out = json.loads(self.dr("check", *common, "-c", str(g.config)))
        self.assertEqual(out["problems"], 0, out)
        out = json.loads(self.dr("rehearse", *common, "-c", str(g.config)))
        self.assertEqual(out["problems"], 0, out)
        self.assertGreater(out["recovery_seconds"], 0)
        # a changed byte, a missing part
        folder = next(f for f in self.folders() if "20200101" not in f)
        blob = self.azurite.container.get_blob_client(f"{folder}/archive.kwar")
        good = blob.download_blob().readall()
        blob.upload_blob(good[:500] + bytes([good[500] ^ 1]) + good[501:], overwrite=True)
        self.assertIn("not the one of the manifest", self.dr("check", *common, code=1))
        self.assertIn("not the one of the manifest", self.dr("rehearse", *common, code=1))
        blob.delete_blob()
        self.assertIn("its archive is missing", self.dr("check", *common, code=1))
        self.token(self.azurite.token(hours=-1))
        self.assertIn("the storage answered 403", self.dr("check", *common, code=1))
        self.assertEqual(g.end(), 0)


if __name__ == "__main__":
    unittest.main()

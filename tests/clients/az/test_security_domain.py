"""az keyvault security-domain between two instances: the commands of the disaster recovery document, apart from the
names and files."""

import json
import subprocess
import unittest

from az import Az
from keyward import Server

HSM = ("--hsm-name", "localhost")


class SecurityDomain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.source = Server("--await-domain").start()
        cls.target = Server("--await-domain").start()
        cls.here, cls.there = Az(cls.source), Az(cls.target)
        for name in ("a", "b", "c", "stranger"):
            for az in (cls.here, cls.there):
                key, cert = az.folder / f"{name}.key", az.folder / f"{name}.cer"
                if az is cls.here:
                    subprocess.run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-x509", "-days", "9",
                                    "-subj", f"/CN={name}", "-out", cert], check=True, capture_output=True)
                else:
                    key.write_bytes((cls.here.folder / key.name).read_bytes())
                    cert.write_bytes((cls.here.folder / cert.name).read_bytes())

    @classmethod
    def tearDownClass(cls):
        for az, server in ((cls.here, cls.source), (cls.there, cls.target)):
            az.remove()
            assert server.stop() == 0
            server.remove()

    def test_recovery(self):
        here, there, source, target = self.here, self.there, self.source, self.target
        self.assertEqual(source.get("/keys").status, 403)

        here.run("keyvault", "security-domain", "download", *HSM, "--sd-wrapping-keys",
                 *(here.inside / f"{name}.cer" for name in "abc"), "--sd-quorum", "2",
                 "--security-domain-file", here.inside / "sd.json")
        sd = json.loads((here.folder / "sd.json").read_text())
        self.assertEqual((sd["SharedKeys"]["required"], len(sd["SharedKeys"]["enc_shares"])), (2, 3))
        source.close()  # the program started anew with its domain
        source.create("first", "EC")
        kept = source.get("/keys/first").json["key"]["x"]

        # to the other instance
        (there.folder / "sd.json").write_text(json.dumps(sd))
        there.run("keyvault", "security-domain", "init-recovery", *HSM, "--sd-exchange-key", there.inside / "exchange.cer")
        upload = ("keyvault", "security-domain", "upload", *HSM, "--sd-file", there.inside / "sd.json", "--sd-exchange-key",
                  there.inside / "exchange.cer", "--sd-wrapping-keys")
        for keys in (("a",), ("a", "stranger")):
            code, _, errors = there.try_(*upload, *(there.inside / f"{name}.key" for name in keys))
            self.assertNotEqual(code, 0)
            self.assertTrue("--sd-wrapping-keys" in errors or "Insufficient shares" in errors, errors)
            self.assertEqual(target.get("/keys").status, 403)
        done = there.run(*upload, there.inside / "c.key", there.inside / "a.key")
        self.assertEqual(done["status"], "Success")
        there.run("keyvault", "key", "create", *HSM, "--name", "mine", "--kty", "EC")
        self.assertEqual((source.data / "domain.key").read_bytes(), (target.data / "domain.key").read_bytes())

        # an active instance gives its domain again, under other certificates
        here.run("keyvault", "security-domain", "download", *HSM, "--sd-wrapping-keys",
                 *(here.inside / f"{name}.cer" for name in ("stranger", "b", "c")), "--sd-quorum", "3",
                 "--security-domain-file", here.inside / "again.json")
        self.assertEqual(json.loads((here.folder / "again.json").read_text())["SharedKeys"]["required"], 3)
        self.assertEqual(source.get("/keys/first").json["key"]["x"], kept)

"""Everything is gone but the security domain file, a quorum of the operators' keys and a backup in blob storage: the commands
of the Managed HSM disaster recovery document, in its order and as written there apart from names, from one instance to
another that answers at the same address. Before each step that is right, the same one done wrong: refused, and the instance is
as it was."""

import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from az import Az, Server  # noqa: E402
from azurite import ACCOUNT, KEY, Azurite, Identity  # noqa: E402
from estate import Work, differences, fill, inventory  # noqa: E402
from full_backup_test import run  # noqa: E402
from hsm import Group  # noqa: E402

HSM = ("--hsm-name", "localhost")
PERSON = "9d7f3c1a-0000-4000-8000-000000000001"
STORE = ("--storage-account-name", ACCOUNT, "--blob-container-name", "backups")


class DisasterRecovery(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.identity = Identity()
        os.environ["SSL_CERT_FILE"] = str(cls.identity.data / "ca.pem")  # storage that the gateway trusts
        cls.azurite = Azurite(cls.identity)
        cls.source = cls.group("old-a", "old-b")
        cls.source.await_domain()
        cls.az = Az(cls.source, storage=f"localhost:{cls.azurite.port}")
        cls.az.login.storage[ACCOUNT] = KEY
        cls.servers = [cls.source]
        for i in range(3):
            subprocess.run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", cls.az.folder / f"cert_{i}.key", "-x509", "-days",
                            "365", "-subj", f"/CN=operator {i}", "-out", cls.az.folder / f"cert_{i}.cer"], check=True, capture_output=True)

    @staticmethod
    def group(*labels):
        """A new instance with tokens of its own, without a security domain."""
        made = Group(labels)
        made.forget()
        return made

    @classmethod
    def tearDownClass(cls):
        cls.az.remove()
        cls.azurite.stop()
        cls.identity.folder.cleanup()
        for server in cls.servers:
            if server.process.poll() is None:
                assert server.stop() == 0, server.log()[-3000:]
            server.remove()

    def kv(self, *arguments):
        return self.az.run("keyvault", *arguments)

    def roles(self):
        """Role assignments as az lists them; names of principals would be asked of a directory."""
        return self.kv("role", "assignment", "list", *HSM, "--scope", "/keys/made-by-az", "--assignee-object-id", PERSON)

    def sas(self, permissions):
        end = (datetime.datetime.utcnow() + datetime.timedelta(minutes=500)).strftime("%Y-%m-%dT%H:%MZ")
        skey = self.az.run("storage", "account", "keys", "list", "--query", "[0].value", "-o", "tsv", "--account-name", ACCOUNT,
                           json_out=False).strip()
        return self.az.run("storage", "container", "generate-sas", "-n", "backups", "--account-name", ACCOUNT, "--permissions", permissions,
                           "--expiry", end, "--account-key", skey, "-o", "tsv", json_out=False).strip()

    def successor(self):
        """A new instance, empty, with new tokens, at the address of the one that is lost."""
        lost, new = self.source, self.group("new-a", "new-b")
        new.port = lost.port
        new._write_config()
        for name in ("ca.pem", "tls.pem", "tls.key", "tokens.json"):  # clients need no change
            shutil.copy2(lost.data / name, new.data / name)
        new.token = lost.token
        self.assertEqual(lost.stop(), 0, lost.log()[-3000:])
        shutil.rmtree(lost.data)
        shutil.rmtree(lost.tokens.folder / "tokens")
        self.servers.append(new)
        return new.await_domain()

    def refused(self, server, text, *arguments):
        """This command fails, for this reason, and changes nothing."""
        before = self.state(server)
        code, _, errors = self.az.try_("keyvault", *arguments)
        self.assertNotEqual(code, 0, arguments)
        self.assertRegex(errors, text)
        self.assertEqual(self.state(server), before)

    @staticmethod
    def state(server):
        keys = {path.name: path.read_bytes() for path in server.data.iterdir() if path.name.startswith("domain")}
        return keys, inventory(server) if server.get("/keys").status == 200 else None

    def refuse_uploads(self, target):
        """Too few keys, a stranger's, a changed share, changed data."""
        folder, inside = self.az.folder, self.az.inside
        subprocess.run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "stranger.key", "-x509", "-days", "9", "-subj",
                        "/CN=stranger", "-out", folder / "stranger.cer"], check=True, capture_output=True)
        whole = json.loads((folder / "hsm-SD.json").read_text())

        def upload(file, *keys):
            return ("security-domain", "upload", *HSM, "--sd-exchange-key", inside / "hsm-SDE.cer", "--sd-file", inside / file,
                    "--sd-wrapping-keys", *(inside / key for key in keys))

        def changed(where, member):
            text = where[member]
            at = len(text) - 60
            return {**where, member: text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:]}
        shares, data = whole["SharedKeys"], whole["EncData"]
        (folder / "share.json").write_text(json.dumps({**whole, "SharedKeys": {
            **shares, "enc_shares": [changed(shares["enc_shares"][0], "enc_key"), *shares["enc_shares"][1:]]}}))
        (folder / "data.json").write_text(json.dumps({**whole, "EncData": {
            **data, "data": [changed(data["data"][0], "compact_jwe"), *data["data"][1:]]}}))
        self.refused(target, "sd-wrapping-keys|Insufficient shares", *upload("hsm-SD.json", "cert_0.key"))
        self.refused(target, "Insufficient shares", *upload("hsm-SD.json", "cert_0.key", "stranger.key"))
        self.refused(target, "ERROR", *upload("share.json", "cert_0.key", "cert_1.key"))
        self.refused(target, "ERROR", *upload("data.json", "cert_0.key", "cert_1.key"))

    def refuse_restores(self, target, folder, restore):
        """A byte of the archive, of the manifest; a backup of another domain; a folder that is not there."""
        other = Server().start()
        self.servers.append(other)
        other.create("foreign", "EC")
        theirs = self.azurite_backup(other)
        for name in ("archive.kwar", "manifest.json"):
            blob = self.azurite.container.get_blob_client(f"{folder}/{name}")
            good = blob.download_blob().readall()
            at = len(good) // 2
            blob.upload_blob(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:], overwrite=True)
            self.refused(target, "integrity", *restore, folder)
            blob.upload_blob(good, overwrite=True)
        self.refused(target, "the archive is of security domain", *restore, theirs)
        self.refused(target, "no backup", *restore, "mhsm-default-2020010100000000")

    def azurite_backup(self, server):
        job = run(server, "POST", "/backup", {"storageResourceUri": self.azurite.uri, "token": self.azurite.sas})
        self.assertEqual(job["status"], "Succeeded", job)
        return job["azureStorageBlobContainerUri"].rsplit("/", 1)[1]

    def test_procedure(self):
        inside, source = self.az.inside, self.source
        self.kv("security-domain", "download", *HSM, "--sd-wrapping-keys", *(inside / f"cert_{i}.cer" for i in range(3)),
                "--sd-quorum", "2", "--security-domain-file", inside / "hsm-SD.json")
        source.close()  # it has started anew, with its domain
        fill(source)
        self.kv("key", "create", *HSM, "--name", "made-by-az", "--kty", "RSA-HSM", "--size", "2048", "--tags", "a=b", "c=d")
        self.kv("role", "assignment", "create", *HSM, "--role", "Managed HSM Crypto User", "--assignee-object-id", PERSON,
                "--assignee-principal-type", "User", "--scope", "/keys/made-by-az")
        before, work = inventory(source), Work(source)
        roles = self.roles()
        self.assertIn(PERSON, [role["principalId"] for role in roles])
        domain = source.mark_of("old-a")
        made = self.kv("backup", "start", *HSM, *STORE, "--storage-container-SAS-token", self.sas("crdw"))
        self.assertEqual(made["status"], "Succeeded")
        folder = made["folderUrl"].rsplit("/", 1)[1]
        self.assertRegex(folder, r"^mhsm-default-\d{16}$")

        target = self.successor()
        self.assertEqual(target.get("/keys").status, 403)
        self.kv("security-domain", "init-recovery", *HSM, "--sd-exchange-key", inside / "hsm-SDE.cer")
        self.refuse_uploads(target)
        self.kv("security-domain", "upload", *HSM, "--sd-exchange-key", inside / "hsm-SDE.cer", "--sd-file", inside / "hsm-SD.json",
                "--sd-wrapping-keys", inside / "cert_0.key", inside / "cert_1.key")
        target.close()
        target.wait_serving(["new-a", "new-b"])
        self.assertEqual([target.mark_of(label) for label in ("new-a", "new-b")], [domain] * 2)
        self.assertEqual(target.get("/keys").json["value"], [])
        restore = ("restore", "start", *HSM, *STORE, "--storage-container-SAS-token", self.sas("rl"), "--backup-folder")
        self.refused(target, "not older than 30 minutes", *restore, folder)
        self.kv("backup", "start", *HSM, *STORE, "--storage-container-SAS-token", self.sas("crdw"))
        target.create("of-the-target", "EC")
        self.refuse_restores(target, folder, restore)
        self.kv(*restore, folder)

        self.assertEqual(differences(before, inventory(target)), {})
        self.assertEqual(self.roles(), roles)
        began = time.monotonic()
        signatures, openings = work.check(target)
        print(f"\n    {len(before)} answers the same, {len(work.keys)} key versions: {signatures} signatures verified, "
              f"{openings} ciphertexts and wraps opened in {time.monotonic() - began:.1f} s", flush=True)
        self.assertGreater(min(target.operations(name) for name in ("new-a", "new-b")), 20)
        self.assertGreater(signatures, 90)
        self.assertGreater(openings, 120)


if __name__ == "__main__":
    unittest.main()

"""az keyvault backup and restore: the commands of the disaster recovery document, with Azurite as the storage."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from az import Az, AzCase, Server  # noqa: E402
from azurite import Azurite  # noqa: E402

HSM = ("--hsm-name", "localhost")


class FullBackup(AzCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        os.environ["SSL_CERT_FILE"] = str(cls.server.data / "ca.pem")
        cls.server.start()
        cls.az = Az(cls.server)
        cls.folder, cls.inside = cls.az.folder, cls.az.inside
        cls.azurite = Azurite(cls.server)

    @classmethod
    def tearDownClass(cls):
        cls.azurite.stop()
        super().tearDownClass()

    def test_procedure(self):
        store = ("--storage-resource-uri", self.azurite.uri, "--storage-container-SAS-token", self.azurite.sas)
        kid = self.kv("key", "create", *HSM, "--name", "one", "--kty", "EC", "--curve", "P-256", "--tags", "a=b")["key"]["kid"]
        self.refused("not older than 30 minutes", "restore", "start", *HSM, *store, "--backup-folder", "mhsm-none")
        made = self.kv("backup", "start", *HSM, *store)
        self.assertEqual(made["status"], "Succeeded")
        folder = made["folderUrl"].rsplit("/", 1)[1] if "folderUrl" in made else made["azureStorageBlobContainerUri"].rsplit("/", 1)[1]
        self.kv("key", "create", *HSM, "--name", "two", "--kty", "EC", "--curve", "P-256")
        self.kv("key", "delete", *HSM, "--name", "one")
        self.kv("key", "purge", *HSM, "--name", "one")
        self.kv("restore", "start", *HSM, *store, "--backup-folder", folder, "--key-name", "one")
        self.assertEqual(self.kv("key", "show", *HSM, "--name", "one")["key"]["kid"], kid)
        self.kv("restore", "start", *HSM, *store, "--backup-folder", folder)
        self.assertEqual([k["kid"].rsplit("/", 1)[1] for k in self.kv("key", "list", *HSM)], ["one"])
        self.assertEqual(self.kv("key", "show", *HSM, "--name", "one")["tags"], {"a": "b"})

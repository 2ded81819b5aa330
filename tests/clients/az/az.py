"""The real az (Debian 13's, in the tree that tests/clients/install --az makes) beside a gateway of its own."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "integration"))

from keyward import Server  # noqa: E402
from login import TENANT, Login  # noqa: E402

TREE = pathlib.Path(os.environ["KEYWARD_CLIENTS"]).resolve() / "az"


class Az:
    """az with a configuration of its own, logged in; `folder` is seen by az as `inside`. `storage` is where its storage
    accounts are: ACCOUNT.blob.STORAGE."""

    def __init__(self, server, storage="localhost"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="keyward-az-", dir=TREE / "tmp"))
        self.inside = pathlib.Path("/tmp") / self.folder.name
        shutil.copy(server.data / "ca.pem", self.folder / "ca.pem")
        self.login = Login(server.token, server.data / "tls.pem", server.data / "tls.key")
        self.environment = {
            "PATH": "/usr/bin:/bin", "HOME": str(self.inside), "LANG": "C.UTF-8",
            "AZURE_CONFIG_DIR": str(self.inside / "config"), "AZURE_CORE_INSTANCE_DISCOVERY": "false",
            "AZURE_CORE_COLLECT_TELEMETRY": "false", "AZURE_CORE_NO_COLOR": "true", "AZURE_CORE_ONLY_SHOW_ERRORS": "true",
            "REQUESTS_CA_BUNDLE": str(self.inside / "ca.pem"), "PYTHONWARNINGS": "ignore",
        }
        cloud = {
            "endpoints": {"resourceManager": self.login.url, "microsoftGraphResourceId": self.login.url},
            "suffixes": {"keyvaultDns": f":{server.port}", "mhsmDns": f":{server.port}", "storageEndpoint": storage},
        }
        (self.folder / "cloud.json").write_text(json.dumps(cloud))
        self.run("cloud", "register", "-n", "local", "--cloud-config", f"@{self.inside}/cloud.json", json_out=False)
        self.run("cloud", "set", "-n", "local", json_out=False)
        self.run("login", "--service-principal", "-u", str(uuid.uuid4()), "-p", "any", "--tenant", TENANT)

    def try_(self, *arguments):
        """Runs az; (exit code, what it wrote, its errors)."""
        done = subprocess.run(["/usr/sbin/chroot", str(TREE), "/usr/bin/az", *map(str, arguments)], env=self.environment, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr

    def run(self, *arguments, json_out=True):
        code, out, errors = self.try_(*arguments)
        assert code == 0, f"az {' '.join(map(str, arguments))}: {code}\n{errors}"
        return json.loads(out) if json_out and out.strip() else out

    def remove(self):
        self.login.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class AzCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()
        cls.az = Az(cls.server)
        cls.folder, cls.inside = cls.az.folder, cls.az.inside

    @classmethod
    def tearDownClass(cls):
        cls.az.remove()
        code = cls.server.stop()
        cls.server.remove()
        assert code == 0

    def kv(self, *arguments):
        return self.az.run("keyvault", *arguments)

    def refused(self, text, *arguments):
        code, _, errors = self.az.try_("keyvault", *arguments)
        self.assertNotEqual(code, 0, arguments)
        self.assertIn(text, errors)


VAULT = ("--vault-name", "localhost")

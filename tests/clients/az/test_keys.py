"""az keyvault key: the commands of the documentation, apart from the names."""

from az import VAULT, AzCase


class Keys(AzCase):
    def test_life(self):
        made = self.kv("key", "create", *VAULT, "--name", "first", "--kty", "RSA", "--size", "2048", "--tags", "a=b")
        kid = made["key"]["kid"]
        self.assertTrue(kid.startswith(f"https://localhost:{self.server.port}/keys/first/"), kid)
        self.assertEqual(self.kv("key", "show", *VAULT, "--name", "first")["key"]["kid"], kid)
        self.assertEqual(self.kv("key", "show", "--id", f"https://localhost:{self.server.port}/keys/first")["key"]["kid"], kid)
        self.assertIn("first", [k["name"] for k in self.kv("key", "list", *VAULT)])
        self.assertEqual(len(self.kv("key", "list-versions", *VAULT, "--name", "first")), 1)
        self.assertFalse(self.kv("key", "set-attributes", *VAULT, "--name", "first", "--enabled", "false")["attributes"]["enabled"])
        self.kv("key", "set-attributes", *VAULT, "--name", "first", "--enabled", "true")
        self.kv("key", "download", *VAULT, "--name", "first", "--file", self.inside / "first.pem", "--encoding", "PEM")
        self.assertIn("BEGIN PUBLIC KEY", (self.folder / "first.pem").read_text())

        self.kv("key", "backup", "--file", self.inside / "first.bak", "--name", "first", *VAULT)
        self.refused("Conflict", "key", "restore", "--file", self.inside / "first.bak", *VAULT)
        self.kv("key", "delete", *VAULT, "--name", "first")
        self.assertIn("first", [k["name"] for k in self.kv("key", "list-deleted", *VAULT)])
        self.assertEqual(self.kv("key", "show-deleted", *VAULT, "--name", "first")["key"]["kid"], kid)
        self.kv("key", "recover", *VAULT, "--name", "first")
        self.kv("key", "delete", *VAULT, "--name", "first")
        self.kv("key", "purge", *VAULT, "--name", "first")
        self.refused("KeyNotFound", "key", "show", *VAULT, "--name", "first")
        self.kv("key", "restore", "--file", self.inside / "first.bak", *VAULT)
        self.assertEqual(self.kv("key", "show", *VAULT, "--name", "first")["key"]["kid"], kid)

    def test_cryptography(self):
        self.kv("key", "create", *VAULT, "--name", "box", "--kty", "RSA", "--size", "3072")
        sealed = self.kv("key", "encrypt", *VAULT, "--name", "box", "--algorithm", "RSA-OAEP", "--value", "aGlkZGVu", "--data-type", "base64")
        opened = self.kv("key", "decrypt", *VAULT, "--name", "box", "--algorithm", "RSA-OAEP", "--value", sealed["result"], "--data-type", "base64")
        self.assertEqual(opened["result"], "aGlkZGVu")
        self.kv("key", "create", *VAULT, "--name", "pen", "--kty", "EC", "--curve", "P-256")
        digest = "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="
        signed = self.kv("key", "sign", *VAULT, "--name", "pen", "--algorithm", "ES256", "--digest", digest)
        self.assertTrue(self.kv("key", "verify", *VAULT, "--name", "pen", "--algorithm", "ES256", "--digest", digest,
                                "--signature", signed["signature"])["isValid"])

    def test_rotation(self):
        first = self.kv("key", "create", *VAULT, "--name", "turn", "--kty", "EC")["key"]["kid"]
        (self.folder / "policy.json").write_text('{"lifetimeActions":[{"trigger":{"timeBeforeExpiry":"P30D"},"action":{"type":"Rotate"}}],'
                                                 '"attributes":{"expiryTime":"P90D"}}')
        self.kv("key", "rotation-policy", "update", *VAULT, "--name", "turn", "--value", self.inside / "policy.json")
        self.assertEqual(self.kv("key", "rotation-policy", "show", *VAULT, "--name", "turn")["expiresIn"], "P90D")
        self.assertNotEqual(self.kv("key", "rotate", *VAULT, "--name", "turn")["key"]["kid"], first)

    def test_import(self):
        import subprocess
        subprocess.run(["openssl", "genrsa", "-out", self.folder / "own.pem", "2048"], check=True, capture_output=True)
        self.kv("key", "import", *VAULT, "--name", "own", "--pem-file", self.inside / "own.pem")
        self.kv("key", "download", *VAULT, "--name", "own", "--file", self.inside / "own.pub", "--encoding", "PEM")
        public = subprocess.run(["openssl", "rsa", "-in", self.folder / "own.pem", "-pubout"], check=True, capture_output=True, text=True).stdout
        self.assertEqual((self.folder / "own.pub").read_text().split(), public.split())

"""az keyvault secret: the commands of the documentation, apart from the names."""

from az import VAULT, AzCase


class Secrets(AzCase):
    def test_life(self):
        made = self.kv("secret", "set", *VAULT, "--name", "first", "--value", "hidden", "--tags", "a=b", "--description", "text/plain")
        self.assertEqual(made["value"], "hidden")
        self.assertEqual(self.kv("secret", "show", *VAULT, "--name", "first")["value"], "hidden")
        self.assertIn("first", [s["name"] for s in self.kv("secret", "list", *VAULT)])
        self.kv("secret", "set", *VAULT, "--name", "first", "--value", "second")
        self.assertEqual(len(self.kv("secret", "list-versions", *VAULT, "--name", "first")), 2)
        self.assertEqual(self.kv("secret", "show", "--id", made["id"])["value"], "hidden")
        self.kv("secret", "set-attributes", *VAULT, "--name", "first", "--content-type", "a/b")
        self.kv("secret", "download", *VAULT, "--name", "first", "--file", self.inside / "value")
        self.assertEqual((self.folder / "value").read_text(), "second")

        self.kv("secret", "backup", "--file", self.inside / "first.bak", "--name", "first", *VAULT)
        self.refused("Conflict", "secret", "restore", "--file", self.inside / "first.bak", *VAULT)
        self.kv("secret", "delete", *VAULT, "--name", "first")
        self.assertIn("first", [s["name"] for s in self.kv("secret", "list-deleted", *VAULT)])
        self.kv("secret", "show-deleted", *VAULT, "--name", "first")
        self.kv("secret", "recover", *VAULT, "--name", "first")
        self.kv("secret", "delete", *VAULT, "--name", "first")
        self.kv("secret", "purge", *VAULT, "--name", "first")
        self.refused("SecretNotFound", "secret", "show", *VAULT, "--name", "first")
        self.kv("secret", "restore", "--file", self.inside / "first.bak", *VAULT)
        self.assertEqual(self.kv("secret", "show", *VAULT, "--name", "first")["value"], "second")

    def test_file(self):
        (self.folder / "binary").write_bytes(bytes(range(256)))
        self.kv("secret", "set", *VAULT, "--name", "file", "--file", self.inside / "binary", "--encoding", "base64")
        self.kv("secret", "download", *VAULT, "--name", "file", "--file", self.inside / "back", "--encoding", "base64")
        self.assertEqual((self.folder / "back").read_bytes(), bytes(range(256)))

"""az keyvault certificate: the commands of the documentation, apart from the names."""

import json
import subprocess

from az import VAULT, AzCase

# What `az keyvault certificate get-default-policy` prints: the command itself fails in Debian 13's package, before it
# talks to anybody ('NoneType' object is not callable).
DEFAULT_POLICY = {
    "issuerParameters": {"certificateTransparency": None, "name": "Self"},
    "keyProperties": {"curve": None, "exportable": True, "keySize": 2048, "keyType": "RSA", "reuseKey": True},
    "lifetimeActions": [{"action": {"actionType": "AutoRenew"}, "trigger": {"daysBeforeExpiry": 90}}],
    "secretProperties": {"contentType": "application/x-pkcs12"},
    "x509CertificateProperties": {"keyUsage": ["cRLSign", "dataEncipherment", "digitalSignature", "keyEncipherment", "keyAgreement",
                                               "keyCertSign"],
                                  "subject": "CN=CLIGetDefaultPolicy", "validityInMonths": 12},
}


class Certificates(AzCase):
    def test_life(self):
        policy = DEFAULT_POLICY
        (self.folder / "policy.json").write_text(json.dumps(policy))
        self.kv("certificate", "create", *VAULT, "--name", "first", "--policy", f"@{self.inside}/policy.json")
        shown = self.kv("certificate", "show", *VAULT, "--name", "first")
        self.assertTrue(shown["id"].startswith(f"https://localhost:{self.server.port}/certificates/first/"))
        self.assertIn("first", [c["name"] for c in self.kv("certificate", "list", *VAULT)])
        self.assertEqual(len(self.kv("certificate", "list-versions", *VAULT, "--name", "first")), 1)
        self.kv("certificate", "set-attributes", *VAULT, "--name", "first", "--tags", "a=b")
        self.kv("certificate", "download", *VAULT, "--name", "first", "--file", self.inside / "first.pem", "--encoding", "PEM")
        text = subprocess.run(["openssl", "x509", "-in", self.folder / "first.pem", "-noout", "-subject"], check=True,
                              capture_output=True, text=True).stdout
        self.assertIn("CLIGetDefaultPolicy", text)
        self.assertEqual(self.kv("certificate", "pending", "show", *VAULT, "--name", "first")["status"], "completed")

        self.kv("certificate", "backup", "--file", self.inside / "first.bak", "--name", "first", *VAULT)
        self.refused("Conflict", "certificate", "restore", "--file", self.inside / "first.bak", *VAULT)
        self.kv("certificate", "delete", *VAULT, "--name", "first")
        self.assertIn("first", [c["name"] for c in self.kv("certificate", "list-deleted", *VAULT)])
        self.kv("certificate", "show-deleted", *VAULT, "--name", "first")
        self.kv("certificate", "recover", *VAULT, "--name", "first")
        self.kv("certificate", "delete", *VAULT, "--name", "first")
        self.kv("certificate", "purge", *VAULT, "--name", "first")
        self.refused("CertificateNotFound", "certificate", "show", *VAULT, "--name", "first")
        self.kv("certificate", "restore", "--file", self.inside / "first.bak", *VAULT)
        self.assertEqual(self.kv("certificate", "show", *VAULT, "--name", "first")["cer"], shown["cer"])

    def test_import(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.folder / "own.key", "-out",
                        self.folder / "own.crt", "-subj", "/CN=own.example", "-days", "30"], check=True, capture_output=True)
        (self.folder / "own.pem").write_text((self.folder / "own.key").read_text() + (self.folder / "own.crt").read_text())
        self.kv("certificate", "import", *VAULT, "--name", "own", "--file", self.inside / "own.pem")
        self.kv("certificate", "download", *VAULT, "--name", "own", "--file", self.inside / "back.pem", "--encoding", "PEM")
        # the same text in lines of another length
        lines = [(self.folder / name).read_text().replace("\n", "") for name in ("back.pem", "own.crt")]
        self.assertEqual(lines[0], lines[1])

    def test_contacts_and_issuers(self):
        self.kv("certificate", "contact", "add", *VAULT, "--email", "ops@keyward.example", "--name", "Ops")
        self.assertEqual(self.kv("certificate", "contact", "list", *VAULT)["contactList"][0]["emailAddress"], "ops@keyward.example")
        self.kv("certificate", "contact", "delete", *VAULT, "--email", "ops@keyward.example")
        self.kv("certificate", "issuer", "create", *VAULT, "--issuer-name", "own", "--provider-name", "Test")
        self.assertEqual(self.kv("certificate", "issuer", "show", *VAULT, "--issuer-name", "own")["provider"], "Test")
        self.assertEqual(len(self.kv("certificate", "issuer", "list", *VAULT)), 1)
        self.kv("certificate", "issuer", "delete", *VAULT, "--issuer-name", "own")

"""azure.keyvault.certificates: the whole life of a certificate."""

import base64

from azure.keyvault.certificates import CertificateClient, CertificateContact, CertificatePolicy
from azure.keyvault.secrets import SecretClient
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from support import Case, client, unique


class Certificates(Case):
    def setUp(self):
        self.certificates = client(CertificateClient)

    def test_life(self):
        name = unique("cert")
        made = self.certificates.begin_create_certificate(
            name, CertificatePolicy(issuer_name="Self", subject="CN=python.example", san_dns_names=["python.example"])).result()
        parsed = x509.load_der_x509_certificate(bytes(made.cer))
        self.assertEqual(parsed.subject.rfc4514_string(), "CN=python.example")
        value = client(SecretClient).get_secret(name).value
        key, certificate, _ = pkcs12.load_key_and_certificates(base64.b64decode(value), None)
        self.assertEqual(certificate, parsed)
        self.assertEqual(key.public_key().public_numbers(), parsed.public_key().public_numbers())
        self.assertIn(name, [c.name for c in self.certificates.list_properties_of_certificates()])
        changed = self.certificates.update_certificate_properties(name, tags={"x": "y"})
        self.assertEqual(changed.properties.tags, {"x": "y"})
        self.assertEqual(self.certificates.get_certificate_policy(name).issuer_name, "Self")
        blob = self.certificates.backup_certificate(name)
        self.assertEqual(self.certificates.begin_delete_certificate(name).result().name, name)
        self.refused(404, self.certificates.get_certificate, name)
        self.certificates.begin_recover_deleted_certificate(name).wait()
        self.certificates.begin_delete_certificate(name).wait()
        self.certificates.purge_deleted_certificate(name)
        restored = self.certificates.restore_certificate_backup(blob)
        self.assertEqual(bytes(restored.cer), bytes(made.cer))

    def test_contacts(self):
        self.certificates.set_contacts([CertificateContact(email="a@b.example", name="A", phone="1")])
        self.assertEqual(self.certificates.get_contacts()[0].email, "a@b.example")
        self.certificates.delete_contacts()
        self.refused(404, self.certificates.get_contacts)

    def test_issuers(self):
        self.certificates.create_issuer("python", "Test", account_id="me")
        self.assertEqual(self.certificates.get_issuer("python").account_id, "me")
        self.assertIn("python", [i.name for i in self.certificates.list_properties_of_issuers()])
        self.certificates.delete_issuer("python")
        self.refused(404, self.certificates.get_issuer, "python")

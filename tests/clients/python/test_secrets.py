"""azure.keyvault.secrets: the whole life of a secret."""

from azure.keyvault.secrets import SecretClient

from support import Case, client, unique


class Secrets(Case):
    def test_life(self):
        secrets = client(SecretClient)
        name = unique("secret")
        first = secrets.set_secret(name, "one", content_type="text/plain", tags={"a": "b"})
        secrets.set_secret(name, "two")
        self.assertEqual(secrets.get_secret(name).value, "two")
        self.assertEqual(secrets.get_secret(name, first.properties.version).value, "one")
        self.assertEqual(secrets.update_secret_properties(name, content_type="a/b").content_type, "a/b")
        self.assertEqual(len(list(secrets.list_properties_of_secret_versions(name))), 2)
        self.assertIn(name, [s.name for s in secrets.list_properties_of_secrets()])
        blob = secrets.backup_secret(name)
        self.refused(409, secrets.restore_secret_backup, blob)
        self.assertEqual(secrets.begin_delete_secret(name).result().name, name)
        self.refused(404, secrets.get_secret, name)
        self.assertIn(name, [s.name for s in secrets.list_deleted_secrets()])
        secrets.begin_recover_deleted_secret(name).wait()
        self.assertEqual(secrets.get_secret(name).value, "two")
        secrets.begin_delete_secret(name).wait()
        secrets.purge_deleted_secret(name)
        self.refused(404, secrets.get_deleted_secret, name)
        self.assertEqual(secrets.restore_secret_backup(blob).name, name)
        self.assertEqual(secrets.get_secret(name).value, "two")

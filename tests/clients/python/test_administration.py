"""Role definitions, role assignments and settings through azure-keyvault-administration; and what a principal may do then,
through the key client."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "integration"))

from azure.core.credentials import AccessToken  # noqa: E402
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError  # noqa: E402
from azure.keyvault.administration import (  # noqa: E402
    KeyVaultAccessControlClient, KeyVaultDataAction, KeyVaultPermission, KeyVaultRoleScope, KeyVaultSettingsClient, SettingType)
from azure.keyvault.keys import KeyClient  # noqa: E402
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm  # noqa: E402
from support import URL, Case, client, unique  # noqa: E402

SETTING = "AllowKeyManagementOperationsThroughARM"


class AccessControl(Case):
    @classmethod
    def setUpClass(cls):
        cls.client = client(KeyVaultAccessControlClient)

    def definition(self, name):
        return next(d for d in self.client.list_role_definitions(KeyVaultRoleScope.GLOBAL) if d.role_name == name)

    def test_definitions(self):
        built_in = self.definition("Managed HSM Crypto User")
        self.assertEqual(built_in.role_type, "AKVBuiltInRole")
        self.assertIn(KeyVaultDataAction.SIGN_HSM_KEY, built_in.permissions[0].data_actions)
        self.assertEqual(self.client.get_role_definition(KeyVaultRoleScope.GLOBAL, built_in.name).id, built_in.id)
        name, title = str(uuid.uuid4()), unique("role")
        permission = KeyVaultPermission(data_actions=[KeyVaultDataAction.CREATE_HSM_KEY, KeyVaultDataAction.READ_HSM_KEY])
        made = self.client.set_role_definition(KeyVaultRoleScope.GLOBAL, name=name, role_name=title, description="d", permissions=[permission])
        self.assertEqual((made.name, made.role_name, made.description, made.role_type), (name, title, "d", "CustomRole"))
        self.assertEqual(made.permissions[0].data_actions, permission.data_actions)
        self.assertEqual(made.assignable_scopes, [KeyVaultRoleScope.GLOBAL])
        without = KeyVaultPermission(data_actions=[], not_data_actions=[KeyVaultDataAction.READ_HSM_KEY])
        changed = self.client.set_role_definition(KeyVaultRoleScope.GLOBAL, name=name, role_name=title, permissions=[without])
        self.assertEqual(changed.id, made.id)
        self.assertEqual(changed.permissions[0].not_data_actions, [KeyVaultDataAction.READ_HSM_KEY])
        self.assertEqual(len([d for d in self.client.list_role_definitions(KeyVaultRoleScope.GLOBAL) if d.id == made.id]), 1)
        self.client.delete_role_definition(KeyVaultRoleScope.GLOBAL, name)
        self.client.delete_role_definition(KeyVaultRoleScope.GLOBAL, name)  # the client takes a 404 for done
        with self.assertRaises(ResourceNotFoundError):
            self.client.get_role_definition(KeyVaultRoleScope.GLOBAL, name)
        self.refused(400, self.client.set_role_definition, KeyVaultRoleScope.GLOBAL, name=built_in.name, role_name="x")
        self.refused(400, self.client.delete_role_definition, KeyVaultRoleScope.GLOBAL, built_in.name)

    def test_every_data_action_of_the_client_is_known(self):
        actions = [a.value for a in KeyVaultDataAction]
        name = str(uuid.uuid4())
        made = self.client.set_role_definition(KeyVaultRoleScope.GLOBAL, name=name, role_name=unique("all"), permissions=[KeyVaultPermission(data_actions=actions)])
        self.assertEqual([a.lower() for a in made.permissions[0].data_actions], [a.lower() for a in actions])
        self.client.delete_role_definition(KeyVaultRoleScope.GLOBAL, name)

    def test_assignments(self):
        definition, principal = self.definition("Managed HSM Crypto User"), str(uuid.uuid4())
        for scope, shown in ((KeyVaultRoleScope.GLOBAL, "/"), (KeyVaultRoleScope.KEYS, "/keys"), ("/keys/one", "/keys/one")):
            name = str(uuid.uuid4())
            made = self.client.create_role_assignment(scope, definition.id, principal, name=name)
            self.assertEqual((made.name, made.properties.principal_id, made.properties.role_definition_id, made.properties.scope),
                             (name, principal, definition.id, shown))
            self.assertEqual(self.client.get_role_assignment(scope, name).role_assignment_id, made.role_assignment_id)
            self.assertIn(made.role_assignment_id, [a.role_assignment_id for a in self.client.list_role_assignments(scope)])
            self.refused(409, self.client.create_role_assignment, scope, definition.id, principal)
            self.client.delete_role_assignment(scope, name)
            self.client.delete_role_assignment(scope, name)
            self.assertNotIn(made.role_assignment_id, [a.role_assignment_id for a in self.client.list_role_assignments(scope)])
            with self.assertRaises(ResourceNotFoundError):
                self.client.get_role_assignment(scope, name)

    def test_settings(self):
        settings = client(KeyVaultSettingsClient)
        found = list(settings.list_settings())
        self.assertEqual([(s.name, s.type) for s in found], [(SETTING, SettingType.BOOLEAN)])
        for value in ("true", "false"):
            self.assertEqual(settings.update_setting(SETTING, value).value, value)
            self.assertEqual(settings.get_setting(SETTING).value, value)
        self.refused(400, settings.update_setting, SETTING, "maybe")
        with self.assertRaises(ResourceNotFoundError):
            settings.get_setting("Other")


class Principal(Case):
    def test_rights_follow_assignments(self):
        data = os.environ["KEYWARD_DATA"]
        made = subprocess.run([os.environ["KEYWARD_BIN"], "token", "create", unique("app"), "--no-access", "--data", data],
                              capture_output=True, text=True, check=True, timeout=60)
        token = made.stdout.strip()
        principal = re.search("principal is (.*);", made.stderr).group(1)
        os.kill(int(os.environ["KEYWARD_PID"]), signal.SIGHUP)

        class App:
            def get_token(self, *_scopes, **_more):
                return AccessToken(token, int(time.time()) + 3600)

        owner, name = client(KeyClient), unique("pen")
        key = owner.create_ec_key(name)
        app = KeyClient(vault_url=URL, credential=App(), verify_challenge_resource=False)
        end = time.monotonic() + 20
        while True:  # until the token is read
            with self.assertRaises(HttpResponseError) as caught:
                app.get_key(name)
            if caught.exception.status_code == 403 or time.monotonic() > end:
                break
            time.sleep(0.05)
        self.assertEqual(caught.exception.status_code, 403)
        self.assertIn("not authorized to perform action 'Microsoft.KeyVault/managedHsm/keys/read/action'", caught.exception.message)
        roles = client(KeyVaultAccessControlClient)
        user = next(d for d in roles.list_role_definitions(KeyVaultRoleScope.GLOBAL) if d.role_name == "Managed HSM Crypto User")
        given = roles.create_role_assignment(f"/keys/{name}", user.id, principal)
        self.assertEqual(app.get_key(name).id, key.id)
        signing = CryptographyClient(key.id, App(), verify_challenge_resource=False)
        self.assertTrue(signing.sign(SignatureAlgorithm.es256, bytes(32)).signature)
        self.refused(403, app.create_ec_key, unique("other"))
        self.refused(403, lambda: list(app.list_properties_of_keys()))
        roles.delete_role_assignment(f"/keys/{name}", given.name)
        self.refused(403, app.get_key, name)

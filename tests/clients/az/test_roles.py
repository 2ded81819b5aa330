"""az keyvault role and az keyvault setting: the commands of the documentation, apart from the names. Microsoft Graph is not
there, so principals are given as object ids and shown without names."""

import json
import uuid

from az import AzCase

HSM = ("--hsm-name", "localhost")
SETTING = "AllowKeyManagementOperationsThroughARM"
READ = "Microsoft.KeyVault/managedHsm/keys/read/action"


class Roles(AzCase):
    def assignments(self, *arguments):
        return self.kv("role", "assignment", "list", *HSM, *arguments)

    def test_definitions(self):
        listed = self.kv("role", "definition", "list", *HSM)
        self.assertIn("Managed HSM Crypto User", [d["roleName"] for d in listed])
        before = len(listed)
        made = self.kv("role", "definition", "create", *HSM, "--role-definition", json.dumps({
            "roleName": "My Custom Role", "description": "The description of the custom rule.", "actions": [], "notActions": [],
            "dataActions": [READ], "notDataActions": []}))
        self.assertEqual((made["roleName"], made["roleType"], made["assignableScopes"]), ("My Custom Role", "CustomRole", ["/"]))
        self.assertEqual(made["permissions"][0]["dataActions"], [READ])
        self.assertEqual([d["id"] for d in self.kv("role", "definition", "list", *HSM, "--custom-role-only")], [made["id"]])
        (self.folder / "role.json").write_text(json.dumps({
            "id": made["id"], "roleName": "My Custom Role", "description": "Another.", "dataActions": [READ, READ.replace("/read/", "/write/")]}))
        changed = self.kv("role", "definition", "update", *HSM, "--role-definition", self.inside / "role.json")
        self.assertEqual((changed["id"], changed["description"], len(changed["permissions"][0]["dataActions"])), (made["id"], "Another.", 2))
        self.assertEqual(self.kv("role", "definition", "show", *HSM, "--name", made["name"]), changed)
        self.assertEqual(self.kv("role", "definition", "show", *HSM, "--role-id", made["id"]), changed)
        self.refused("BadParameter", "role", "definition", "create", *HSM, "--role-definition",
                     json.dumps({"roleName": "Wrong", "dataActions": ["Microsoft.KeyVault/managedHsm/nothing"]}))
        self.kv("role", "definition", "delete", *HSM, "--name", made["name"])
        self.assertEqual(len(self.kv("role", "definition", "list", *HSM)), before)
        self.refused("RoleDefinitionNotFound", "role", "definition", "show", *HSM, "--name", made["name"])

    def test_assignments(self):
        person = str(uuid.uuid4())
        made = []
        for role, scope in (("Managed HSM Crypto User", "/"), ("Managed HSM Crypto Auditor", "/keys"), ("Managed HSM Crypto User", "/keys/myrsakey")):
            one = self.kv("role", "assignment", "create", *HSM, "--role", role, "--assignee-object-id", person,
                          "--assignee-principal-type", "User", "--scope", scope)
            self.assertEqual((one["roleName"], one["scope"], one["principalId"]), (role, scope, person))
            made.append(one)
        self.refused("RoleAssignmentExists", "role", "assignment", "create", *HSM, "--role", "Managed HSM Crypto User",
                     "--assignee-object-id", person, "--assignee-principal-type", "User", "--scope", "/")

        def ids(*arguments):
            return {a["id"] for a in self.assignments(*arguments)}
        self.assertEqual(ids(), {a["id"] for a in made})
        self.assertEqual(ids("--scope", "/"), {made[0]["id"]})
        self.assertEqual(ids("--scope", "/keys"), {made[1]["id"]})
        self.assertEqual(ids("--scope", "keys/myrsakey"), {made[2]["id"]})
        self.assertEqual(ids("--role", "Managed HSM Crypto User"), {made[0]["id"], made[2]["id"]})
        self.assertEqual(ids("--role", "Managed HSM Crypto Auditor", "--assignee-object-id", person), {made[1]["id"]})
        self.assertEqual(ids("--assignee-object-id", str(uuid.uuid4())), set())

        self.kv("role", "assignment", "delete", *HSM, "--role", "Managed HSM Crypto User", "--assignee-object-id", person, "--scope", "/")
        self.assertEqual(ids(), {made[1]["id"], made[2]["id"]})
        self.kv("role", "assignment", "delete", *HSM, "--name", made[1]["name"], "--scope", "/keys")
        # without a scope: az asks at the root for what it has listed below it
        self.kv("role", "assignment", "delete", *HSM, "--role", "Managed HSM Crypto User", "--assignee-object-id", person)
        self.assertEqual(ids(), set())

    def test_delete_by_id(self):
        one = self.kv("role", "assignment", "create", *HSM, "--role", "Managed HSM Crypto User", "--assignee-object-id", str(uuid.uuid4()),
                      "--assignee-principal-type", "ServicePrincipal", "--scope", "/keys/k")
        self.kv("role", "assignment", "delete", *HSM, "--ids", one["id"])
        self.assertNotIn(one["id"], [a["id"] for a in self.assignments()])

    def test_settings(self):
        self.assertIn(SETTING, [s["name"] for s in self.kv("setting", "list", *HSM)])
        for value in ("true", "false"):
            self.assertEqual(self.kv("setting", "update", *HSM, "--name", SETTING, "--value", value)["value"], value)
            self.assertEqual(self.kv("setting", "show", *HSM, "--name", SETTING)["value"], value)
        self.refused("SettingNotFound", "setting", "show", *HSM, "--name", "Other")

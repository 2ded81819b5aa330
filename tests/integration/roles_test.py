"""Role definitions, role assignments and settings of a Managed HSM: shapes, refusals, limits, and that
backups carry them."""

import json
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import time
import unittest
import uuid

from export_test import export, run_import, sibling
from full_backup_test import back_up, carry, restore
from keyward import Case, Server, b64

DEFINITIONS = "/providers/Microsoft.Authorization/roleDefinitions"
ASSIGNMENTS = "/providers/Microsoft.Authorization/roleAssignments"
ROLE_ID = "Microsoft.KeyVault" + DEFINITIONS + "/"
ADMINISTRATOR = "a290e904-7015-4bba-90c8-60543313cdb4"
CRYPTO_USER = "21dbd100-6940-42c2-9190-5d6cb909625b"
AUDITOR = "2c18b078-7c48-4d3a-af88-5a3a1b3f82b3"
OTHER = "any.example"  # a name that is nobody's: the default vault, which is Key Vault and Managed HSM at once
SETTING = "AllowKeyManagementOperationsThroughARM"
READ = "Microsoft.KeyVault/managedHsm/keys/read/action"
TEXT = b64(bytes(range(32)))
SIGN = "Microsoft.KeyVault/managedHsm/keys/sign/action"


def guid():
    return str(uuid.uuid4())


def role(name="Role", actions=(READ,), **more):
    return {"properties": {"roleName": name, "permissions": [{"dataActions": list(actions)}], **more}}


def put_role(server, name, *actions, id=None):
    answer = server.request("PUT", f"{DEFINITIONS}/{id or guid()}", role(name, actions or (READ,)))
    assert answer.status == 201, answer.body
    return answer.json["name"]


def assignment(principal, role_id):
    return {"properties": {"principalId": principal, "roleDefinitionId": role_id}}


def assign(server, principal, role_id, scope="", id=None):
    answer = server.request("PUT", f"{scope}{ASSIGNMENTS}/{id or guid()}", assignment(principal, role_id))
    assert answer.status == 201, answer.body
    return answer.json


def names(answer):
    assert answer.status == 200, answer.body
    return [item["name"] for item in answer.json["value"]]


def everything(server):
    """Roles, assignments and settings, page by page."""
    seen = {"roles": server.get(DEFINITIONS).json["value"], "settings": server.get("/settings").json, "assignments": []}
    path = ASSIGNMENTS
    while path:
        page = server.get(path, version="api-version" not in path).json
        seen["assignments"] += page["value"]
        path = page["nextLink"] and page["nextLink"].split(f":{server.port}", 1)[1]
    return seen


class Definitions(Case):
    def test_builtin(self):
        listed = self.server.get(DEFINITIONS).json
        self.assertIsNone(listed["nextLink"])
        built = {item["properties"]["roleName"]: item for item in listed["value"] if item["properties"]["type"] == "AKVBuiltInRole"}
        self.assertEqual(len(built), 10)
        user = built["Managed HSM Crypto User"]
        self.assertEqual(user["id"], ROLE_ID + CRYPTO_USER)
        self.assertEqual(user["name"], CRYPTO_USER)
        self.assertEqual(user["type"], "Microsoft.Authorization/roleDefinitions")
        self.assertEqual(user["properties"]["assignableScopes"], ["/"])
        permission = user["properties"]["permissions"][0]
        self.assertIn(SIGN, permission["dataActions"])
        self.assertEqual(permission["notDataActions"], [])
        # the administrator cannot touch keys
        admin = built["Managed HSM Administrator"]["properties"]["permissions"][0]["dataActions"]
        self.assertFalse([a for a in admin if "/keys/" in a])
        self.assertEqual(self.server.get(f"{DEFINITIONS}/{CRYPTO_USER.upper()}").json, user)
        for scope in ("/keys", "//keys", "/keys/any"):  # az looks where it is going to assign
            self.assertEqual(self.server.get(scope + DEFINITIONS).json, listed)
        # the spellings of clients: the scope "/", the scope ""
        for prefix in ("//", "/", "/keys", "//keys/any"):
            self.assertEqual(self.server.get(f"{prefix}{DEFINITIONS}").json, listed)
            self.assertEqual(self.server.get(f"{prefix}{DEFINITIONS}/{CRYPTO_USER}").json, user)
        self.expect(self.server.request("PUT", f"/keys{DEFINITIONS}/{guid()}", role()), 405)

    def test_custom_role_lives(self):
        id = guid()
        body = role("Reader", [READ.replace("managedHsm", "managedHSM")], description="d", type="CustomRole", assignableScopes=["/keys", "/"])
        made = self.expect(self.server.request("PUT", f"{DEFINITIONS}/{id.upper()}", body), 201).json
        self.assertEqual(made["id"], ROLE_ID + id)
        self.assertEqual(made["properties"]["type"], "CustomRole")
        self.assertEqual(made["properties"]["permissions"], [{"actions": [], "notActions": [], "dataActions": [READ], "notDataActions": []}])
        self.assertEqual(made["properties"]["assignableScopes"], ["/keys", "/"])
        self.assertEqual(self.server.get(f"{DEFINITIONS}/{id}").json, made)
        changed = self.expect(self.server.request("PUT", f"{DEFINITIONS}/{id}", role("Signer", [SIGN])), 201).json
        self.assertEqual(changed["properties"]["roleName"], "Signer")
        self.assertEqual(self.server.get(f"{DEFINITIONS}/{id}").json, changed)
        self.assertEqual(names(self.server.get(DEFINITIONS + "?$filter=roleName%20eq%20'signer'")), [id])
        self.assertEqual(names(self.server.get(DEFINITIONS + "?$filter=type+eq+'CustomRole'+and+atScopeAndBelow()")), [id])
        self.assertEqual(len(names(self.server.get(DEFINITIONS + "?$filter=type%20eq%20'AKVBuiltInRole'"))), 10)
        self.assertEqual(self.expect(self.server.request("DELETE", f"{DEFINITIONS}/{id}"), 200).json, changed)
        for method in ("GET", "DELETE"):
            self.expect(self.server.request(method, f"{DEFINITIONS}/{id}"), 404, "RoleDefinitionNotFound")

    def test_refused(self):
        def put(body, id=None):
            return self.server.request("PUT", f"{DEFINITIONS}/{id or guid()}", body)
        taken = put_role(self.server, "Taken")
        bad = [
            b"", b"{", b"[]", {}, {"properties": 1}, {"properties": {}}, {"properties": {"roleName": ""}},
            {"properties": {"roleName": 7}}, {"properties": {"roleName": "n" * 513}}, role("n", description="d" * 2049),
            role("n\0m"), role("n", type="AKVBuiltInRole"), role("n", ["nothing/of/this/name"]), role("n", [""]), role("n", [1]),
            role("n", [READ + " "]), role("n", ["a" * 257]), role("n", [READ] * 257), role("n", assignableScopes=["/keys/k"]),
            role("n", assignableScopes=["/secrets"]), role("n", assignableScopes="/"),
            {"properties": {"roleName": "n", "permissions": [{"actions": ["x"]}]}},
            {"properties": {"roleName": "n", "permissions": [{"notActions": ["x"]}]}},
            {"properties": {"roleName": "n", "permissions": [{"notDataActions": ["x"]}]}},
            {"properties": {"roleName": "n", "permissions": [{}] * 17}},
            {"properties": {"roleName": "n", "permissions": ["x"]}},
            {"properties": {"roleName": "n", "permissions": {"dataActions": []}}},
        ]
        for body in bad:
            self.expect(put(body), 400, "BadParameter")
        for id in ("x", "1" * 36, CRYPTO_USER[:-1], CRYPTO_USER + "0", CRYPTO_USER.replace("-", "0")):
            self.expect(put(role(), id), 400, "BadParameter")
            self.expect(self.server.get(f"{DEFINITIONS}/{id}"), 404, "RoleDefinitionNotFound")
        self.expect(put(role("Mine"), CRYPTO_USER), 400, "BadParameter")
        self.expect(self.server.request("DELETE", f"{DEFINITIONS}/{CRYPTO_USER}"), 400, "BadParameter")
        self.expect(put(role("tAKEN")), 409, "RoleDefinitionWithSameNameExists")
        self.expect(put(role("Managed HSM Crypto User")), 409, "RoleDefinitionWithSameNameExists")
        self.expect(put(role("Taken"), taken), 201)
        for text in ("x", "atScope", "roleName%20eq%20'", "roleName%20eq%20x", "atScope()%20and", "principalId%20eq%20'" + guid() + "'", "a" * 1100):
            self.expect(self.server.get(f"{DEFINITIONS}?$filter={text}"), 400, "BadParameter")
        self.expect(self.server.request("POST", f"{DEFINITIONS}/{taken}", {}), 405)

    def test_assigned_roles_stay(self):
        id = put_role(self.server, "Held")
        made = assign(self.server, guid(), id)
        self.expect(self.server.request("DELETE", f"{DEFINITIONS}/{id}"), 409, "RoleDefinitionHasAssignments")
        self.expect(self.server.request("DELETE", f"{ASSIGNMENTS}/{made['name']}"), 200)
        self.expect(self.server.request("DELETE", f"{DEFINITIONS}/{id}"), 200)


class Assignments(Case):
    def test_life(self):
        principal = guid()
        spellings = (CRYPTO_USER, "/" + ROLE_ID + CRYPTO_USER, ROLE_ID + CRYPTO_USER.upper(), "/x/y/" + CRYPTO_USER)
        for i, (scope, path) in enumerate((("/", ""), ("/keys", "/keys"), ("/keys/k-1", "/keys/k-1"), ("/keys/K2", "//keys/K2"))):
            id = guid()
            body = assignment(principal.upper(), spellings[i])
            body["properties"]["principalType"] = "User"
            made = self.expect(self.server.request("PUT", f"{path}{ASSIGNMENTS}/{id.upper()}", body), 201).json
            self.assertEqual(made, {
                "id": ("" if scope == "/" else scope) + f"{ASSIGNMENTS}/{id}", "name": id,
                "type": "Microsoft.Authorization/roleAssignments",
                "properties": {"principalId": principal, "roleDefinitionId": ROLE_ID + CRYPTO_USER, "scope": scope}})
            self.assertEqual(self.server.get(f"{path}{ASSIGNMENTS}/{id}").json, made)
            # the same request again, as clients repeat it
            self.assertEqual(self.expect(self.server.request("PUT", f"{path}{ASSIGNMENTS}/{id}", body), 201).json, made)
            # a wider scope has it too, as clients ask for it; a narrower or another one has not
            self.assertEqual(self.server.get(f"{ASSIGNMENTS}/{id}").json, made)
            self.expect(self.server.get(f"/keys/other{ASSIGNMENTS}/{id}"), 404, "RoleAssignmentNotFound")
            self.expect(self.server.request("DELETE", f"/keys/other{ASSIGNMENTS}/{id}"), 404, "RoleAssignmentNotFound")
            # what it says cannot be changed
            other = assignment(principal, AUDITOR)
            self.expect(self.server.request("PUT", f"{path}{ASSIGNMENTS}/{id}", other), 409, "RoleAssignmentExists")
            self.expect(self.server.request("PUT", f"/keys/other{ASSIGNMENTS}/{id}", body), 409, "RoleAssignmentExists")
            # nor said twice
            self.expect(self.server.request("PUT", f"{path}{ASSIGNMENTS}/{guid()}", body), 409, "RoleAssignmentExists")
            self.assertEqual(self.expect(self.server.request("DELETE", f"{path}{ASSIGNMENTS}/{id}"), 200).json, made)
            self.expect(self.server.request("DELETE", f"{path}{ASSIGNMENTS}/{id}"), 404, "RoleAssignmentNotFound")
            self.expect(self.server.get(f"{path}{ASSIGNMENTS}/{id}"), 404, "RoleAssignmentNotFound")

    def test_lists(self):
        one, two = guid(), guid()
        root = assign(self.server, one, CRYPTO_USER)["name"]
        keys = assign(self.server, two, CRYPTO_USER, "/keys")["name"]
        a = assign(self.server, one, AUDITOR, "/keys/a")["name"]
        b = assign(self.server, two, AUDITOR, "/keys/b")["name"]

        def at(scope, filter=None):
            return set(names(self.server.get(scope + ASSIGNMENTS + (f"?$filter={filter}" if filter else ""))))
        self.assertEqual(at(""), {root, keys, a, b})
        self.assertEqual(at("//"), {root, keys, a, b})
        self.assertEqual(at("", "atScope()"), {root})
        self.assertEqual(at("/keys"), {root, keys, a, b})
        self.assertEqual(at("/keys", "atScope()"), {root, keys})
        self.assertEqual(at("/keys/A", "atScope()"), {root, keys, a})
        self.assertEqual(at("/keys/a"), {root, keys, a})
        self.assertEqual(at("", f"principalId%20eq%20'{two}'"), {keys, b})
        self.assertEqual(at("", f"principalId+eq+'{two.upper()}'+and+atScope()"), set())
        self.assertEqual(at("/keys/b", f"atScope()%20and%20principalId%20eq%20'{two}'"), {keys, b})
        self.assertEqual(at("", f"assignedTo('{one}')"), {root, a})
        for text in ("x", "principalId%20eq%20'x'", "principalId%20eq", "atScope(1)", "roleName%20eq%20'x'", "%20and%20atScope()", "atScope()atScope()"):
            self.expect(self.server.get(f"{ASSIGNMENTS}?$filter={text}"), 400, "BadParameter")
        self.expect(self.server.get(f"{ASSIGNMENTS}?$skiptoken=x"), 400, "BadParameter")
        for scope, name in (("", root), ("/keys", keys), ("/keys/a", a), ("/keys/b", b)):
            self.expect(self.server.request("DELETE", f"{scope}{ASSIGNMENTS}/{name}"), 200)
        self.assertEqual(at(""), set())

    def test_refused(self):
        principal = guid()
        for body in (b"", {}, {"properties": {}}, assignment(principal, ""), assignment("", CRYPTO_USER), assignment("me", CRYPTO_USER),
                     assignment(principal, "x"), assignment(principal, CRYPTO_USER + "/"), assignment(1, CRYPTO_USER),
                     assignment(principal, "x" * 600)):
            self.expect(self.server.request("PUT", f"{ASSIGNMENTS}/{guid()}", body), 400, "BadParameter")
        body = assignment(principal, CRYPTO_USER)
        self.expect(self.server.request("PUT", f"{ASSIGNMENTS}/me", body), 400, "BadParameter")
        self.expect(self.server.request("PUT", f"/keys/a_b{ASSIGNMENTS}/{guid()}", body), 400, "BadParameter")
        self.expect(self.server.request("PUT", f"/keys/{'k' * 128}{ASSIGNMENTS}/{guid()}", body), 400, "BadParameter")
        self.expect(self.server.request("PUT", f"/secrets/s{ASSIGNMENTS}/{guid()}", body), 404, "NotFound")
        self.expect(self.server.request("PUT", f"{ASSIGNMENTS}/{guid()}", assignment(principal, guid())), 404, "RoleDefinitionNotFound")
        keys_only = guid()
        self.expect(self.server.request("PUT", f"{DEFINITIONS}/{keys_only}", role("Keys only", assignableScopes=["/keys"])), 201)
        self.expect(self.server.request("PUT", f"{ASSIGNMENTS}/{guid()}", assignment(principal, keys_only)), 400, "BadParameter")
        assign(self.server, principal, keys_only, "/keys/k")

    def test_settings(self):
        shown = {"name": SETTING, "value": "false", "type": "boolean"}
        self.assertEqual(self.server.get("/settings").json, {"settings": [shown]})
        self.assertEqual(self.server.get(f"/settings/{SETTING.lower()}").json, shown)
        changed = self.expect(self.server.request("PATCH", f"/settings/{SETTING}", {"value": "True"}), 200).json
        self.assertEqual(changed, dict(shown, value="true"))
        self.assertEqual(self.server.get("/settings").json, {"settings": [changed]})
        self.expect(self.server.request("PATCH", f"/settings/{SETTING}", {"value": "false"}), 200)
        for body in (b"", {}, {"value": "yes"}, {"value": ""}, {"value": True}, {"value": "true" * 9}):
            self.expect(self.server.request("PATCH", f"/settings/{SETTING}", body), 400, "BadParameter")
        for method in ("GET", "PATCH"):
            self.expect(self.server.request(method, "/settings/Other", {"value": "true"} if method == "PATCH" else None), 404, "SettingNotFound")
        self.expect(self.server.request("DELETE", f"/settings/{SETTING}"), 405)


class Limits(Case):
    def test_limits(self):
        for i in range(50):
            put_role(self.server, f"Role {i}")
        last = self.expect(self.server.request("PUT", f"{DEFINITIONS}/{guid()}", role("Too many")), 400, "RoleDefinitionLimitExceeded")
        self.assertTrue(last.json["error"]["message"])
        held = self.server.get(DEFINITIONS + "?$filter=roleName eq 'Role 7'".replace(" ", "%20")).json["value"][0]["name"]
        self.expect(self.server.request("PUT", f"{DEFINITIONS}/{held}", role("Role 7")), 201)
        for scope, most in (("", 50), ("/keys", 50), ("/keys/a", 10), ("/keys/B", 10)):
            for _ in range(most):
                assign(self.server, guid(), CRYPTO_USER, scope)
            body = assignment(guid(), CRYPTO_USER)
            self.expect(self.server.request("PUT", f"{scope.lower()}{ASSIGNMENTS}/{guid()}", body), 400, "RoleAssignmentLimitExceeded")
        for i in range(20):
            for _ in range(10):
                assign(self.server, guid(), AUDITOR, f"/keys/more{i}")
        before = everything(self.server)
        self.assertEqual(len(before["assignments"]), 320)
        page = self.server.get(ASSIGNMENTS + "?$filter=atScopeAndBelow()").json
        self.assertEqual(len(page["value"]), 250)
        self.assertIn("&$filter=atScopeAndBelow()", page["nextLink"])
        # all of it is still there after a new start
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        self.assertEqual(everything(self.server), before)
        self.assertEqual(len({item["name"] for item in before["assignments"]}), 320)


class Carried(unittest.TestCase):
    def start(self, server=None):
        server = (server or Server()).start()

        def end():
            self.assertEqual(server.stop(), 0, server.log()[-2000:])
            self.assertNotIn("Sanitizer", server.log())
            server.remove()
        self.addCleanup(end)
        return server

    def fill(self, server):
        custom = put_role(server, "Signer", SIGN)
        for scope, role_id in (("", CRYPTO_USER), ("/keys", custom), ("/keys/k", custom)):
            assign(server, guid(), role_id, scope)
        server.request("PATCH", f"/settings/{SETTING}", {"value": "true"})
        server.create("k", "EC")
        return everything(server)

    def test_full_backup(self):
        here = self.start()
        before = self.fill(here)
        url = back_up(here)
        folder = here.data / "backups" / url.rsplit("/", 1)[1]
        counts = json.loads((folder / "manifest.json").read_text())["counts"]
        self.assertEqual(counts["roleDefinitions"]["objects"], 1)
        self.assertEqual(counts["roleAssignments"]["objects"], 3)
        self.assertEqual(counts["settings"]["objects"], 1)
        there = self.start(sibling(here))
        gone = put_role(there, "Gone")
        assign(there, guid(), gone)
        back_up(there)
        self.assertEqual(restore(there, carry(here, there, url))["status"], "Succeeded")
        self.assertEqual(everything(there), before)
        # what is in memory is what is stored
        self.assertEqual(there.stop(), 0)
        there.start()
        self.assertEqual(everything(there), before)
        # and goes on from there
        put_role(there, "Gone")
        self.expect_taken(there, before)

    def expect_taken(self, server, before):
        again = before["assignments"][0]
        refused = server.request("PUT", f"{ASSIGNMENTS}/{again['name']}", assignment(guid(), CRYPTO_USER))
        self.assertEqual((refused.status, refused.code), (409, "RoleAssignmentExists"))

    def test_export_and_import(self):
        here = self.start()
        before = self.fill(here)
        data, _ = export(here)
        there = self.start(sibling(here))
        there.request("PATCH", f"/settings/{SETTING}", {"value": "false"})
        self.assertEqual(run_import(there, data)["status"], "Succeeded")
        after = everything(there)
        self.assertEqual(after["roles"], before["roles"])
        self.assertEqual(after["assignments"], before["assignments"])
        self.assertEqual(after["settings"]["settings"][0]["value"], "false")  # a vault's own
        job = run_import(there, data)
        self.assertEqual(job["status"], "Failed")


class Enforced(unittest.TestCase):
    """A gateway with a Managed HSM, a Key Vault and a vault that is both; tokens with full access and without."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.server.data.mkdir(mode=0o700)
        (cls.server.data / "backups").mkdir(mode=0o700)
        # the files of a development instance, served with a configuration of its own
        dev = Server("--await-domain").start()
        dev.stop()
        for name in ("ca.pem", "tls.pem", "tls.key"):
            shutil.copy(dev.data / name, cls.server.data / name)
        dev.remove()
        cls.config = cls.server.folder / "keyward.yaml"
        cls.config.write_text(f"""
data: {cls.server.data}
listeners:
  - {{ bind: "127.0.0.1:{cls.server.port}", tls: {{ certificate: data/tls.pem, private_key: data/tls.key }} }}
admin: {{ bind: "127.0.0.1:{cls.server.admin}" }}
auth: {{ tokens: tokens.json }}
backup: {{ folders: ["{cls.server.data}/backups"] }}
vaults:
  - {{ name: hsm, type: hsm }}
  - {{ name: safe, type: vault }}
""")
        cls.tokens, cls.principals = {}, {}
        for name, *words in (("owner",), ("admin", "--no-access"), ("app", "--no-access"), ("nobody", "--no-access")):
            made = cls.cli("token", "create", name, *words)
            assert made.returncode == 0, made.stderr
            cls.tokens[name] = made.stdout.strip()
            cls.principals[name] = re.search(r"principal is ([0-9a-f-]{36})", made.stderr).group(1)
        made = cls.cli("init")
        assert made.returncode == 0, made.stdout + made.stderr
        cls.start()

    @classmethod
    def cli(cls, *words):
        return subprocess.run([cls.server.binary, *words, "-c", str(cls.config)], capture_output=True, text=True, timeout=60)

    @classmethod
    def start(cls):
        cls.errors = open(cls.server.folder / "stderr", "ab")
        cls.process = subprocess.Popen([cls.server.binary, "serve", "-c", str(cls.config)], stderr=cls.errors, stdout=subprocess.PIPE)
        cls.server.tls = ssl.create_default_context(cafile=str(cls.server.data / "ca.pem"))
        line = cls.process.stdout.readline().decode()
        assert line.startswith("ready"), (line, cls.server.log()[-2000:])

    @classmethod
    def stop(cls):
        cls.server.close()
        cls.process.send_signal(signal.SIGTERM)
        code = cls.process.wait(60)
        cls.process.stdout.close()
        cls.errors.close()
        assert code == 0, cls.server.log()[-3000:]

    @classmethod
    def tearDownClass(cls):
        cls.stop()
        log = cls.server.log()
        cls.server.remove()
        assert "Sanitizer" not in log and "runtime error" not in log, log[-5000:]

    def ask(self, who, method, path, body=None, vault="hsm"):
        return self.server.request(method, path, body, {"Host": f"{vault if vault == OTHER else vault + '.localhost'}:{self.server.port}"}, token=self.tokens[who])

    def allowed(self, *request, **more):
        answer = self.ask(*request, **more)
        self.assertIn(answer.status, (200, 201, 202, 204), answer.body)
        return answer.json if answer.body else None

    def refused(self, *request, **more):
        answer = self.ask(*request, **more)
        self.assertEqual(answer.status, 403, answer.body)
        error = answer.json["error"]
        self.assertEqual((error["code"], error["innererror"]["code"]), ("Forbidden", "ForbiddenByRbac"))
        self.assertIn(self.principals[request[0]], error["message"])
        if more.get("vault", "hsm") == "hsm":
            self.assertIn("(Activity ID: ", error["message"])
        return error["message"]

    def give(self, who, role_id, scope="", by="owner", vault="hsm"):
        return self.allowed(by, "PUT", f"{scope}{ASSIGNMENTS}/{guid()}", assignment(self.principals[who], role_id), vault=vault)

    def take(self, given):
        self.allowed("owner", "DELETE", given["id"])

    def test_full_access_needs_no_assignment(self):
        for vault in ("hsm", "safe", OTHER):
            self.allowed("owner", "POST", "/keys/full/create", {"kty": "EC"}, vault=vault)
            self.allowed("owner", "POST", "/keys/full/sign", {"alg": "ES256", "value": TEXT}, vault=vault)
        self.assertEqual(self.allowed("owner", "GET", f"{ASSIGNMENTS}?$filter=principalId%20eq%20'{self.principals['owner']}'")["value"], [])

    def test_nothing_is_open_without_assignments(self):
        """Every path of the API, on every type of vault."""
        document = json.loads((pathlib.Path(__file__).parents[2] / "deploy/reference/openapi.json").read_text())
        seen = 0
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if operation["tags"][0] in ("admin", "control") or operation["operationId"] == "batch":
                    continue
                action = operation["x-action"]
                path_now = re.sub(r"\{[^}]*\}", "a" * 32, path)
                for vault in ("hsm", "safe", OTHER):
                    answer = self.ask("nobody", method.upper(), path_now, {} if method in ("post", "put", "patch") else None, vault=vault)
                    if answer.status == 404 and answer.code == "NotFound":
                        self.assertIn(vault, ("hsm", "safe"))  # a path of the other type
                        continue
                    self.assertEqual((answer.status, answer.inner), (403, "ForbiddenByRbac"), (vault, method, path, answer.body))
                    self.assertIn("/" + action, answer.json["error"]["message"])
                    seen += 1
        self.assertGreater(seen, 150)
        # a batch is read, and each of its operations refused
        self.allowed("owner", "POST", "/keys/batched/create", {"kty": "EC"})
        operations = [{"op": "sign", "key": "batched", "alg": "ES256", "value": TEXT}] * 3
        results = self.allowed("nobody", "POST", "/batch", {"operations": operations})["results"]
        self.assertEqual([r["error"]["innererror"]["code"] for r in results], ["ForbiddenByRbac"] * 3)
        given = self.give("nobody", CRYPTO_USER, "/keys/BATCHED")
        results = self.allowed("nobody", "POST", "/batch", {"operations": operations + [{"op": "sign", "key": "full", "alg": "ES256", "value": TEXT}]})["results"]
        self.assertEqual(["error" in r for r in results], [False, False, False, True])
        self.take(given)

    def test_one_key(self):
        for name in ("mine", "theirs"):
            self.allowed("owner", "POST", f"/keys/{name}/create", {"kty": "EC"})
        sign = {"alg": "ES256", "value": TEXT}
        self.assertIn("at /keys/mine", self.refused("app", "POST", "/keys/mine/sign", sign))
        given = self.give("app", CRYPTO_USER, "/keys/mine")
        version = self.allowed("app", "GET", "/keys/mine")["key"]["kid"].rsplit("/", 1)[1]
        self.allowed("app", "POST", "/keys/mine/sign", sign)
        self.allowed("app", "POST", f"/keys/MINE/{version}/sign", sign)
        for request in (("POST", "/keys/theirs/sign", sign), ("GET", "/keys/theirs"), ("GET", "/keys"), ("POST", "/rng", {"count": 1}),
                        ("GET", "/deletedkeys/mine"), ("POST", "/keys/restore", {"value": "x"}),
                        ("PUT", f"/keys/mine{ASSIGNMENTS}/{guid()}", assignment(self.principals["app"], ADMINISTRATOR)),
                        ("GET", DEFINITIONS), ("POST", "/backup", {})):
            self.refused("app", *request)
        self.allowed("app", "GET", f"/keys/mine{ASSIGNMENTS}")
        self.take(given)
        self.refused("app", "POST", "/keys/mine/sign", sign)

    def test_roles_differ(self):
        self.allowed("owner", "POST", "/keys/k/create", {"kty": "EC"})
        sign = ("POST", "/keys/k/sign", {"alg": "ES256", "value": TEXT})
        given = self.give("app", AUDITOR)
        self.allowed("app", "GET", "/keys/k")
        self.allowed("app", "GET", "/keys")
        self.allowed("app", "GET", DEFINITIONS)
        for request in (sign, ("DELETE", "/keys/k"), ("POST", "/keys/n/create", {"kty": "EC"}), ("GET", "/settings")):
            self.refused("app", *request)
        custom = guid()
        self.allowed("owner", "PUT", f"{DEFINITIONS}/{custom}", role("Sign but", ["Microsoft.KeyVault/managedHsm/keys/*"]))
        second = self.give("app", custom, "/keys")
        self.allowed("app", *sign)
        # the role changes, and with it at once what it gives
        body = role("Sign but", ["Microsoft.KeyVault/managedHsm/keys/*"])
        body["properties"]["permissions"][0]["notDataActions"] = [SIGN]
        self.allowed("owner", "PUT", f"{DEFINITIONS}/{custom}", body)
        self.refused("app", *sign)
        self.take(given)
        self.take(second)
        self.refused("app", "GET", "/keys/k")

    def test_an_administrator_helps_itself(self):
        """The start of the service: an administrator cannot touch keys, but it may give out roles."""
        self.give("admin", ADMINISTRATOR)
        self.refused("admin", "POST", "/keys/adm/create", {"kty": "EC"})
        self.allowed("admin", "PATCH", f"/settings/{SETTING}", {"value": "false"})
        self.give("admin", CRYPTO_USER, "/keys", by="admin")
        self.allowed("admin", "POST", "/keys/adm/create", {"kty": "EC"})
        self.refused("admin", "POST", "/rng", {"count": 1})
        before = self.allowed("owner", "GET", ASSIGNMENTS)
        self.stop()
        self.start()
        # at the first request of a new start
        self.allowed("admin", "POST", "/keys/adm/sign", {"alg": "ES256", "value": TEXT})
        self.refused("app", "GET", "/keys/adm")
        self.assertEqual(self.allowed("owner", "GET", ASSIGNMENTS), before)

    def test_vaults_are_apart(self):
        given = self.give("app", CRYPTO_USER)
        self.refused("app", "GET", "/keys", vault="safe")
        self.refused("app", "GET", "/keys", vault=OTHER)
        self.allowed("app", "GET", "/keys")
        self.take(given)
        # secrets of a vault that is both, by a custom role
        custom = guid()
        self.allowed("owner", "PUT", f"{DEFINITIONS}/{custom}", role("Secrets", ["Microsoft.KeyVault/vaults/secrets/getSecret/action"]), vault=OTHER)
        self.allowed("owner", "PUT", "/secrets/s", {"value": "v"}, vault=OTHER)
        self.give("app", custom, vault=OTHER)
        self.assertEqual(self.allowed("app", "GET", "/secrets/s", vault=OTHER)["value"], "v")
        self.refused("app", "PUT", "/secrets/s", {"value": "w"}, vault=OTHER)

    def test_a_vault_that_comes_later_is_asked_by_a_batch_alone(self):
        before = self.config.read_text()
        with_late = before + "  - { name: late, type: hsm, hosts: [late.localhost] }\n"

        def again(text):
            self.stop()
            self.config.write_text(text)
            self.start()

        again(with_late)
        self.allowed("owner", "POST", "/keys/k/create", {"kty": "EC"}, vault="late")
        self.give("app", CRYPTO_USER, vault="late")
        again(before)
        self.config.write_text(with_late)
        self.process.send_signal(signal.SIGHUP)
        batch, end = {"operations": [{"op": "sign", "key": "k", "alg": "ES256", "value": TEXT}]}, time.monotonic() + 20
        while True:
            answer = self.ask("app", "POST", "/batch", batch, vault="late")
            if answer.status == 200 and "value" in answer.json["results"][0]:
                break
            self.assertLess(time.monotonic(), end, answer.body)
            time.sleep(0.05)
        again(before)

    def test_the_domain_is_that_of_all_vaults(self):
        """Who administers one vault cannot take, or replace, what opens the others."""
        given = self.give("app", ADMINISTRATOR)
        self.allowed("app", "GET", "/settings")
        for method, path in (("POST", "download"), ("GET", "download/pending"), ("GET", "upload"), ("POST", "upload"),
                             ("GET", "upload/pending")):
            self.refused("app", method, f"/securitydomain/{path}", {} if method == "POST" else None)
        elsewhere = self.give("app", ADMINISTRATOR, vault=OTHER)
        self.allowed("app", "GET", "/securitydomain/upload")
        self.take(given)
        self.refused("app", "GET", "/securitydomain/upload", vault=OTHER)
        self.allowed("owner", "DELETE", elsewhere["id"], vault=OTHER)

    def test_a_backup_of_another_vault_is_not_restored(self):
        self.allowed("owner", "POST", "/keys/elsewhere/create", {"kty": "EC"}, vault=OTHER)
        place = {"storageResourceUri": (self.server.data / "backups").as_uri(), "token": "sv=x"}

        def run(who, method, path, body, vault="hsm"):
            job = self.allowed(who, method, path, body, vault=vault)
            end = time.monotonic() + 60
            while job["status"] == "InProgress":
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
                job = self.allowed(who, "GET", f"{path if method == 'POST' else '/restore'}/{job['jobId']}/pending", vault=vault)
            return job

        theirs = run("owner", "POST", "/backup", place, OTHER)["azureStorageBlobContainerUri"].rsplit("/", 1)[1]
        given = self.give("app", ADMINISTRATOR)
        own = run("app", "POST", "/backup", place)["azureStorageBlobContainerUri"].rsplit("/", 1)[1]
        for folder in (theirs, theirs.replace("-", "%2d"), own + "/../" + theirs, own + "x"):
            for method, path, name in (("PUT", "/keys/elsewhere/restore", "folder"), ("PUT", "/restore", "folderToRestore"),
                                       ("PUT", "/prerestore", "folderToRestore")):
                self.refused("app", method, path, {"sasTokenParameters": place, name: folder})
        self.assertEqual(self.ask("owner", "GET", "/keys/elsewhere").status, 404)
        job = run("app", "PUT", "/restore", {"sasTokenParameters": place, "folderToRestore": own})
        self.assertEqual(job["status"], "Succeeded", job)
        job = run("owner", "PUT", "/keys/elsewhere/restore", {"sasTokenParameters": place, "folder": theirs})
        self.assertEqual(job["status"], "Succeeded", job)
        self.take(given)

    def test_tokens(self):
        listed = self.cli("token", "list").stdout.splitlines()
        self.assertEqual(listed[0].split(), ["CREATED", "ACCESS", "PRINCIPAL", "NAME"])
        rows = {line.split()[3]: line.split()[1:3] for line in listed[1:]}
        self.assertEqual(rows["owner"], ["full", self.principals["owner"]])
        self.assertEqual(rows["app"], ["assigned", self.principals["app"]])
        # another token of the same principal has the same rights
        given = self.give("app", CRYPTO_USER)
        made = self.cli("token", "create", "app-2", "--no-access", "--principal", self.principals["app"].upper())
        self.assertEqual(made.returncode, 0, made.stderr)
        self.tokens["app-2"] = made.stdout.strip()
        self.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 20
        while self.ask("app-2", "GET", "/keys").status == 401:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        self.allowed("app-2", "GET", "/keys")
        self.take(given)
        self.assertEqual(self.ask("app-2", "GET", "/keys").status, 403)
        for words in (("create", "x", "--principal", "me"), ("revoke", "app", "--no-access"), ("create", "--no-access"),
                      ("create", "x", "--role", "r"), ("create", "x", "--scope", "/"), ("create", "x", "--no-access", "--vault", "hsm"),
                      ("create", "x", "--no-access", "--role", "r", "--scope", "/secrets")):
            self.assertEqual(self.cli("token", *words).returncode, 2, words)

    def test_a_token_with_its_role(self):
        words = ("token", "create", "signer", "--no-access", "--vault", "hsm", "--scope", "/keys/held", "--role")
        missing = self.cli(*words, "Nobody's")
        self.assertEqual((missing.returncode, missing.stdout), (1, ""))
        self.assertIn("has no role", missing.stderr)
        made = self.cli(*words, "managed hsm crypto user")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("at /keys/held", made.stderr)
        self.tokens["signer"] = made.stdout.strip()
        self.principals["signer"] = re.search(r"principal is ([0-9a-f-]{36})", made.stderr).group(1)
        self.process.send_signal(signal.SIGHUP)
        self.allowed("owner", "POST", "/keys/held/create", {"kty": "EC"})
        end = time.monotonic() + 20
        while self.ask("signer", "GET", "/keys/held").status == 401:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        self.allowed("signer", "POST", "/keys/held/sign", {"alg": "ES256", "value": TEXT})
        self.refused("signer", "GET", "/keys")
        changes = [line for line in map(json.loads, self.server.log().splitlines()) if line["message"] == "roles changed"]
        mine = [line for line in changes if line["principal"] == self.principals["signer"]]
        self.assertEqual([(line["what"], line["vault"], line["scope"], line["role"]) for line in mine],
                         [("role_assignments_put", "hsm", "/keys/held", CRYPTO_USER)])
        self.assertTrue(mine[0]["by"].startswith("uid:"))


class Development(Case):
    def test_a_vault_of_before_is_read_when_it_is_asked_for(self):
        """Vaults of --dev are made by their names: who may do what in them is read with the first request."""
        made = subprocess.run([self.server.binary, "token", "create", "app", "--no-access", "--data", str(self.server.data)],
                              capture_output=True, text=True, check=True, timeout=60)
        principal = re.search(r"principal is ([0-9a-f-]{36})", made.stderr).group(1)
        app, host = made.stdout.strip(), {"Host": f"made.localhost:{self.server.port}"}
        self.expect(self.server.post("/keys/k/create", {"kty": "EC"}, headers=host), 200)
        body = assignment(principal, CRYPTO_USER)
        self.expect(self.server.request("PUT", f"/keys/k{ASSIGNMENTS}/{guid()}", body, headers=host), 201)
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        seen, end = [], time.monotonic() + 20
        while not seen or seen[-1] == 503:
            answer = self.server.get("/keys/k", headers=host, token=app)
            seen.append(answer.status)
            if answer.status == 503:
                self.assertEqual(answer.headers["Retry-After"], "1")
            self.assertLess(time.monotonic(), end)
        self.assertEqual(seen[-1], 200, seen)
        self.assertIn(503, seen)
        self.expect(self.server.get("/keys", headers=host, token=app), 403, "Forbidden", "ForbiddenByRbac")
        self.expect(self.server.get("/keys/k", token=app), 403, "Forbidden", "ForbiddenByRbac")


if __name__ == "__main__":
    unittest.main()

"""Full backup and restore: a folder as the place, through the API and the command; refusals; what
changed bytes do; gateways killed while they back up and restore."""

import json
import os
import random
import shutil
import signal
import threading
import time
import unittest

from export_test import Case, cli, names, put, sibling
from keyward import b64, unb64

ROLES = "/providers/Microsoft.Authorization"
ROLE = "11111111-2222-3333-4444-555555555555"
KILLS = int(os.environ.get("KEYWARD_KILLS", "20"))
TEXT = b64(bytes(range(32)))


def uri(server):
    return f"file://{server.data}/backups"


def poll(server, url):
    """Follows Azure-AsyncOperation as clients do: as given, without an api-version."""
    path = url.split(f":{server.port}", 1)[1]
    end = time.monotonic() + 60
    while True:
        answer = server.get(path, version=False)
        assert answer.status == 200, answer.body
        if answer.json["status"] != "InProgress":
            return answer.json
        assert answer.json["error"] == {"code": None, "message": None, "innererror": None}
        assert answer.json["endTime"] is None
        assert time.monotonic() < end, answer.body
        time.sleep(0.02)


def run(server, method, path, body):
    begun = server.request(method, path, body)
    assert begun.status == 202, begun.body
    job, url = begun.json, begun.headers["Azure-AsyncOperation"]
    assert job["status"] == "InProgress" and begun.headers["Retry-After"], begun.body
    assert url.startswith(f"https://localhost:{server.port}/") and url.split("/")[4] == job["jobId"]
    return poll(server, url)


def back_up(server):
    job = run(server, "POST", "/backup", {"storageResourceUri": uri(server), "token": "sv=x&sig=y"})
    assert job["status"] == "Succeeded", job
    return job["azureStorageBlobContainerUri"]


def source(server, folder, name="folderToRestore"):
    return {"sasTokenParameters": {"storageResourceUri": uri(server), "token": "sv=x"}, name: folder}


def carry(here, there, url):
    """The backup's folder to where the other gateway may read it."""
    folder = url.rsplit("/", 1)[1]
    shutil.rmtree(there.data / "backups" / folder, ignore_errors=True)
    shutil.copytree(here.data / "backups" / folder, there.data / "backups" / folder)
    return folder


def restore(server, folder):
    return run(server, "PUT", "/restore", source(server, folder))


def everything(server):
    """What clients see, without the port."""
    seen = {}
    for collection in ("keys", "secrets", "deletedkeys", "deletedsecrets", "certificates"):
        found, path = [], f"/{collection}"
        while path:
            page = server.get(path, version="api-version" not in path).json
            found += page["value"]
            path = page["nextLink"] and page["nextLink"].split(f":{server.port}", 1)[1]
        seen[collection] = found
    for path in (ROLES + "/roleDefinitions", ROLES + "/roleAssignments", "/settings"):
        seen[path] = server.get(path).json
    for collection in ("keys", "secrets", "certificates"):
        for item in seen[collection]:
            name = (item.get("kid") or item["id"]).split("/")[4]
            seen[f"{collection}/{name}"] = server.get(f"/{collection}/{name}").json
            seen[f"{collection}/{name}/versions"] = server.get(f"/{collection}/{name}/versions").json
    return json.loads(json.dumps(seen).replace(str(server.port), "P"))


def assign(server, name, role=ROLE, scope=""):
    body = {"properties": {"roleDefinitionId": role, "principalId": "00000000-0000-0000-0000-00000000000a"}}
    answer = server.request("PUT", f"{scope}{ROLES}/roleAssignments/{name}", body)
    assert answer.status == 201, answer.body


def fill(server):
    body = {"properties": {"roleName": "Mine", "permissions": [{"dataActions": ["Microsoft.KeyVault/managedHsm/keys/sign/action"]}]}}
    assert server.request("PUT", f"{ROLES}/roleDefinitions/{ROLE}", body).status == 201
    for i, scope in enumerate(("", "/keys", "/keys/ec")):
        assign(server, f"00000000-0000-0000-0000-00000000000{i}", scope=scope)
    assert server.request("PATCH", "/settings/AllowKeyManagementOperationsThroughARM", {"value": "true"}).status == 200
    for kty, name in (("RSA", "rsa"), ("EC", "ec"), ("EC-HSM", "echsm")):
        server.create(name, kty, tags={"t": name})
    server.create("ec", "EC")
    server.create("aes", "oct-HSM", key_size=256)
    server.create("gone", "EC")
    server.request("DELETE", "/keys/gone")
    policy = {"lifetimeActions": [{"trigger": {"timeAfterCreate": "P90D"}, "action": {"type": "Rotate"}}]}
    assert server.request("PUT", "/keys/ec/rotationpolicy", policy).status == 200
    for i in range(5):
        put(server, "many", f"v{i}", tags={"i": str(i)})
    put(server, "off", "o", contentType="x/y", attributes={"enabled": False})
    issuer = {"provider": "x", "org_details": {"id": "o"}}
    assert server.request("PUT", "/certificates/issuers/iss", issuer).status == 200
    assert server.request("PUT", "/certificates/contacts", {"contacts": [{"email": "a@b"}]}).status == 200
    made = server.post("/certificates/cert/create", {"policy": {"issuer": {"name": "Self"}, "x509_props": {"subject": "CN=x"}}})
    assert made.status == 202, made.body
    end = time.monotonic() + 30
    while server.get("/certificates/cert/pending").json["status"] == "inProgress":
        assert time.monotonic() < end
        time.sleep(0.05)


class Whole(Case):
    def test_everything_comes_back(self):
        here = self.start()
        fill(here)
        signature = here.ok("/keys/ec/sign", {"alg": "ES256", "value": TEXT})["value"]
        wrapped = here.ok("/keys/aes/wrapkey", {"alg": "A256KW", "value": TEXT})["value"]
        before = everything(here)
        url = back_up(here)
        self.assertRegex(url, r"^file:///.*/backups/mhsm-default-\d{16}$")
        there = self.start(sibling(here))
        put(there, "stays", "not")
        there.create("ec", "RSA")  # the same name, another key: seen, and cached
        there.ok("/keys/ec/sign", {"alg": "RS256", "value": TEXT})
        folder = carry(here, there, url)
        refused = there.request("PUT", "/restore", source(there, folder))
        self.assertEqual((refused.status, refused.code), (403, "Forbidden"))
        self.assertIn("not older than 30 minutes", refused.json["error"]["message"])
        time.sleep(0.02)
        back_up(there)
        self.assertEqual(restore(there, folder)["status"], "Succeeded")
        self.assertEqual(everything(there), before)
        self.assertEqual(there.get("/secrets/stays").status, 404)
        self.assertEqual(there.get("/keys/ec/rotationpolicy").json["lifetimeActions"][0]["trigger"], {"timeAfterCreate": "P90D"})
        self.assertEqual(there.get("/certificates/issuers/iss").json["org_details"]["id"], "o")
        self.assertEqual(there.get("/certificates/contacts").json["contacts"], [{"email": "a@b"}])
        self.assertIs(there.ok("/keys/ec/verify", {"alg": "ES256", "digest": TEXT, "value": signature})["value"], True)
        for name, alg in (("rsa", "RS256"), ("ec", "ES256"), ("echsm", "ES256"), ("cert", "RS256")):
            signed = there.ok(f"/keys/{name}/sign", {"alg": alg, "value": TEXT})["value"]
            self.assertIs(here.ok(f"/keys/{name}/verify", {"alg": alg, "digest": TEXT, "value": signed})["value"], True)
        self.assertEqual(there.ok("/keys/aes/unwrapkey", {"alg": "A256KW", "value": wrapped})["value"], TEXT)
        # a certificate that was restored can be used to its end
        self.assertEqual(there.request("DELETE", "/certificates/cert").status, 200)
        self.assertEqual(there.post("/certificates/restore", {"value": "AAAA"}).status, 400)

    def test_manifest_and_files(self):
        here = self.start()
        fill(here)
        folder = here.data / "backups" / back_up(here).rsplit("/", 1)[1]
        self.assertEqual(sorted(p.name for p in folder.iterdir()), ["archive.kwar", "manifest.json"])
        self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
        manifest = json.loads((folder / "manifest.json").read_text())
        self.assertEqual(manifest["counts"]["keys"], {"objects": 6, "versions": 7})
        self.assertEqual(manifest["counts"]["issuers"], {"objects": 1, "versions": 1})
        self.assertEqual(manifest["archive"]["size"], (folder / "archive.kwar").stat().st_size)
        self.assertNotIn(b"many", (folder / "archive.kwar").read_bytes())

    def test_one_key(self):
        here = self.start()
        fill(here)
        old = here.get("/keys/ec/versions").json
        folder = back_up(here).rsplit("/", 1)[1]

        def one(name):
            return run(here, "PUT", f"/keys/{name}/restore", source(here, folder, "folder"))
        job = one("ec")
        self.assertEqual(job["status"], "Failed")
        self.assertIn("exists already", job["error"]["message"])
        here.request("DELETE", "/keys/ec")
        self.assertEqual(one("ec")["status"], "Failed")
        here.request("DELETE", "/deletedkeys/ec")
        put(here, "many", "newer")
        self.assertEqual(one("EC")["status"], "Succeeded")
        self.assertEqual(here.get("/keys/ec/versions").json, old)
        self.assertEqual(here.get("/secrets/many").json["value"], "newer")
        self.assertEqual(here.get("/keys/ec/rotationpolicy").json["lifetimeActions"][0]["trigger"], {"timeAfterCreate": "P90D"})
        self.assertIn("has no key", one("nobody")["error"]["message"])
        here.request("DELETE", "/certificates/cert")
        here.request("DELETE", "/deletedcertificates/cert")
        self.assertIn("belongs to a certificate", one("cert")["error"]["message"])
        self.assertEqual(here.get("/keys/cert").status, 404)

    def test_command(self):
        here = self.start()
        put(here, "s", "1")
        done = cli(here, "backup", "--to", str(here.data / "backups"))
        self.assertEqual(done.returncode, 0, done.stderr)
        url = done.stdout.split(": ", 1)[0]
        for name in (url, url[len("file://"):]):
            done = cli(here, "backup", "verify", name)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("whole, and of this security domain", done.stdout)
        put(here, "s", "2")
        done = cli(here, "restore", url)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(here.get("/secrets/s").json["value"], "1")
        here.create("k", "EC")
        done = cli(here, "restore", url, "--key", "k")
        self.assertEqual(done.returncode, 1)
        self.assertIn("has no key k", done.stderr)
        (here.data / "backups" / url.rsplit("/", 1)[1] / "manifest.json").unlink()
        done = cli(here, "backup", "verify", url)
        self.assertEqual(done.returncode, 1)
        self.assertIn("has no manifest", done.stderr)
        self.assertEqual(cli(here, "backup").returncode, 2)
        self.assertEqual(cli(here, "backup", "--to", "/etc").returncode, 1)

    def test_one_moment_while_writes_go_on(self):
        here = self.start()
        put(here, "counter-a", "0")
        put(here, "zcounter-b", "0")
        for i in range(200):
            put(here, f"filler-{i:03}", "x" * 2000)
        stop = threading.Event()

        def write():
            client, i = here.clone(), 1
            while not stop.is_set():
                put(client, "counter-a", str(i))
                put(client, "zcounter-b", str(i))
                i += 1
            client.close()
        writer = threading.Thread(target=write)
        writer.start()
        try:
            time.sleep(0.1)
            url = back_up(here)
        finally:
            stop.set()
            writer.join()
        self.assertEqual(restore(here, url.rsplit("/", 1)[1])["status"], "Succeeded")
        a, b = (int(here.get(f"/secrets/{n}").json["value"]) for n in ("counter-a", "zcounter-b"))
        self.assertIn(a - b, (0, 1))

    def test_pre_checks(self):
        here = self.start()
        folder = back_up(here).rsplit("/", 1)[1]
        place = {"storageResourceUri": uri(here)}
        self.assertEqual(run(here, "POST", "/prebackup", place)["status"], "Succeeded")
        self.assertEqual(run(here, "POST", "/prebackup", {})["status"], "Succeeded")
        self.assertEqual(run(here, "PUT", "/prerestore", source(here, folder))["status"], "Succeeded")
        self.assertEqual(run(here, "PUT", "/prerestore", source(here, "mhsm-none"))["status"], "Failed")
        self.assertEqual(run(here, "PUT", "/prerestore", {})["status"], "Succeeded")
        self.assertEqual([p.name for p in (here.data / "backups").iterdir()], [folder])


class Refused(Case):
    def test_places(self):
        here = self.start()
        outside = here.folder / "outside"
        outside.mkdir()
        (here.data / "backups" / "link").symlink_to(outside)
        for place in ("file:///etc", f"file://{outside}", f"file://{here.data}/backups/link", f"file://{here.data}/backups/../..",
                      f"file://{here.data}/backups/nothing", f"file://{here.data}/backups%2f..", f"file://{here.data}"):
            answer = here.post("/backup", {"storageResourceUri": place})
            self.assertEqual((answer.status, answer.code), (403, "Forbidden"), place)
        for body in ({}, {"storageResourceUri": "ftp://x"}, {"storageResourceUri": 5}, {"storageResourceUri": "file://host/x"},
                     {"storageResourceUri": uri(here) + "%zz"}, {"storageResourceUri": uri(here), "useManagedIdentity": True},
                     {"storageResourceUri": "file:///" + "a" * 2000}, {"storageResourceUri": uri(here), "token": "a" * 5000}):
            self.assertEqual(here.post("/backup", body).status, 400, body)
        for folder in ("", "..", ".hidden", "a\0b", "x" * 200, "a b"):
            self.assertEqual(here.request("PUT", "/restore", source(here, folder)).status, 400, folder)
        self.assertEqual(list(outside.iterdir()), [])
        for method, path in (("POST", "/backup"), ("PUT", "/restore"), ("PUT", "/keys/k/restore"), ("GET", "/backup/x/pending")):
            self.assertEqual(here.request(method, path, token=None).status, 401)
        self.assertEqual(here.get(f"/backup/{'0' * 32}/pending").status, 404)

    def test_another_domain(self):
        here, stranger = self.start(), self.start()
        put(here, "s", "here")
        put(stranger, "s", "stranger")
        folder = carry(here, stranger, back_up(here))
        time.sleep(0.02)
        back_up(stranger)
        job = restore(stranger, folder)
        self.assertEqual(job["status"], "Failed")
        self.assertIn("of security domain", job["error"]["message"])
        self.assertEqual(stranger.get("/secrets/s").json["value"], "stranger")

    def test_changed_bytes(self):
        here = self.start()
        put(here, "s", "old")
        folder = back_up(here).rsplit("/", 1)[1]
        put(here, "s", "new")
        state, rng = everything(here), random.Random(7)
        for name in ("archive.kwar", "manifest.json"):
            path = here.data / "backups" / folder / name
            good = path.read_bytes()
            for turn in range(25):
                bad, at = bytearray(good), rng.randrange(len(good))
                bad[at] ^= 1 << rng.randrange(8)
                path.write_bytes(bad)
                self.assertEqual(restore(here, folder)["status"], "Failed", (name, at))
            for bad in (b"", good[:-1], good + b" "):
                path.write_bytes(bad)
                self.assertEqual(restore(here, folder)["status"], "Failed", name)
                self.assertEqual(run(here, "POST", "/backup/verify", source(here, folder))["status"], "Failed")
            path.write_bytes(good)
            self.assertEqual(everything(here), state)
        self.assertEqual(run(here, "POST", "/backup/verify", source(here, folder))["status"], "Succeeded")
        self.assertEqual(restore(here, folder)["status"], "Succeeded")
        self.assertEqual(here.get("/secrets/s").json["value"], "old")

    def test_one_at_a_time(self):
        here = self.start()
        for i in range(200):
            put(here, f"s{i}", "x" * 5000)
        first = here.post("/backup", {"storageResourceUri": uri(here)})
        second = here.post("/backup", {"storageResourceUri": uri(here)})
        self.assertEqual((first.status, second.status), (202, 409))
        self.assertEqual(poll(here, first.headers["Azure-AsyncOperation"])["status"], "Succeeded")
        # a backup is not a job of /export
        self.assertEqual(here.get(f"/export/{first.json['jobId']}").status, 404)
        self.assertEqual(here.request("DELETE", f"/export/{first.json['jobId']}").status, 404)
        self.assertEqual(here.get(f"/restore/{first.json['jobId']}/pending").status, 404)


class Killed(Case):
    def kill(self, server):
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server.process.stdout.close()
        server.errors.close()
        server.close()

    def test_backup_and_restore(self):
        """kill -9 at any moment: a backup verifies or is refused, a vault is the old one or the new."""
        here = self.start()
        for i in range(250):
            put(here, f"s{i:03}", f"v{i}" + "x" * 1000)
        here.create("key", "EC")
        good = back_up(here).rsplit("/", 1)[1]
        rng, seen = random.Random(3), {"old": 0, "new": 0, "bad": 0, "good": 0}
        for turn in range(KILLS // 2):
            before = set(p.name for p in (here.data / "backups").iterdir())
            here.post("/backup", {"storageResourceUri": uri(here)})
            time.sleep(rng.uniform(0, 0.25))
            self.kill(here)
            here.start()
            for name in set(p.name for p in (here.data / "backups").iterdir()) - before:
                job = run(here, "POST", "/backup/verify", source(here, name))
                seen["good" if job["status"] == "Succeeded" else "bad"] += 1
                whole = (here.data / "backups" / name / "manifest.json").exists()
                self.assertEqual(job["status"] == "Succeeded", whole)
                shutil.rmtree(here.data / "backups" / name)
        back_up(here)
        for turn in range(KILLS - KILLS // 2):
            put(here, "mark", "new")
            put(here, "s000", f"turn {turn}")
            assign(here, ROLE, "21dbd100-6940-42c2-9190-5d6cb909625b")
            state = everything(here)
            here.request("PUT", "/restore", source(here, good))
            time.sleep(rng.uniform(0, 0.25))
            self.kill(here)
            here.start()
            now = everything(here)
            if "secrets/mark" in now:
                self.assertEqual(now, state, f"turn {turn}")
                seen["old"] += 1
            else:
                self.assertEqual(len(now["secrets"]), 250, f"turn {turn}")
                self.assertEqual(now[ROLES + "/roleAssignments"]["value"], [])
                self.assertEqual(here.get("/secrets/s000").json["value"], "v0" + "x" * 1000)
                seen["new"] += 1
        self.assertEqual(restore(here, good)["status"], "Succeeded")
        self.assertEqual(len(names(here, "secrets")), 250)
        self.assertGreater(seen["old"], 0, seen)  # else no kill came early enough to say something


if __name__ == "__main__":
    unittest.main()

"""Whole vaults: exported at one moment while writes go on, downloaded in pieces, verified, imported
elsewhere; refusals; a gateway killed while it imports."""

import base64
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from keyward import Server, b64, unb64

PIECE = 1 << 20


def cli(server, *words):
    return subprocess.run([server.binary, *words, "--data", str(server.data)], capture_output=True, text=True, timeout=120)


def sibling(server):
    """Another gateway of the same security domain, not started."""
    other = Server()
    other.data.mkdir(mode=0o700)
    shutil.copy(server.data / "domain.key", other.data / "domain.key")
    return other


def put(server, name, value, **more):
    answer = server.request("PUT", f"/secrets/{name}", {"value": value, **more})
    assert answer.status == 200, answer.body


def ended(server, path):
    end = time.monotonic() + 60
    while True:
        job = server.get(path).json
        if job["status"] not in ("InProgress", "Receiving"):
            return job
        assert time.monotonic() < end, job
        time.sleep(0.02)


def download(server, job, piece=None):
    data = b""
    while True:
        answer = server.get(f"/export/{job}/data?offset={len(data)}")
        if answer.status == 204:
            return data
        assert answer.status == 200 and answer.headers["content-type"] == "application/octet-stream", answer.body
        data += answer.body[:piece] if piece else answer.body


def export(server):
    begun = server.post("/export", None)
    assert begun.status == 202, begun.body
    job = ended(server, f"/export/{begun.json['id']}")
    assert job["status"] == "Succeeded", job
    data = download(server, job["id"])
    assert hashlib.sha256(data).hexdigest() == job["sha256"] and len(data) == job["size"]
    return data, job


def begin_import(server, data, verify=False):
    job = server.post("/import", {"verify": verify}).json["id"]
    for at in range(0, len(data), PIECE):
        answer = server.request("PUT", f"/import/{job}/data?offset={at}", data[at:at + PIECE])
        assert answer.status == 200, answer.body
    answer = server.post(f"/import/{job}/commit", None)
    assert answer.status == 202, answer.body
    return job


def run_import(server, data, verify=False):
    return ended(server, f"/import/{begin_import(server, data, verify)}")


def names(server, collection):
    found, path = [], f"/{collection}?maxresults=25"
    while path:
        page = server.get(path, version="api-version" not in path).json
        found += [(i.get("kid") or i["id"]).rsplit("/", 1)[1] for i in page["value"]]
        path = page["nextLink"] and page["nextLink"].split(f":{server.port}", 1)[1]
    return found


class Case(unittest.TestCase):
    def start(self, server=None):
        server = server or Server()
        server.start()
        self.addCleanup(self.end, server)
        return server

    def end(self, server):
        server.close()
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(30)
        server.process.stdout.close()
        server.errors.close()
        log = server.log()
        server.remove()
        self.assertNotIn("Sanitizer", log)
        self.assertNotIn("runtime error", log)


class Exports(Case):
    def test_everything_comes_back(self):
        here, there = self.start(), None
        key = here.create("key", "EC", tags={"a": "b"})
        here.create("key", "RSA")
        here.create("hsm", "oct-HSM", key_size=256)
        for i in range(520):
            put(here, "many", f"v{i}")
        put(here, "Typed", "t", contentType="x/y", tags={"t": "u"}, attributes={"enabled": False})
        put(here, "gone", "g")
        gone = here.request("DELETE", "/secrets/gone").json
        wrapped = here.ok("/keys/hsm/wrapkey", {"alg": "A256KW", "value": b64(bytes(32))})["value"]
        out = here.folder / "a.kwar"
        done = cli(here, "export", "-o", str(out))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(out.stat().st_mode & 0o777, 0o600)
        self.assertFalse(list(here.folder.glob("a.kwar.part*")))
        self.assertEqual(cli(here, "export", "verify", str(out)).returncode, 0)
        data = out.read_bytes()
        self.assertNotIn(b"many", data)
        there = self.start(sibling(here))
        done = cli(there, "import", str(out))
        self.assertEqual(done.returncode, 0, done.stderr)
        for path in ("/keys/key", f"/keys/key/{key['key']['kid'].rsplit('/', 1)[1]}", "/secrets/many", "/deletedsecrets/gone"):
            ours = json.loads(here.get(path).body.replace(str(here.port).encode(), b"P"))
            theirs = json.loads(there.get(path).body.replace(str(there.port).encode(), b"P"))
            self.assertEqual(ours, theirs)
        self.assertEqual(len(names(there, "secrets/many/versions")), 520)
        self.assertEqual(there.get("/secrets/typed").inner, "SecretDisabled")
        self.assertEqual(there.get("/deletedsecrets/gone").json["scheduledPurgeDate"], gone["scheduledPurgeDate"])
        self.assertEqual(there.post("/deletedsecrets/gone/recover", None).status, 200)
        self.assertEqual(there.get("/secrets/gone").json["value"], "g")
        self.assertEqual(unb64(there.ok("/keys/hsm/unwrapkey", {"alg": "A256KW", "value": wrapped})["value"]), bytes(32))
        # again: every name is taken
        done = cli(there, "import", str(out))
        self.assertEqual(done.returncode, 1)
        self.assertIn("nothing was imported", done.stderr)
        for name in ("hsm", "key", "gone", "many", "Typed"):
            self.assertIn(f"  {name}\n", done.stderr)

    def test_one_moment_while_writes_go_on(self):
        here = self.start()
        put(here, "counter-a", "0")
        for i in range(300):
            put(here, f"filler-{i:03}", "x" * 2000)
        stop = threading.Event()

        def write():
            """b is written after a: at every moment a is as new as b, or newer by one."""
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
            archives = [export(here)[0] for _ in range(3)]
        finally:
            stop.set()
            writer.join()
        for data in archives:
            there = self.start(sibling(here))
            self.assertEqual(run_import(there, data)["status"], "Succeeded")
            a, b = (int(there.get(f"/secrets/{n}").json["value"]) for n in ("counter-a", "zcounter-b"))
            self.assertIn(a - b, (0, 1))
            self.assertGreater(b, 0)

    def test_pieces_and_resuming(self):
        here = self.start()
        for i in range(60):
            put(here, f"s{i}", os.urandom(9000).hex())
        begun = here.post("/export", None).json
        data, job = b"", None
        while job is None or len(data) < job["size"]:  # torn after every piece, on a new connection
            here.close()
            answer = here.get(f"/export/{begun['id']}/data?offset={len(data)}")
            data += answer.body[:random.Random(len(data)).randrange(1, 200_000)] if answer.status == 200 else b""
            if answer.status == 204:
                job = ended(here, f"/export/{begun['id']}")
        self.assertEqual(hashlib.sha256(data).hexdigest(), job["sha256"])
        for path, status in ((f"/export/{begun['id']}/data?offset={len(data) + 1}", 400),
                             (f"/export/{begun['id']}/data?offset=-1", 400), (f"/export/{begun['id']}/data?offset=x", 400),
                             (f"/export/{'0' * 32}", 404), (f"/export/{'0' * 32}/data", 404), ("/export/x", 404)):
            self.assertEqual(here.get(path).status, status, path)
        # the command goes on where it was
        out = here.folder / "r.kwar"
        (here.folder / "r.kwar.part").write_bytes(data[:70_000])
        (here.folder / "r.kwar.part.id").write_text(begun["id"])
        done = cli(here, "export", "-o", str(out))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("going on at byte 70000", done.stderr)
        self.assertEqual(out.read_bytes(), data)
        self.assertEqual(here.get(f"/export/{begun['id']}").status, 404, "the command has dropped it")
        # uploads: pieces may come twice, gaps are refused
        job = here.post("/import", {"verify": True}).json["id"]
        self.assertEqual(here.request("PUT", f"/import/{job}/data?offset=1", b"x").status, 400)
        for at in (0, 0, 1000, 0):
            self.assertEqual(here.request("PUT", f"/import/{job}/data?offset={at}", data[at:at + 2000]).status, 200)
        self.assertEqual(here.get(f"/import/{job}").json["size"], 3000)
        self.assertEqual(here.request("PUT", f"/import/{job}/data?offset=3000", b"x" * (PIECE + 1)).status, 413)
        for at in range(3000, len(data), PIECE):
            self.assertEqual(here.request("PUT", f"/import/{job}/data?offset={at}", data[at:at + PIECE]).status, 200)
        self.assertEqual(here.post(f"/import/{job}/commit", None).status, 202)
        self.assertEqual(ended(here, f"/import/{job}")["status"], "Succeeded")
        self.assertEqual(here.request("PUT", f"/import/{job}/data?offset=0", b"x").status, 409)
        self.assertEqual(here.post(f"/import/{job}/commit", None).status, 409)
        self.assertEqual(here.request("DELETE", f"/import/{job}").status, 204)
        self.assertEqual(here.request("DELETE", f"/import/{job}").status, 404)

    def test_refusals(self):
        here = self.start()
        for i in range(3):
            put(here, f"s{i}", f"value-{i}")
        data, _ = export(here)
        stranger = self.start()
        job = run_import(stranger, data)
        self.assertEqual(job["status"], "Failed")
        self.assertIn("of security domain", job["error"]["message"])
        self.assertEqual(cli(stranger, "export", "-o", str(stranger.folder / "x")).returncode, 0)
        there = self.start(sibling(here))
        rng = random.Random(5)
        for at in [4, 8, 20, 64, 70, len(data) - 1] + [rng.randrange(len(data)) for _ in range(30)]:
            bad = bytearray(data)
            bad[at] ^= 1 << rng.randrange(8)
            job = run_import(there, bytes(bad))
            self.assertEqual(job["status"], "Failed", at)
            self.assertNotIn("value-", job["error"]["message"])
        for bad in (b"", b"KWAR", data[:-1], data + b"x", data[:len(data) // 2], os.urandom(5000), data[:64]):
            self.assertEqual(run_import(there, bad)["status"], "Failed")
        self.assertEqual(names(there, "secrets"), [])
        put(there, "S1", "other")
        put(there, "mine", "m")
        there.request("DELETE", "/secrets/s1")
        job = run_import(there, data)
        self.assertEqual((job["status"], job["conflictCount"], job["conflicts"]), ("Failed", 1, ["s1"]))
        self.assertEqual(names(there, "secrets"), ["mine"])
        self.assertEqual(there.request("DELETE", "/deletedsecrets/s1").status, 204)
        self.assertEqual(run_import(there, data)["status"], "Succeeded")
        self.assertEqual(names(there, "secrets"), ["mine", "s0", "s1", "s2"])
        # nothing of it is in the clear on the disk
        self.assertFalse(any(b"value-" in p.read_bytes() for p in there.data.rglob("*") if p.is_file()))
        # no token
        for method, path in (("POST", "/export"), ("POST", "/import"), ("GET", "/export/x")):
            self.assertEqual(here.request(method, path, token=None).status, 401)

    def test_jobs_are_bounded(self):
        here = self.start()
        ids = [here.post("/import", {}).json["id"] for _ in range(12)]
        self.assertEqual([here.get(f"/import/{i}").status for i in ids], [404] * 4 + [200] * 8)
        self.assertEqual(len(list((here.data / "transfers").iterdir())), 8)
        self.assertEqual(here.stop(), 0)
        here.start()
        self.assertEqual(list((here.data / "transfers").iterdir()), [])
        self.assertEqual(here.post("/import", b"[]").status, 400)


class Killed(Case):
    def test_import_is_whole_or_nothing(self):
        """kill -9 at any moment of an import: afterwards all of it is there, or nothing."""
        here = self.start()
        for i in range(400):
            put(here, f"s{i:03}", f"v{i}")
        here.create("key", "EC")
        data, job = export(here)
        rng, seen = random.Random(11), {0: 0, 400: 0}
        there = sibling(here)
        self.addCleanup(there.remove)
        for turn in range(12):
            there.start()
            begin_import(there, data)
            time.sleep(rng.uniform(0, 0.3))
            there.process.send_signal(signal.SIGKILL)
            there.process.wait()
            there.process.stdout.close()
            there.close()
            there.start()
            count = len(names(there, "secrets"))
            self.assertIn(count, (0, 400), f"turn {turn}")
            self.assertEqual(len(names(there, "keys")), 1 if count else 0)
            seen[count] += 1
            if count:
                self.assertEqual(there.get("/secrets/s399").json["value"], "v399")
                there.stop()
                for path in there.data.glob("keyward.db*"):
                    path.unlink()
            else:
                there.stop()
        # whatever was left under way does not hinder the next
        there.start()
        if not names(there, "secrets"):
            self.assertEqual(run_import(there, data)["status"], "Succeeded")
        self.assertEqual(len(names(there, "secrets")), 400)
        there.stop()
        self.assertGreater(seen[0], 0, "no kill came early enough to say something")


if __name__ == "__main__":
    unittest.main()

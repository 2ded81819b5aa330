"""Activation and recovery: the security domain leaves as a file for the operators, and comes back by their keys."""

import json
import os
import pathlib
import random
import subprocess
import tempfile
import time
import unittest
import urllib.request

from hsm import Group
from keyward import Case, Server


class Operators:
    """Certificates and private keys of some people."""

    def __init__(self, folder, names="abcd"):
        self.folder = pathlib.Path(folder)
        for name in names:
            subprocess.run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key(name), "-x509", "-days",
                            "9", "-subj", f"/CN={name}", "-out", self.cert(name)], check=True, capture_output=True)

    def key(self, name):
        return str(self.folder / f"{name}.key")

    def cert(self, name):
        return str(self.folder / f"{name}.pem")

    def certs(self, names):
        return ",".join(self.cert(n) for n in names)

    def keys(self, names):
        return ",".join(self.key(n) for n in names)


class Base(Case):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="keyward-domain-")
        cls.place = pathlib.Path(cls.folder.name)
        cls.who = Operators(cls.place)
        cls.number = 0

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def setUp(self):
        self.servers = []

    def tearDown(self):
        for server in self.servers:
            if server.process and server.process.poll() is None:
                self.assertEqual(server.stop(), 0, server.log()[-2000:])
            server.remove()

    def fresh(self, *extra):
        self.servers.append(Server(*extra))
        return self.servers[-1].start()

    def path(self, suffix):
        type(self).number += 1
        return str(self.place / f"{self.number}.{suffix}")

    def domain(self, server, *words, good=True):
        place = ("-c", str(server.config)) if hasattr(server, "config") else ("--data", str(server.data))
        done = subprocess.run([server.binary, "domain", *words, *place], capture_output=True, text=True, timeout=90,
                              stdin=subprocess.DEVNULL, check=False)
        self.assertEqual(done.returncode == 0, good, (words, done.stdout, done.stderr))
        server.close()
        return done.stdout if good else done.stderr

    def download(self, server, names="abc", quorum=2):
        file = self.path("json")
        self.domain(server, "download", "--certs", self.who.certs(names), "--quorum", str(quorum), "-o", file)
        self.active(server)
        return file

    def active(self, server):
        deadline = time.monotonic() + 30
        while True:
            try:
                server.close()
                if server.get("/securitydomain/download/pending", version=False).json["status"] == "Success":
                    return
            except OSError:
                pass
            self.assertLess(time.monotonic(), deadline, server.log()[-2000:])
            time.sleep(0.05)

    @staticmethod
    def key_of(server):
        return (server.data / "domain.key").read_bytes()


class Activation(Base):
    def test_closed_until_downloaded(self):
        server = self.fresh("--await-domain")
        for method, path, body in (("GET", "/keys", None), ("POST", "/keys/a/create", {"kty": "EC"}), ("POST", "/rng", {"count": 1})):
            self.expect(server.request(method, path, body), 403, "Forbidden", "HsmNotActivated")
        self.assertEqual(server.get("/securitydomain/download/pending", version=False).json["status"], "InProgress")
        self.assertFalse((server.data / "domain.key").exists())
        self.download(server)
        server.create("first", "EC")
        first = self.key_of(server)
        self.download(server, "bcd", 3)  # again, and the domain stays
        self.assertEqual(self.key_of(server), first)
        self.assertEqual(server.stop(), 0)
        server.start()
        self.expect(server.get("/keys/first"), 200)

    def test_without_the_word(self):
        server = self.fresh()
        self.assertEqual(server.get("/securitydomain/download/pending", version=False).json["status"], "Success")

    def test_bad_requests(self):
        server = self.fresh("--await-domain")
        text = pathlib.Path(self.who.cert("a")).read_text()
        der = "".join(text.split("-----")[2].split())
        jwk = {"kty": "RSA", "x5c": [der]}
        for body in ({}, {"certificates": [], "required": 2}, {"certificates": [jwk] * 3, "required": 2},
                     {"certificates": [jwk], "required": 1}, {"certificates": [{"x5c": ["AAAA"]}] * 3, "required": 2},
                     {"certificates": [dict(jwk, n="AQAB")] * 3, "required": 2}, {"certificates": [jwk] * 11, "required": 2},
                     {"certificates": "x", "required": 2}, {"certificates": [jwk] * 3, "required": "2"}):
            self.expect(server.post("/securitydomain/download", body), 400, "BadParameter")
        for names, quorum in (("ab", 2), ("abc", 4)):
            self.domain(server, "download", "--certs", self.who.certs(names), "--quorum", str(quorum), "-o", self.path("x"), good=False)
        self.assertFalse((server.data / "domain.key").exists())
        self.expect(server.get("/securitydomain/download/pending", token=False, version=False), 401)


class Recovery(Base):
    def test_into_a_new_instance(self):
        source, target = self.fresh("--await-domain"), self.fresh("--await-domain")
        file = self.download(source)
        self.assertIn("3 shares, quorum 2", self.domain(source, "check", file))
        self.assertIn("a.pem", self.domain(source, "check", file, "--certs", self.who.certs("abd")))
        self.assertIn("hold 1 of its shares", self.domain(source, "check", file, "--certs", self.who.certs("da"), good=False))
        pid, files = target.process.pid, self.open_files(target)
        self.domain(target, "upload", file, "--keys", self.who.keys("ca"))
        self.active(target)
        self.assertEqual((target.process.poll(), target.process.pid), (None, pid))
        self.assertLessEqual(self.open_files(target), files + 2)  # nothing is left open by the restart in place
        self.assertEqual(self.key_of(source), self.key_of(target))
        target.create("mine", "EC")
        self.assertEqual(target.get("/securitydomain/upload/pending", version=False).json["status"], "Success")

    @staticmethod
    def open_files(server):
        with urllib.request.urlopen(f"http://127.0.0.1:{server.admin}/status.json", timeout=10) as answer:
            return json.load(answer)["process"]["open_fds"]

    def test_in_steps_on_another_machine(self):
        source, target = self.fresh("--await-domain"), self.fresh("--await-domain")
        file, exchange, blob = self.download(source), self.path("pem"), self.path("json")
        self.domain(target, "init-recovery", "-o", exchange)
        made = subprocess.run([target.binary, "domain", "upload", file, "--keys", self.who.keys("ab"), "--exchange", exchange, "-o",
                               blob], capture_output=True, text=True, check=True)
        self.assertEqual(made.stderr, "")
        self.assertNotIn("SharedKeys", pathlib.Path(blob).read_text())
        self.domain(target, "upload", blob)
        self.active(target)
        self.assertEqual(self.key_of(source), self.key_of(target))
        self.assertIn("exchange key", self.domain(target, "upload", blob, good=False))  # used once

    def test_refused(self):
        source, target = self.fresh("--await-domain"), self.fresh("--await-domain")
        file = self.download(source)
        whole = json.loads(pathlib.Path(file).read_text())
        self.assertIn("found 1 private keys; this file needs 2 of its 3",
                      self.domain(target, "upload", file, "--keys", self.who.keys("a"), good=False))
        self.assertIn("opens no share", self.domain(target, "upload", file, "--keys", self.who.keys("ad"), good=False))
        self.assertIn("same share", self.domain(target, "upload", file, "--keys", self.who.keys("aa"), good=False))
        for change in (lambda f: f["SharedKeys"]["enc_shares"].pop(0), lambda f: f["SharedKeys"].update(required=3),
                       lambda f: self.flip(f["SharedKeys"]["enc_shares"][0], "enc_key"),
                       lambda f: self.flip(f["EncData"]["data"][0], "compact_jwe")):
            other, changed = self.path("json"), json.loads(json.dumps(whole))
            change(changed)
            pathlib.Path(other).write_text(json.dumps(changed))
            self.domain(target, "upload", other, "--keys", self.who.keys("ab"), good=False)
        self.expect(target.post("/securitydomain/upload", {"value": "{}"}), 400)
        self.assertEqual(target.get("/securitydomain/upload/pending", version=False).json["status"], "Failed")
        self.assertEqual([p.name for p in target.data.iterdir() if p.name.startswith("domain")], [])
        self.domain(target, "upload", file, "--keys", self.who.keys("ab"))
        self.active(target)

    @staticmethod
    def flip(where, name):
        text = where[name]
        at = len(text) - 60  # in the ciphertext or the tag
        where[name] = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:]

    def test_changed_transfer_blob(self):
        """What reaches the gateway changed is refused, keeps the exchange key, and changes nothing."""
        source, target = self.fresh("--await-domain"), self.fresh("--await-domain")
        file, exchange, made = self.download(source), self.path("pem"), self.path("json")
        self.domain(target, "init-recovery", "-o", exchange)
        subprocess.run([target.binary, "domain", "upload", file, "--keys", self.who.keys("ab"), "--exchange", exchange, "-o", made], check=True)
        whole = json.loads(pathlib.Path(made).read_text())
        draw = random.Random(8)
        for turn in range(24):
            blob = json.loads(json.dumps(whole))
            where, name = (blob["WrappedKey"], "enc_key") if turn % 2 else (draw.choice(blob["EncData"]["data"]), "compact_jwe")
            parts = where[name].split(".")
            which = draw.choice([i for i, part in enumerate(parts) if len(part) > 1])
            at = draw.randrange(len(parts[which]) - 1)  # the last letter of a part has bits that say nothing
            letter = parts[which][at]
            parts[which] = parts[which][:at] + ("A" if letter != "A" else "B") + parts[which][at + 1:]
            where[name] = ".".join(parts)
            answer = target.post("/securitydomain/upload", {"value": json.dumps(blob)})
            self.expect(answer, 400, "BadParameter")
            self.expect(target.get("/keys"), 403, "Forbidden", "HsmNotActivated")
            self.assertEqual([p.name for p in target.data.iterdir() if p.name.startswith("domain")], [])
        self.domain(target, "upload", made)
        self.active(target)
        self.assertEqual(self.key_of(source), self.key_of(target))

    def test_objects_of_another_domain(self):
        source, target = self.fresh("--await-domain"), self.fresh()
        file = self.download(source)
        target.create("mine", "EC")
        before = self.key_of(target)
        self.assertIn("versions under security domain", self.domain(target, "upload", file, "--keys", self.who.keys("ab"), good=False))
        self.assertEqual(self.key_of(target), before)
        self.expect(target.get("/keys/mine"), 200)
        self.expect(target.request("DELETE", "/keys/mine"), 200)
        self.assertIn("recover into", self.domain(target, "upload", file, "--keys", self.who.keys("ab"), good=False))
        self.expect(target.request("DELETE", "/deletedkeys/mine"), 204)
        self.domain(target, "upload", file, "--keys", self.who.keys("ab"))
        self.active(target)
        self.assertEqual(self.key_of(source), self.key_of(target))
        source.create("same", "EC")
        self.domain(source, "upload", file, "--keys", self.who.keys("ab"))  # its own: nothing changes
        self.expect(source.get("/keys/same"), 200)

    def test_lost_key(self):
        """The store is there, the key is not: no new domain, only the old one comes back."""
        server, other = self.fresh(), self.fresh()
        file, wrong = self.download(server), self.download(other)
        server.create("kept", "EC")
        self.assertEqual(server.stop(), 0)
        (server.data / "domain.key").unlink()
        server.extra = ("--await-domain",)
        server.start()
        self.assertIn("whose key is missing",
                      self.domain(server, "download", "--certs", self.who.certs("abc"), "--quorum", "2", "-o", self.path("x"), good=False))
        self.assertIn("recover into", self.domain(server, "upload", wrong, "--keys", self.who.keys("ab"), good=False))
        self.domain(server, "upload", file, "--keys", self.who.keys("ab"))
        self.active(server)
        self.expect(server.get("/keys/kept"), 200)

    def test_kills(self):
        """At any moment: the old domain or the new one, whole, and a start that works."""
        source = self.fresh()
        file = self.download(source)
        new = self.key_of(source)
        seen = set()
        draw = random.Random(4)
        for _ in range(int(os.environ.get("KEYWARD_KILLS", "8"))):
            target = self.fresh()
            old = self.key_of(target)
            exchange = self.path("pem")
            self.domain(target, "init-recovery", "-o", exchange)
            client = subprocess.Popen([target.binary, "domain", "upload", file, "--keys", self.who.keys("ab"), "--exchange", exchange,
                                       "-o", self.path("json"), "--data", str(target.data)], stdout=subprocess.DEVNULL)
            client.wait(30)
            blob = str(self.place / f"{self.number}.json")
            client = subprocess.Popen([target.binary, "domain", "upload", blob, "--data", str(target.data)],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(draw.random() * 0.4)
            target.process.kill()
            target.process.wait()
            client.kill()
            client.wait()
            target.process.stdout.close()
            target.close()
            target.start()
            key = self.key_of(target)
            self.assertIn(key, (old, new))
            seen.add(key == new)
            target.create("works", "EC")
            self.assertFalse((target.data / "domain.key.next").exists())
            self.assertEqual(target.stop(), 0)
        print(f"after the kills: {seen}", flush=True)


class Members(Base):
    def test_group(self):
        """Tokens of a configured instance: joined after activation, and again under the upload of another domain."""
        source = self.fresh("--await-domain")
        file = self.download(source)
        group = Group(["one", "two"])
        self.servers.append(group)
        group.start()
        group.create("mine", "EC-HSM")
        self.assertEqual(group.stop(), 0)
        for path in group.data.iterdir():  # everything is gone but the tokens
            if path.name.startswith(("domain.key", "keyward.db")) or "identity" in path.name:
                path.unlink()
        done = subprocess.run([group.binary, "serve", "-c", str(group.config)], capture_output=True, text=True, timeout=30, check=False)
        self.assertIn("--await-domain", done.stderr)
        group.await_domain()
        self.expect(group.get("/keys"), 403, "Forbidden", "HsmNotActivated")
        self.domain(group, "upload", file, "--keys", self.who.keys("ab"))
        self.active(group)
        for name in ("one", "two"):
            self.health(group, name, "up")
        self.assertNotIn('"mismatched"', group.log())
        group.create("again", "EC-HSM")

    def test_another_domain_for_a_group_that_serves(self):
        """Nothing of the domain before is left: not on the tokens, not in its file, not in a process."""
        source = self.fresh("--await-domain")
        file = self.download(source)
        group = Group(["one", "two"])
        self.servers.append(group)
        group.start()
        group.create("mine", "EC-HSM")
        for path in ("/keys/mine", "/deletedkeys/mine"):
            group.request("DELETE", path)
        before = {name: group.mark_of(name) for name in ("one", "two")}
        hosts = [group.host_pid(name) for name in before]
        old, key = group.folder / "old", self.key_of(group)
        os.link(group.data / "domain.key", old)
        self.assertEqual(old.read_bytes(), key)
        self.domain(group, "upload", file, "--keys", self.who.keys("bc"))
        self.active(group)
        group.wait_serving(["one", "two"])
        self.assertEqual(self.key_of(group), self.key_of(source))
        self.assertEqual(old.read_bytes(), bytes(len(key)))
        marks = {name: group.mark_of(name) for name in ("one", "two")}
        self.assertEqual(len({*marks.values(), *before.values()}), 2, (before, marks))
        self.assertFalse([pid for pid in hosts if os.path.exists(f"/proc/{pid}")])
        self.assertEqual([p.name for p in group.data.iterdir() if p.name.startswith(("join-", "domain.key."))], [])
        group.create("theirs", "EC-HSM")

    def test_kills(self):
        """The gateway and its hosts die at any moment of an upload: every token ends in the domain that the gateway has."""
        source = self.fresh("--await-domain")
        file, draw, seen = self.download(source), random.Random(9), {True: 0, False: 0}
        new = self.key_of(source)
        group = Group(["one", "two"])
        self.servers.append(group)
        for _ in range(max(3, int(os.environ.get("KEYWARD_KILLS", "3")) // 8)):
            for path in group.data.iterdir():
                if path.name.startswith(("domain.key", "keyward.db", "join-", "member-")):
                    path.unlink()
            group.cli("init", "-c", str(group.config))
            group.start(wait=False)
            for name in ("one", "two"):  # they have the mark of the turn before
                self.join(group, name)
            old, exchange, blob = self.key_of(group), self.path("pem"), self.path("json")
            self.domain(group, "init-recovery", "-o", exchange)
            self.domain(group, "upload", file, "--keys", self.who.keys("ab"), "--exchange", exchange, "-o", blob)
            client = subprocess.Popen([group.binary, "domain", "upload", blob, "-c", str(group.config)], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
            time.sleep(draw.uniform(0, 1.2))
            group.process.kill()
            group.process.wait()
            client.kill()
            client.wait()
            group.process.stdout.close()
            group.errors.close()
            group.close()
            mark = len(group.log())
            group.start()  # until both serve
            key = self.key_of(group)
            self.assertIn(key, (old, new))
            seen[key == new] += 1
            self.assertNotIn('"mismatched"', group.log()[mark:])
            self.assertEqual(len({group.mark_of(name) for name in ("one", "two")}), 1)
            self.assertEqual([p.name for p in group.data.iterdir() if p.name.startswith("domain.key.")], [])
            self.assertEqual(group.stop(), 0)
        print(f"\n    after the kills: {seen[True]} in the new domain, {seen[False]} in the one before", flush=True)

    def join(self, group, name):
        end = time.monotonic() + 40
        while group.members().get(name, {}).get("health") not in ("up", "mismatched"):
            self.assertLess(time.monotonic(), end, group.members())
            time.sleep(0.05)
        if group.members()[name]["health"] == "mismatched":
            group.cli("member", "replace", name, "-c", str(group.config))
            self.health(group, name, "up")

    def health(self, group, name, wanted):
        deadline = time.monotonic() + 40
        while True:
            member = group.members().get(name, {})
            if member.get("health") == wanted:
                return
            self.assertLess(time.monotonic(), deadline, member)
            time.sleep(0.1)


if __name__ == "__main__":
    unittest.main()

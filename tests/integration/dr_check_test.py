"""keyward dr check: what it says of good and bad states; what a rehearsal refuses to begin with."""

import hashlib
import json
import pathlib
import random
import shutil
import subprocess
import tempfile
import unittest

from domain_test import Operators
from keyward import Server

class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.room = tempfile.TemporaryDirectory(prefix="kw-dr-")
        cls.place = pathlib.Path(cls.room.name)
        cls.who = Operators(cls.place)
        cls.server = Server().start()
        cls.fill()
        cls.file = cls.domain_file(cls.server)
        cls.backup = cls.back_up()

    @classmethod
    def fill(cls):
        for kty, name in (("RSA", "r"), ("EC", "e"), ("oct-HSM", "o")):
            cls.server.create(name, kty)
        assert cls.server.request("PUT", "/secrets/s", {"value": "1"}).status == 200

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        cls.server.remove()
        cls.room.cleanup()
        assert code == 0

    @classmethod
    def domain_file(cls, server):
        file = str(cls.place / f"{server.port}.json")
        subprocess.run([server.binary, "domain", "download", "--certs", cls.who.certs("abc"), "--quorum", "2", "-o", file, "--data",
                        str(server.data)], check=True, capture_output=True, timeout=60)
        return file

    @classmethod
    def back_up(cls, vault="default"):
        done = subprocess.run([cls.server.binary, "backup", "--to", str(cls.server.data / "backups"), "--vault", vault, "--data",
                               str(cls.server.data)], check=True, capture_output=True, text=True, timeout=120)
        return pathlib.Path(done.stdout.split(": ", 1)[0][len("file://"):])

    def dr(self, word, *words, code=0, keys="ab", data=True, domain=None):
        command = [self.server.binary, "dr", word, "--domain", domain or self.file, *words]
        command += ["--keys", self.who.keys(keys)] if keys else []
        command += ["--data", str(self.server.data)] if data else []
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, stdin=subprocess.DEVNULL, cwd=self.room.name,
                              check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def items(self, *words, **more):
        out = json.loads(self.dr(*words, "--json", **more))
        return out, {(i["part"], i["item"]): i for i in out["items"]}

    def result(self, items, part, item):
        return items[(part, item)]["result"]


class Check(Base):
    def test_good(self):
        out, items = self.items("check")
        self.assertIs(out["good"], True)
        self.assertEqual((out["problems"], out["warnings"]), (0, 0), out)
        whole = items[("backup of default", "whole")]["seen"]
        self.assertIn("with the operators' keys", whole)
        self.assertIn("4 versions equal", items[("backup of default", "against the store")]["seen"])
        self.assertIn(self.who.key("a"), items[("security domain", "share 1")]["seen"])
        self.assertEqual(self.result(items, "members", "core"), "OK")
        text = self.dr("check")
        self.assertTrue(text.startswith("a recovery would succeed today: 0 problems, 0 warnings"), text)
        key = (self.server.data / "domain.key").read_bytes()
        self.assertNotIn(key.hex(), text)
        self.assertNotIn("PRIVATE", text)
        self.assertIn("OK    security domain    quorum", text)

    def test_without_keys_and_instance(self):
        out, items = self.items("check", keys="")
        self.assertEqual(self.result(items, "security domain", "quorum"), "WARN")
        self.assertIn("instance's own key", items[("backup of default", "whole")]["seen"])
        out, items = self.items("check", "--from", str(self.backup.parent), data=False)
        self.assertEqual(out["problems"], 0)
        self.assertEqual(self.result(items, "security domain", "of this instance"), "WARN")
        out, items = self.items("check", "--from", str(self.backup), keys="", data=False)  # one backup, by its name
        self.assertEqual(self.result(items, "backup of default", "whole"), "WARN")

    def test_the_store_went_on(self):
        self.assertEqual(self.server.request("PUT", "/secrets/later", {"value": "1"}).status, 200)
        _, items = self.items("check")
        self.assertIn("1 made", items[("backup of default", "against the store")]["seen"])
        self.assertEqual(self.server.request("DELETE", "/secrets/later").status, 200)
        self.assertEqual(self.server.request("DELETE", "/deletedsecrets/later").status, 204)

    def test_keys(self):
        self.assertIn("found 1 private keys; this file needs 2 of its 3", self.dr("check", keys="a", code=1))
        self.assertIn("opens the same share as", self.dr("check", keys="aa", code=1))
        out = self.dr("check", keys="ad", code=1)
        self.assertIn("opens no share: another operator's key", out)
        self.assertIn("FAIL  security domain    quorum", out)
        self.assertIn("a recovery would succeed today", self.dr("check", keys="dab"))  # one too many is no harm

    def test_domain_files(self):
        good = json.loads(pathlib.Path(self.file).read_text())
        changes = {
            "share": lambda f: f["SharedKeys"]["enc_shares"][0].update(enc_key=self.flip(f["SharedKeys"]["enc_shares"][0]["enc_key"])),
            "data": lambda f: f["EncData"]["data"][0].update(compact_jwe=self.flip(f["EncData"]["data"][0]["compact_jwe"])),
            "quorum": lambda f: f["SharedKeys"].update(required=4),
            "shares": lambda f: f.pop("SharedKeys"),
        }
        for name, change in changes.items():
            file, changed = self.place / f"{name}.json", json.loads(json.dumps(good))
            change(changed)
            file.write_text(json.dumps(changed))
            self.assertIn("FAIL  security domain", self.dr("check", domain=str(file), code=1), name)
        self.assertNotIn("new instance", self.dr("rehearse", domain=str(file), code=1))
        for text in ("", "[]", "x" * 300000):
            file = self.place / "bad.json"
            file.write_text(text)
            self.assertIn("FAIL  security domain    file", self.dr("check", domain=str(file), code=1))
        self.assertIn("cannot be read", self.dr("check", domain=str(self.place / "none"), code=1))

    @staticmethod
    def flip(text):
        at = len(text) - 60
        return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:]

    def test_another_domain(self):
        other = Server().start()
        try:
            file = self.domain_file(other)
        finally:
            other.stop()
            other.remove()
        _, items = self.items("check", domain=file, code=1)
        self.assertEqual(self.result(items, "security domain", "of this instance"), "FAIL")
        self.assertEqual(self.result(items, "backup of default", "domain"), "FAIL")
        self.assertIn("another security domain", items[("backup of default", "whole")]["seen"])
        self.assertIn("another security domain", self.dr("rehearse", domain=file, code=1))

    def test_backups(self):
        place = self.place / "copies"
        copy, rng = place / self.backup.name, random.Random(5)

        def said(text, word="check"):
            self.assertIn(text, self.dr(word, "--from", str(place), "--scratch", self.room.name, code=1))

        said("there is no such folder")
        place.mkdir()
        said("there is no backup")
        shutil.copytree(self.backup, copy)
        archive, manifest = (copy / "archive.kwar").read_bytes(), (copy / "manifest.json").read_text()
        for bad in (b"", archive[:-1], archive + b" "):
            (copy / "archive.kwar").write_bytes(bad)
            said("not the one of the manifest")
        bad, at = bytearray(archive), rng.randrange(len(archive))
        bad[at] ^= 1 << rng.randrange(8)
        (copy / "archive.kwar").write_bytes(bad)
        for word in ("check", "rehearse"):
            said("not the one of the manifest", word)
        # a manifest that fits a changed archive: the archive says itself that it was changed
        (copy / "manifest.json").write_text(manifest.replace(hashlib.sha256(archive).hexdigest(), hashlib.sha256(bad).hexdigest()))
        said("the archive does not open")
        (copy / "archive.kwar").write_bytes(archive)
        more = json.loads(manifest)
        more["counts"]["keys"]["versions"] += 1  # a manifest that says another thing than the archive
        (copy / "manifest.json").write_text(json.dumps(more))
        said("FAIL  backup of default")
        (copy / "manifest.json").write_text(manifest[:-1])
        said("1 that did not come to their end")
        for member in ("vault", "domain"):  # nothing of it steers a terminal
            (copy / "manifest.json").write_text(json.dumps({**json.loads(manifest), member: "\x1b[2J"}))
            said("1 that did not come to their end")
        (copy / "manifest.json").write_text(manifest)
        (copy / "archive.kwar").unlink()
        said("its archive is missing", "rehearse")
        (copy / "manifest.json").unlink()
        said("1 that did not come to their end", "rehearse")
        self.assertEqual([p for p in self.place.iterdir() if "rehearsal" in p.name], [])

    def test_old(self):
        """A backup that is older than it should be is a warning: what was made since would be lost."""
        before = (self.backup / "manifest.json").read_text()
        manifest = json.loads(before)
        manifest["created"] -= 90 * 86400
        (self.backup / "manifest.json").write_text(json.dumps(manifest))
        try:
            _, items = self.items("check")
            self.assertEqual(self.result(items, "backup of default", "age"), "WARN")
            self.assertIn("90 days old", items[("backup of default", "age")]["seen"])
        finally:
            (self.backup / "manifest.json").write_text(before)

    def test_gateway_down(self):
        self.assertEqual(self.server.stop(), 0)
        try:
            out, items = self.items("check")
            self.assertEqual(out["problems"], 0)
            self.assertEqual(self.result(items, "members", "gateway"), "WARN")
            self.assertEqual(self.result(items, "security domain", "of this instance"), "OK")
            self.assertIn("4 versions equal", items[("backup of default", "against the store")]["seen"])
        finally:
            self.server.start()

    def test_asked_wrongly(self):
        for words in (("dr",), ("dr", "nonsense"), ("dr", "rehearse"), ("dr", "check", "--data", "/nowhere"),
                      ("dr", "check", "-c", "/nowhere.yaml"), ("dr", "check", "-c", "x", "--data", "y")):
            done = subprocess.run([self.server.binary, *words], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 2, words)


if __name__ == "__main__":
    unittest.main()

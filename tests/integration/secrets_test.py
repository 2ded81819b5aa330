"""Secrets as objects: set, read, change, list, delete, recover, purge; bounds and hostile input."""

import json
import re
import sqlite3
import unittest
import urllib.parse

from keyward import Case, Server, b64, now, unb64


class Secrets(Case):
    def set(self, name, value, **more):
        return self.expect(self.server.request("PUT", f"/secrets/{name}", {"value": value, **more}), 200).json

    def patch(self, path, body):
        return self.server.request("PATCH", path, body)

    def version(self, bundle):
        return bundle["id"].rsplit("/", 1)[1]

    def test_set_and_get(self):
        before = now()
        tags = {"file-encoding": "utf-8", "ümlaut": "ß"}
        made = self.set("Plain", "pa\"ss\\ wörd\n\u20ac", contentType="text/plain", tags=tags)
        self.assertEqual(set(made), {"value", "id", "contentType", "attributes", "tags"})
        self.assertRegex(made["id"], rf"^https://localhost:{self.server.port}/secrets/Plain/[0-9a-f]{{32}}$")
        self.assertEqual(made["value"], "pa\"ss\\ wörd\n\u20ac")
        self.assertEqual(made["tags"], tags)
        attributes = made["attributes"]
        self.assertEqual(set(attributes), {"enabled", "created", "updated", "recoveryLevel", "recoverableDays"})
        self.assertTrue(before <= attributes["created"] == attributes["updated"] <= now())
        for path in ("/secrets/Plain", "/secrets/plain/", "/SECRETS/PLAIN", f"/secrets/plain/{self.version(made)}",
                     f"/secrets/plain/{self.version(made).upper()}"):
            self.assertEqual(self.expect(self.server.get(path), 200).json, made)
        self.expect(self.server.get("/secrets/plain/" + "0" * 32), 404, "SecretNotFound")
        self.expect(self.server.get("/secrets/plain/short"), 404, "SecretNotFound")
        answer = self.expect(self.server.get("/secrets/nothing"), 404, "SecretNotFound")
        self.assertIn("A secret with (name/id) nothing was not found", answer.json["error"]["message"])

    def test_versions_and_case(self):
        first = self.set("Ver", "1", tags={"n": "1"})
        second = self.set("vER", "2")
        self.assertTrue(second["id"].startswith(first["id"].rsplit("/", 1)[0] + "/"), "the first spelling stays")
        self.assertNotIn("tags", second)
        self.assertEqual(self.server.get("/secrets/ver").json["value"], "2")
        self.assertEqual(self.server.get(f"/secrets/ver/{self.version(first)}").json["value"], "1")

    def test_empty_and_longest(self):
        self.assertEqual(self.set("empty", "")["value"], "")
        self.assertEqual(self.server.get("/secrets/empty").json["value"], "")
        for text in ("x" * 25600, "\u20ac" * 8533, "\"" * 25600, "\x01" * 25600):
            self.set("long", text, contentType="c" * 255)
            self.assertEqual(self.server.get("/secrets/long").json["value"], text)

    def test_bounds(self):
        put = lambda body: self.server.request("PUT", "/secrets/bad", body)
        for body in ({}, {"value": None}, {"value": 1}, {"value": ["a"]}, {"value": "x" * 25601},
                     {"value": "\u20ac" * 8534}, {"value": "v", "contentType": "c" * 256}, {"value": "v", "contentType": 7},
                     {"value": "v", "tags": {"a": 1}}, {"value": "v", "tags": {f"t{i}": "x" for i in range(16)}},
                     {"value": "v", "tags": {"a" * 257: "x"}}, {"value": "v", "attributes": {"enabled": "yes"}},
                     {"value": "v", "attributes": {"nbf": -1}}, {"value": "v", "attributes": {"nbf": 20, "exp": 10}},
                     b"", b"{", b"[]", b"null", b"\xff", b'{"value":"a\\u0000b"}', b'{"value":"\\ud800"}',
                     b'{"value":"topsecret","value":"x"}', b'{"value":"topsecret" "x"}'):
            answer = self.expect(put(body), 400, "BadParameter")
            self.assertNotIn("topsecret", answer.body.decode())
        self.expect(self.server.get("/secrets/bad"), 404, "SecretNotFound")
        # characters count, not bytes
        self.set("wide", "v", contentType="\u20ac" * 255, tags={"\u20ac" * 256: "\u20ac" * 256})
        self.assertEqual(self.server.get("/secrets/wide").json["contentType"], "\u20ac" * 255)

    def test_bad_names(self):
        for name in ("a_b", "a.b", "x" * 128, urllib.parse.quote("ü"), "%00", "a%2fb"):
            self.assertEqual(self.server.request("PUT", f"/secrets/{name}", {"value": "v"}).status, 400, name)

    def test_update(self):
        made = self.set("upd", "keep", contentType="a", tags={"a": "1", "b": "2"})
        later = now() + 86400
        answer = self.expect(self.patch("/secrets/upd/", {"contentType": "b", "value": "ignored"}), 200).json
        self.assertNotIn("value", answer)
        self.assertEqual((answer["contentType"], answer["tags"]), ("b", {"a": "1", "b": "2"}))
        answer = self.expect(self.patch(f"/secrets/upd/{self.version(made)}", {"tags": {"c": "3"}, "contentType": None}), 200).json
        self.assertEqual((answer["contentType"], answer["tags"]), ("b", {"c": "3"}))
        answer = self.expect(self.patch("/secrets/upd", {"attributes": {"exp": later}, "tags": {}}), 200).json
        self.assertNotIn("tags", answer)
        self.assertEqual(answer["attributes"]["exp"], later)
        self.assertEqual(self.server.get("/secrets/upd").json["value"], "keep")
        self.expect(self.patch("/secrets/upd/" + "0" * 32, {}), 404, "SecretNotFound")
        self.expect(self.patch("/secrets/none", {}), 404, "SecretNotFound")
        self.expect(self.patch("/secrets/upd", {"contentType": "c" * 256}), 400, "BadParameter")

    def test_when_it_can_be_read(self):
        made = self.set("when", "v")
        self.expect(self.patch("/secrets/when", {"attributes": {"enabled": False}}), 200)
        answer = self.expect(self.server.get("/secrets/when"), 403, "Forbidden", "SecretDisabled")
        self.assertEqual(answer.json["error"]["message"], "Operation get is not allowed on a disabled secret.")
        self.expect(self.server.get(f"/secrets/when/{self.version(made)}"), 403, "Forbidden", "SecretDisabled")
        self.assertIn("when", [i["id"].rsplit("/", 1)[1] for i in self.pages("/secrets")], "lists still show it")
        self.expect(self.patch("/secrets/when", {"attributes": {"enabled": True, "nbf": now() + 3600}}), 200)
        self.expect(self.server.get("/secrets/when"), 403, "Forbidden", "SecretNotYetValid")
        # what has expired is still given out, as the real service does
        self.expect(self.patch("/secrets/when", {"attributes": {"nbf": 1, "exp": 2}}), 200)
        self.assertEqual(self.expect(self.server.get("/secrets/when"), 200).json["value"], "v")
        # the newest version counts even when it is disabled
        self.expect(self.server.request("PUT", "/secrets/when", {"value": "2", "attributes": {"enabled": False}}), 200)
        self.expect(self.server.get("/secrets/when"), 403, "Forbidden", "SecretDisabled")
        self.assertEqual(self.server.get(f"/secrets/when/{self.version(made)}").json["value"], "v")

    def pages(self, path, size=25):
        found, url = [], path + ("&" if "?" in path else "?") + f"maxresults={size}"
        while url:
            answer = self.expect(self.server.get(url, version="api-version" not in url), 200).json
            self.assertLessEqual(len(answer["value"]), size)
            found += answer["value"]
            link = answer["nextLink"]
            url = link and link.split(f"localhost:{self.server.port}", 1)[1]
            if link:
                self.assertTrue(link.startswith(f"https://localhost:{self.server.port}/") and "api-version=7.4" in link)
        return found

    def test_lists(self):
        for i in range(30):
            self.set(f"list-{i:02}", "hidden-value", contentType="t")
        self.server.create("list-key", "EC")
        names = [i["id"].rsplit("/", 1)[1] for i in self.pages("/secrets", 7)]
        self.assertEqual([n for n in names if n.startswith("list-")], [f"list-{i:02}" for i in range(30)])
        made = [self.version(self.set("many", str(i))) for i in range(60)]
        items = self.pages("/secrets/many/versions", 25)
        self.assertEqual(sorted(self.version(i) for i in items), sorted(made))
        self.assertNotIn("hidden-value", json.dumps(self.pages("/secrets")))
        for item in items:
            self.assertEqual(set(item), {"id", "attributes"})
        self.expect(self.server.get("/secrets/none/versions"), 404, "SecretNotFound")
        for bad in ("0", "26", "x", "-1"):
            self.expect(self.server.get(f"/secrets?maxresults={bad}"), 400, "BadParameter")
        self.expect(self.server.get("/secrets?$skiptoken=!"), 400, "BadParameter")

    def test_soft_delete(self):
        self.set("gone", "1")
        made = self.set("gone", "2", contentType="t", tags={"a": "b"})
        gone = self.expect(self.server.request("DELETE", "/secrets/gone"), 200).json
        self.assertNotIn("value", gone)
        self.assertEqual(gone["id"], made["id"])
        self.assertEqual(gone["recoveryId"], f"https://localhost:{self.server.port}/deletedsecrets/gone")
        self.assertEqual(gone["scheduledPurgeDate"] - gone["deletedDate"], 90 * 86400)
        self.expect(self.server.get("/secrets/gone"), 404, "SecretNotFound")
        self.expect(self.server.get("/secrets/gone/versions"), 404, "SecretNotFound")
        self.expect(self.server.request("DELETE", "/secrets/gone"), 404, "SecretNotFound")
        self.expect(self.patch("/secrets/gone", {}), 404, "SecretNotFound")
        answer = self.server.request("PUT", "/secrets/GONE", {"value": "3"})
        self.expect(answer, 409, "Conflict", "ObjectIsDeletedButRecoverable")
        self.assertEqual(self.expect(self.server.get("/deletedsecrets/gone"), 200).json, gone)
        listed = [i for i in self.pages("/deletedsecrets") if i["id"].endswith("/gone")]
        self.assertEqual(listed[0]["recoveryId"], gone["recoveryId"])
        back = self.expect(self.server.post("/deletedsecrets/gone/recover", None), 200).json
        self.assertEqual(back["id"], made["id"])
        self.assertNotIn("value", back)
        self.assertEqual(self.server.get("/secrets/gone").json, made)
        self.expect(self.server.get("/deletedsecrets/gone"), 404, "SecretNotFound")
        self.expect(self.server.post("/deletedsecrets/gone/recover", None), 404, "SecretNotFound")
        self.expect(self.server.request("DELETE", "/deletedsecrets/gone"), 404, "SecretNotFound")
        self.expect(self.server.request("DELETE", "/secrets/gone"), 200)
        answer = self.expect(self.server.request("DELETE", "/deletedsecrets/gone"), 204)
        self.assertEqual(answer.body, b"")
        self.set("gone", "new")
        self.assertEqual(len(self.pages("/secrets/gone/versions")), 1)

    def test_backup_and_restore(self):
        made = [self.set("kept", f"v{i}", contentType="t", tags={"n": str(i)}) for i in range(3)]
        self.expect(self.patch(f"/secrets/kept/{self.version(made[0])}", {"attributes": {"enabled": False}}), 200)
        first = self.server.get("/secrets/kept/versions").json["value"]
        blob = self.expect(self.server.post("/secrets/kept/backup", None), 200).json["value"]
        put_back = lambda value: self.server.post("/secrets/restore", {"value": value})
        self.expect(put_back(blob), 409, "Conflict")
        self.expect(self.server.request("DELETE", "/secrets/kept"), 200)
        self.expect(put_back(blob), 409, "Conflict", "ObjectIsDeletedButRecoverable")
        self.expect(self.server.request("DELETE", "/deletedsecrets/kept"), 204)
        sealed = bytearray(unb64(blob))
        self.assertNotIn(b"v1", bytes(sealed))
        for at in range(len(sealed)):
            sealed[at] ^= 1
            self.expect(put_back(b64(bytes(sealed))), 400, "BadParameter")
            sealed[at] ^= 1
        for value in ("", "AA", "!", blob[:-4], 5):
            self.expect(put_back(value), 400, "BadParameter")
        back = self.expect(put_back(blob), 200).json
        self.assertEqual(back["id"], made[2]["id"])
        self.assertNotIn("value", back)
        self.assertEqual(self.server.get("/secrets/kept/versions").json["value"], first)
        self.assertEqual(self.server.get("/secrets/kept").json, made[2])
        self.expect(self.server.get(f"/secrets/kept/{self.version(made[0])}"), 403, "Forbidden", "SecretDisabled")
        self.expect(self.server.post("/secrets/none/backup", None), 404, "SecretNotFound")

    def test_backup_for_another_domain(self):
        self.set("abroad", "v")
        blob = self.expect(self.server.post("/secrets/abroad/backup", None), 200).json["value"]
        other = Server().start()
        try:
            answer = self.expect(other.post("/secrets/restore", {"value": blob}), 400, "BadParameter")
            self.assertIn("security domain", answer.json["error"]["message"])
            self.expect(other.get("/secrets/abroad"), 404, "SecretNotFound")
        finally:
            other.stop()
            other.remove()

    def test_a_key_of_the_same_name(self):
        self.server.create("twin", "EC")
        self.set("twin", "v")
        self.expect(self.server.request("DELETE", "/secrets/twin"), 200)
        self.expect(self.server.get("/keys/twin"), 200)


class AtRest(unittest.TestCase):
    def test_nothing_in_the_clear_and_after_a_restart(self):
        marks = ["mark-of-the-value-7f3a", "mark-of-the-tag-91c2", "mark-of-the-type-5d6e"]
        server = Server().start()
        try:
            answer = server.request("PUT", "/secrets/rest", {"value": marks[0], "tags": {"t": marks[1]}, "contentType": marks[2]})
            self.assertEqual(answer.status, 200)
            self.assertEqual(server.request("PUT", "/secrets/rest2", {"value": marks[0], "tags": 5}).status, 400)
            self.assertEqual(server.stop(), 0)
            files = [p for p in server.data.rglob("*") if p.is_file()] + [server.folder / "stderr"]
            for path in files:
                content = path.read_bytes()
                for mark in marks:
                    self.assertNotIn(mark.encode(), content, path)
            server.start()
            self.assertEqual(server.get("/secrets/rest").json["value"], marks[0])
            # a record that is put in another's place does not open
            self.assertEqual(server.request("PUT", "/secrets/other", {"value": "o"}).status, 200)
            self.assertEqual(server.stop(), 0)
            database = sqlite3.connect(server.data / "keyward.db")
            with database:
                database.execute("UPDATE versions SET record = (SELECT v.record FROM versions v JOIN objects o ON v.object = o.id "
                                 "WHERE o.name = 'rest') WHERE object = (SELECT id FROM objects WHERE name = 'other')")
            database.close()
            server.start()
            answer = server.get("/secrets/other")
            self.assertEqual((answer.status, answer.code), (500, "InternalError"))
            self.assertEqual(server.get("/secrets/rest").json["value"], marks[0])
            self.assertEqual(server.stop(), 0)
        finally:
            server.process.kill()
            server.remove()


if __name__ == "__main__":
    unittest.main()

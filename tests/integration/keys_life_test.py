"""What happens to keys over time: backup and restore, rotation, retention; keys that come wrapped."""

import json
import os
import time
import unittest

from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from keyward import Case, Server, b64, now, unb64

DAY = 86400


def purge(server, name):
    assert server.request("DELETE", f"/keys/{name}").status == 200
    assert server.request("DELETE", f"/deletedkeys/{name}").status == 204


def versions(server, name):
    found, link = [], f"/keys/{name}/versions?maxresults=7"
    while link:
        page = server.get(link).json
        found += [item["kid"].rsplit("/", 1)[1] for item in page["value"]]
        link = page["nextLink"] and page["nextLink"].split(str(server.port), 1)[1].replace("api-version=7.4&", "")
    return found


class Backup(Case):
    def test_all_versions_come_back(self):
        made = [self.server.create("whole", kty, tags={"n": str(i)})["key"]["kid"].rsplit("/", 1)[1]
                for i, kty in enumerate(["RSA", "EC-HSM", "oct-HSM", "RSA-HSM"] * 5)]
        policy = {"lifetimeActions": [{"trigger": {"timeAfterCreate": "P90D"}, "action": {"type": "Rotate"}}],
                  "attributes": {"expiryTime": "P2Y"}}
        self.expect(self.server.request("PUT", "/keys/whole/rotationpolicy", policy), 200)
        signature = self.server.ok(f"/keys/whole/{made[0]}/sign", {"alg": "RS256", "value": b64(b"d" * 32)})["value"]
        before = self.server.get("/keys/whole").json
        blob = self.server.ok("/keys/whole/backup", None)["value"]
        self.assertNotIn("=", blob)

        self.expect(self.server.post("/keys/restore", {"value": blob}), 409, "Conflict")
        self.server.request("DELETE", "/keys/whole")
        self.expect(self.server.post("/keys/restore", {"value": blob}), 409, "Conflict",
                    "ObjectIsDeletedButRecoverable")
        self.assertEqual(self.server.request("DELETE", "/deletedkeys/whole").status, 204)
        self.expect(self.server.get("/keys/whole/rotationpolicy"), 404, "KeyNotFound")
        restored = self.expect(self.server.post("/keys/restore", {"value": blob}), 200).json
        self.assertEqual(restored, before)
        self.assertEqual(sorted(versions(self.server, "whole")), sorted(made))
        self.assertEqual(self.server.get("/keys/whole").json, before)
        verdict = self.server.ok(f"/keys/whole/{made[0]}/verify",
                                 {"alg": "RS256", "digest": b64(b"d" * 32), "value": signature})
        self.assertEqual(verdict["value"], True)
        # the private halves too: a key of a member and one of the core
        for version in (made[0], made[3]):
            self.server.ok(f"/keys/whole/{version}/sign", {"alg": "PS256", "value": b64(b"d" * 32)})
        got = self.server.get("/keys/whole/rotationpolicy").json
        self.assertEqual(got["attributes"]["expiryTime"], "P2Y")

    def test_damaged_blobs(self):
        self.server.create("dented", "EC")
        blob = bytearray(unb64(self.server.ok("/keys/dented/backup", None)["value"]))
        purge(self.server, "dented")
        for at in range(len(blob)):
            blob[at] ^= 0x10
            self.expect(self.server.post("/keys/restore", {"value": b64(bytes(blob))}), 400, "BadParameter")
            blob[at] ^= 0x10
        for value in ("", "AAAA", b64(b"KWBK" + bytes(200)), b64(bytes(blob[:-1])), 7):
            self.expect(self.server.post("/keys/restore", {"value": value}), 400, "BadParameter")
        self.expect(self.server.post("/keys/restore", {}), 400, "BadParameter")
        self.expect(self.server.post("/keys/none/backup", None), 404, "KeyNotFound")
        self.expect(self.server.get("/keys/dented"), 404, "KeyNotFound")
        self.expect(self.server.post("/keys/restore", {"value": b64(bytes(blob))}), 200)

    def test_another_domain(self):
        self.server.create("abroad", "EC")
        blob = self.server.ok("/keys/abroad/backup", None)["value"]
        other = Server().start()
        try:
            answer = self.expect(other.post("/keys/restore", {"value": blob}), 400, "BadParameter")
            self.assertIn("security domain", answer.json["error"]["message"])
        finally:
            other.stop()
            other.remove()

    def test_many_versions(self):
        for _ in range(600):
            self.server.create("many", "EC")
        made = versions(self.server, "many")
        self.assertEqual(len(set(made)), 600)
        blob = self.server.ok("/keys/many/backup", None)["value"]
        purge(self.server, "many")
        self.assertGreater(len(blob), 1 << 16)  # a large one takes another way into the gateway
        for damaged in (blob[:-8], blob[:70000] + "A" + blob[70001:] if blob[70000] != "A" else blob[:70000] + "B" + blob[70001:],
                        "!" * 70000):
            self.expect(self.server.post("/keys/restore", {"value": damaged}), 400, "BadParameter")
        self.expect(self.server.post("/keys/restore", {"other": blob}), 400, "BadParameter")
        self.expect(self.server.post("/keys/restore", {"value": blob}), 200)
        self.assertEqual(versions(self.server, "many"), made)


class Rotation(Case):
    def policy(self, name, body, status=200, code=None):
        return self.expect(self.server.request("PUT", f"/keys/{name}/rotationpolicy", body), status, code)

    def test_policy(self):
        self.server.create("pol", "RSA")
        path = "/keys/pol/rotationpolicy"
        got = self.expect(self.server.get(path), 200).json
        self.assertEqual(got["id"], f"https://localhost:{self.server.port}{path}")
        self.assertEqual(got["lifetimeActions"], [{"trigger": {"timeBeforeExpiry": "P30D"}, "action": {"type": "Notify"}}])
        rotate = {"trigger": {"timeBeforeExpiry": "P30D"}, "action": {"type": "rotate"}}
        notify = {"trigger": {"timeBeforeExpiry": "P20D"}, "action": {"type": "NOTIFY"}}
        got = self.policy("pol", {"lifetimeActions": [rotate, notify], "attributes": {"expiryTime": "P90D"}}).json
        self.assertEqual([a["action"]["type"] for a in got["lifetimeActions"]], ["Rotate", "Notify"])
        self.assertTrue(abs(got["attributes"]["created"] - now()) < 60)
        # what is not sent stays
        got = self.policy("pol", {"attributes": {"expiryTime": "P1Y"}}).json
        self.assertEqual(len(got["lifetimeActions"]), 2)
        got = self.policy("pol", {"lifetimeActions": [notify]}).json
        self.assertEqual(got["attributes"]["expiryTime"], "P1Y")
        self.assertEqual(self.server.get(path).json, got)
        self.policy("none", {"attributes": {"expiryTime": "P1Y"}}, 404, "KeyNotFound")
        self.expect(self.server.get("/keys/none/rotationpolicy"), 404, "KeyNotFound")

    def test_policy_refusals(self):
        self.server.create("bad", "EC")
        action = lambda kind, **trigger: {"trigger": trigger, "action": {"type": kind}}
        for body in (
                {"attributes": {"expiryTime": "P27D"}}, {"attributes": {"expiryTime": "90 days"}},
                {"attributes": {"expiryTime": "P"}}, {"attributes": {"expiryTime": 90}},
                {"lifetimeActions": {}}, {"lifetimeActions": ["Rotate"]},
                {"lifetimeActions": [action("Erase", timeAfterCreate="P30D")]},
                {"lifetimeActions": [action("Rotate")]},
                {"lifetimeActions": [action("Rotate", timeAfterCreate="P30D", timeBeforeExpiry="P30D")]},
                {"lifetimeActions": [action("Rotate", timeAfterCreate="P6D")]},
                {"lifetimeActions": [action("Rotate", timeBeforeExpiry="P30D")]},
                {"lifetimeActions": [action("Notify", timeAfterCreate="P30D")]},
                {"lifetimeActions": [action("Rotate", timeAfterCreate="P30D"), action("rotate", timeAfterCreate="P31D")]},
                {"lifetimeActions": [action("Rotate", timeAfterCreate="P25D")], "attributes": {"expiryTime": "P28D"}}):
            with self.subTest(body=body):
                self.policy("bad", body, 400, "BadParameter")
        got = self.server.get("/keys/bad/rotationpolicy").json
        self.assertNotIn("created", got["attributes"])

    def test_rotate(self):
        for kty, more in (("RSA", {"key_size": 3072, "public_exponent": 3}), ("EC-HSM", {"crv": "P-384"}),
                          ("oct-HSM", {"key_size": 192})):
            with self.subTest(kty=kty):
                name = f"turn-{kty}"
                first = self.server.create(name, kty, tags={"a": "b"}, attributes={"exp": now() + 999}, **more)
                second = self.server.ok(f"/keys/{name}/rotate", None)
                self.assertNotEqual(first["key"]["kid"], second["key"]["kid"])
                for member in ("kty", "crv", "e"):
                    self.assertEqual(first["key"].get(member), second["key"].get(member))
                self.assertEqual(set(first["key"]["key_ops"]), set(second["key"]["key_ops"]))
                self.assertEqual(len(first["key"].get("n", "")), len(second["key"].get("n", "")))
                self.assertEqual(second["tags"], {"a": "b"})
                self.assertNotIn("exp", second["attributes"])
                self.policy(name, {"attributes": {"expiryTime": "P28D"}})
                third = self.server.ok(f"/keys/{name}/rotate", None)
                self.assertTrue(abs(third["attributes"]["exp"] - now() - 28 * DAY) < 60)
                self.assertEqual(self.server.get(f"/keys/{name}").json["key"]["kid"], third["key"]["kid"])
        self.expect(self.server.post("/keys/none/rotate", None), 404, "KeyNotFound")


class Refusals(Case):
    def test_release_and_attestation(self):
        self.server.create("stays", "RSA-HSM")
        self.expect(self.server.post("/keys/stays/release", {"target": "x.y.z"}), 403, "Forbidden",
                    "KeyOperationForbidden")
        self.expect(self.server.post("/keys/stays/release", {}), 400, "BadParameter")
        self.expect(self.server.post("/keys/stays/release", {"target": "a", "enc": "ROT13"}), 400, "BadParameter")
        self.expect(self.server.post("/keys/none/release", {"target": "x.y.z"}), 404, "KeyNotFound")
        self.expect(self.server.get("/keys/stays/attestation"), 400, "BadParameter")
        self.expect(self.server.get("/keys/none/attestation"), 404, "KeyNotFound")
        self.expect(self.server.get("/keys/stays/" + 32 * "0" + "/attestation"), 404, "KeyNotFound")


def wrap(kek, target, cut=0):
    aes = os.urandom(32)
    first = kek.encrypt(aes, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
    return (first + keywrap.aes_key_wrap_with_padding(aes, target))[:None if not cut else -cut]


class Byok(Case):
    def setUp(self):
        bundle = self.server.create("kek", "RSA-HSM", key_size=2048, key_ops=["import"])["key"]
        self.assertEqual(bundle["key_ops"], ["import"])
        self.kid = bundle["kid"]
        self.kek = rsa.RSAPublicNumbers(*(int.from_bytes(unb64(bundle[m]), "big") for m in "en")).public_key()

    def blob(self, target, **changes):
        header = {"kid": self.kid, "alg": "dir", "enc": "CKM_RSA_AES_KEY_WRAP", **changes}
        return b64(json.dumps({"schema_version": "1.0.0", "header": header, "generator": "test",
                               "ciphertext": b64(wrap(self.kek, target))}).encode())

    def put(self, name, kty, blob, status=200, code=None, **jwk):
        return self.expect(self.server.request("PUT", f"/keys/{name}", {"key": {"kty": kty, "key_hsm": blob, **jwk}}),
                           status, code)

    @staticmethod
    def pkcs8(key):
        return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                                 serialization.NoEncryption())

    def test_every_kind(self):
        key = rsa.generate_private_key(65537, 2048)
        got = self.put("in-rsa", "RSA-HSM", self.blob(self.pkcs8(key)), key_ops=["sign", "verify"]).json["key"]
        self.assertEqual((got["kty"], sorted(got["key_ops"])), ("RSA-HSM", ["sign", "verify"]))
        self.assertEqual(int.from_bytes(unb64(got["n"]), "big"), key.public_key().public_numbers().n)
        digest = os.urandom(32)
        signature = self.server.ok("/keys/in-rsa/sign", {"alg": "RS256", "value": b64(digest)})["value"]
        key.public_key().verify(unb64(signature), digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
        for crv, curve, named in (("P-256", ec.SECP256R1, True), ("P-521", ec.SECP521R1, False)):
            key = ec.generate_private_key(curve())
            got = self.put(f"in-{crv}", "EC-HSM", self.blob(self.pkcs8(key)), **({"crv": crv} if named else {}))
            self.assertEqual(got.json["key"]["crv"], crv)
            self.assertEqual(int.from_bytes(unb64(got.json["key"]["x"]), "big"), key.public_key().public_numbers().x)
        secret = os.urandom(32)
        self.put("in-oct", "oct-HSM", self.blob(secret))
        wrapped = self.server.ok("/keys/in-oct/wrapkey", {"alg": "A256KW", "value": b64(b"k" * 16)})["value"]
        self.assertEqual(keywrap.aes_key_unwrap(secret, unb64(wrapped)), b"k" * 16)

    def test_refusals(self):
        target = self.pkcs8(ec.generate_private_key(ec.SECP256R1()))
        good = self.blob(target)
        self.put("x", "RSA-HSM", good, 400, "BadParameter")  # another type than it is
        self.put("x", "EC-HSM", good, 400, "BadParameter", crv="P-384")
        self.put("x", "oct-HSM", good, 400, "BadParameter")
        self.put("x", "EC-HSM", b64(b"not json"), 400, "BadParameter")
        self.put("x", "EC-HSM", self.blob(target, enc="RSA1_5"), 400, "BadParameter")
        self.put("x", "EC-HSM", self.blob(target, kid="https://h/secrets/kek"), 400, "BadParameter")
        self.put("x", "EC-HSM", self.blob(target, kid="https://h/keys/nothing"), 400, "BadParameter")
        self.server.create("plain", "RSA-HSM")
        self.put("x", "EC-HSM", self.blob(target, kid="https://h/keys/plain"), 400, "BadParameter")
        body = json.loads(unb64(good))
        for at in (5, 300, -1):
            changed = bytearray(unb64(body["ciphertext"]))
            changed[at] ^= 1
            self.put("x", "EC-HSM", b64(json.dumps({**body, "ciphertext": b64(bytes(changed))}).encode()), 400, "BadParameter")
        self.put("x", "EC-HSM", b64(json.dumps({**body, "ciphertext": b64(bytes(260))}).encode()), 400, "BadParameter")
        self.expect(self.server.get("/keys/x"), 404, "KeyNotFound")
        self.server.request("PATCH", "/keys/kek", {"attributes": {"enabled": False}})
        answer = self.put("x", "EC-HSM", self.blob(target), 403, None)
        self.assertEqual(answer.inner, "KeyDisabled")

    def test_exchange_keys(self):
        for op in ("decrypt", "unwrapkey"):
            self.expect(self.server.post(f"/keys/kek/{op}", {"alg": "RSA-OAEP", "value": b64(bytes(256))}), 403,
                        "Forbidden", "KeyOperationForbidden")
        for kty, ops in (("RSA", ["import"]), ("EC-HSM", ["import"]), ("RSA-HSM", ["import", "decrypt"])):
            self.expect(self.server.post("/keys/y/create", {"kty": kty, "key_ops": ops}), 400, "BadParameter")
        # nor does a change of operations open what was wrapped for one, or make one
        for ops in (["decrypt"], ["import", "unwrapKey"], []):
            self.expect(self.server.request("PATCH", "/keys/kek", {"key_ops": ops}), 400, "BadParameter")
        self.expect(self.server.request("PATCH", "/keys/kek", {"key_ops": ["import"], "tags": {"a": "b"}}), 200)
        self.server.create("plain", "RSA-HSM", key_size=2048)
        for ops in (["import"], ["import", "sign"]):
            self.expect(self.server.request("PATCH", "/keys/plain", {"key_ops": ops}), 400, "BadParameter")
        self.expect(self.server.request("PATCH", "/keys/plain", {"key_ops": ["sign"]}), 200)


class Months(unittest.TestCase):
    """The gateway comes back after months: what became due meanwhile is done, once."""

    def test_rotation_and_retention(self):
        server = Server().start()
        shim = os.path.join(os.environ["KEYWARD_TEST_MODULES"], "libp11_clock_shift.so")
        self.assertTrue(os.path.exists(shim), shim)
        try:
            server.create("auto", "EC-HSM")
            server.create("still", "EC")
            policy = {"lifetimeActions": [{"trigger": {"timeAfterCreate": "P10D"}, "action": {"type": "Rotate"}}],
                      "attributes": {"expiryTime": "P90D"}}
            assert server.request("PUT", "/keys/auto/rotationpolicy", policy).status == 200
            for name in ("gone", "kept"):
                server.create(name, "EC")
                assert server.request("DELETE", f"/keys/{name}").status == 200
            for days, count, deleted in ((9, 1, 200), (11, 2, 200), (11, 2, 200), (22, 3, 200), (91, 4, 404)):
                server.stop()
                with self.subTest(days=days):
                    os.environ.update(LD_PRELOAD=shim, KEYWARD_TEST_CLOCK_SHIFT=str(days * DAY),
                                      ASAN_OPTIONS="verify_asan_link_order=0")
                    try:
                        server.start()
                    finally:
                        for name in ("LD_PRELOAD", "KEYWARD_TEST_CLOCK_SHIFT", "ASAN_OPTIONS"):
                            del os.environ[name]
                    end = time.monotonic() + 10
                    while time.monotonic() < end and (len(versions(server, "auto")) < count or
                                                      server.get("/deletedkeys/gone").status != deleted):
                        time.sleep(0.2)
                    time.sleep(1.5)
                    self.assertEqual(len(versions(server, "auto")), count)
                    self.assertEqual(len(versions(server, "still")), 1)
                    self.assertEqual(server.get("/deletedkeys/gone").status, deleted)
        finally:
            server.stop()
            server.remove()


if __name__ == "__main__":
    unittest.main()

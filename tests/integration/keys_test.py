"""Keys as objects: create, import, read, list, change, delete, recover, purge."""

import re
import unittest
import urllib.parse

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from keyward import Case, Server, b64, now, unb64

FIELD = {"P-256": 32, "P-384": 48, "P-521": 66, "P-256K": 32}
CURVES = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1, "P-256K": ec.SECP256K1}


def number(value, width=None):
    return b64(value.to_bytes(width or (value.bit_length() + 7) // 8, "big"))


def rsa_jwk(bits=2048, exponent=65537):
    key = rsa.generate_private_key(exponent, bits)
    p = key.private_numbers()
    return key, {"kty": "RSA", "n": number(p.public_numbers.n), "e": number(p.public_numbers.e),
                 "d": number(p.d), "p": number(p.p), "q": number(p.q), "dp": number(p.dmp1),
                 "dq": number(p.dmq1), "qi": number(p.iqmp)}


def ec_jwk(crv, padded=True, name=None):
    key = ec.generate_private_key(CURVES[crv]())
    p = key.private_numbers()
    width = FIELD[crv] if padded else None
    return key, {"kty": "EC", "crv": name or crv, "x": number(p.public_numbers.x, width),
                 "y": number(p.public_numbers.y, width), "d": number(p.private_value, width)}


class Keys(Case):
    def test_create_every_kind(self):
        kinds = [("RSA", {"key_size": b}) for b in (2048, 3072, 4096)]
        kinds += [("RSA-HSM", {"key_size": 2048, "public_exponent": 3}), ("RSA", {})]
        kinds += [(k, {"crv": c}) for k in ("EC", "EC-HSM") for c in FIELD] + [("EC", {})]
        kinds += [(k, {"key_size": b}) for k in ("oct", "oct-HSM") for b in (128, 192, 256)]
        kinds += [("oct-HSM", {})]
        for i, (kty, more) in enumerate(kinds):
            with self.subTest(kty=kty, **more):
                before = now()
                bundle = self.server.create(f"kind-{i}", kty, **more)
                key, attributes = bundle["key"], bundle["attributes"]
                self.assertEqual(key["kty"], kty)
                self.assertRegex(key["kid"], rf"^https://localhost:{self.server.port}/keys/kind-{i}/[0-9a-f]{{32}}$")
                self.assertEqual(attributes["enabled"], True)
                self.assertEqual(attributes["recoveryLevel"], "Recoverable+Purgeable")
                self.assertEqual(attributes["recoverableDays"], 90)
                self.assertEqual(attributes["exportable"], False)
                self.assertEqual(attributes["hsmPlatform"], "0")
                self.assertTrue(before <= attributes["created"] <= now())
                self.assertEqual(attributes["created"], attributes["updated"])
                ops = set(key["key_ops"])
                if kty.startswith("RSA"):
                    self.assertEqual(len(unb64(key["n"])) * 8, more.get("key_size", 2048))
                    self.assertEqual(int.from_bytes(unb64(key["e"]), "big"), more.get("public_exponent", 65537))
                    self.assertEqual(ops, {"sign", "verify", "encrypt", "decrypt", "wrapKey", "unwrapKey"})
                elif kty.startswith("EC"):
                    crv = more.get("crv", "P-256")
                    self.assertEqual(key["crv"], crv)
                    self.assertEqual(len(unb64(key["x"])), FIELD[crv])
                    self.assertEqual(len(unb64(key["y"])), FIELD[crv])
                    self.assertEqual(ops, {"sign", "verify"})
                else:
                    self.assertEqual(ops, {"encrypt", "decrypt", "wrapKey", "unwrapKey"})
                self.assertFalse({"d", "p", "q", "dp", "dq", "qi", "k"} & set(key))

    def test_versions_and_case(self):
        first = self.server.create("Ver-A", "EC", tags={"n": "1"})
        second = self.server.create("ver-a", "EC")
        self.assertNotEqual(first["key"]["kid"], second["key"]["kid"])
        self.assertNotIn("tags", second)
        newest = self.server.get("/keys/VER-A/").json
        self.assertEqual(newest["key"]["x"], second["key"]["x"])
        version = first["key"]["kid"].rsplit("/", 1)[1]
        old = self.server.get(f"/keys/ver-a/{version}").json
        self.assertEqual(old["key"]["x"], first["key"]["x"])
        self.assertEqual(old["tags"], {"n": "1"})
        upper = self.server.get(f"/keys/ver-a/{version.upper()}")
        self.assertEqual(upper.json["key"]["x"], first["key"]["x"])
        listed = self.server.get("/keys/ver-a/versions").json
        self.assertEqual({v["kid"].rsplit("/", 1)[1] for v in listed["value"]},
                         {first["key"]["kid"].rsplit("/", 1)[1], second["key"]["kid"].rsplit("/", 1)[1]})
        self.assertIsNone(listed["nextLink"])

    def test_import_rsa_and_use(self):
        key, jwk = rsa_jwk()
        answer = self.server.request("PUT", "/keys/imp-rsa", {"key": {**jwk, "key_ops": ["sign", "verify"]},
                                                             "tags": {"a": "b"}})
        self.expect(answer, 200)
        self.assertEqual(answer.json["key"]["n"], jwk["n"])
        self.assertEqual(sorted(answer.json["key"]["key_ops"]), ["sign", "verify"])
        self.assertEqual(answer.json["tags"], {"a": "b"})
        import hashlib
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding, utils
        digest = hashlib.sha256(b"x").digest()
        signature = unb64(self.server.ok("/keys/imp-rsa/sign", {"alg": "RS256", "value": b64(digest)})["value"])
        key.public_key().verify(signature, digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))

    def test_import_without_primes_and_leading_zeros(self):
        _, jwk = rsa_jwk()
        short = {k: jwk[k] for k in ("kty", "e", "d")}
        short["n"] = b64(b"\0" + unb64(jwk["n"]))
        answer = self.server.request("PUT", "/keys/imp-short", {"key": short})
        self.expect(answer, 200)
        self.assertEqual(answer.json["key"]["n"], jwk["n"])

    def test_import_hsm_flag(self):
        _, jwk = rsa_jwk()
        answer = self.server.request("PUT", "/keys/imp-hsm", {"key": jwk, "Hsm": True})
        self.assertEqual(self.expect(answer, 200).json["key"]["kty"], "RSA-HSM")
        _, jwk = ec_jwk("P-384")
        answer = self.server.request("PUT", "/keys/imp-hsm2", {"key": {**jwk, "kty": "EC-HSM"}})
        self.assertEqual(self.expect(answer, 200).json["key"]["kty"], "EC-HSM")

    def test_import_ec_forms(self):
        for crv in FIELD:
            for padded in (True, False):
                with self.subTest(crv=crv, padded=padded):
                    alias = "SECP256K1" if crv == "P-256K" and not padded else None
                    _, jwk = ec_jwk(crv, padded, alias)
                    answer = self.server.request("PUT", f"/keys/imp-{crv}-{int(padded)}", {"key": jwk})
                    out = self.expect(answer, 200).json["key"]
                    self.assertEqual(out["crv"], crv)
                    self.assertEqual(len(unb64(out["x"])), FIELD[crv])
                    self.assertEqual(int.from_bytes(unb64(out["x"]), "big"), int.from_bytes(unb64(jwk["x"]), "big"))

    def test_import_oct(self):
        for kty, size in (("oct", 16), ("oct-HSM", 24), ("oct", 32)):
            answer = self.server.request("PUT", f"/keys/imp-oct-{size}", {"key": {"kty": kty, "k": b64(bytes(range(size)))}})
            out = self.expect(answer, 200).json["key"]
            self.assertEqual(out["kty"], kty)
            self.assertNotIn("k", out)

    def test_import_broken_pairs(self):
        _, good = rsa_jwk()
        _, other = rsa_jwk()
        _, curve = ec_jwk("P-256")
        _, curve2 = ec_jwk("P-256")
        for name, jwk in (("d of another", {**good, "d": other["d"]}), ("p of another", {**good, "p": other["p"]}),
                          ("qi of another", {**good, "qi": other["qi"]}), ("point of another", {**curve, "x": curve2["x"]}),
                          ("d of another", {**curve, "d": curve2["d"]}), ("d zero", {**curve, "d": b64(bytes(32))})):
            with self.subTest(name):
                answer = self.server.request("PUT", "/keys/imp-broken", {"key": jwk})
                self.expect(answer, 400, "BadParameter")
        self.expect(self.server.get("/keys/imp-broken"), 404, "KeyNotFound")

    def test_update(self):
        self.server.create("upd", "RSA", tags={"a": "1", "b": "2"})
        answer = self.server.request("PATCH", "/keys/upd/", {"tags": {"c": "3"}})
        self.assertEqual(self.expect(answer, 200).json["tags"], {"c": "3"})
        later = now() + 86400
        answer = self.server.request("PATCH", "/keys/upd", {"attributes": {"enabled": False, "exp": later},
                                                           "key_ops": ["sign"]})
        bundle = self.expect(answer, 200).json
        self.assertEqual(bundle["attributes"]["enabled"], False)
        self.assertEqual(bundle["attributes"]["exp"], later)
        self.assertEqual(bundle["key"]["key_ops"], ["sign"])
        self.assertEqual(bundle["tags"], {"c": "3"})
        sign = {"alg": "RS256", "value": b64(bytes(32))}
        self.expect(self.server.post("/keys/upd/sign", sign), 403, "Forbidden", "KeyDisabled")
        self.expect(self.server.get("/keys/upd"), 200)
        answer = self.server.request("PATCH", "/keys/upd", {"attributes": {"enabled": True}, "tags": {}})
        bundle = self.expect(answer, 200).json
        self.assertNotIn("tags", bundle)
        self.assertEqual(bundle["attributes"]["exp"], later)
        self.expect(self.server.post("/keys/upd/sign", sign), 200)
        self.expect(self.server.post("/keys/upd/verify", {"alg": "RS256", "digest": b64(bytes(32)), "value": "AA"}),
                    403, "Forbidden", "KeyOperationForbidden")
        self.expect(self.server.request("PATCH", "/keys/none", {"tags": {}}), 404, "KeyNotFound")

    def test_time_window(self):
        digest = b64(bytes(32))
        past, future = now() - 3600, now() + 3600
        for name, attributes, inner in (("early", {"nbf": future}, "KeyNotYetValid"), ("late", {"exp": past}, "KeyExpired")):
            self.server.create(name, "RSA", attributes=attributes)
            self.expect(self.server.post(f"/keys/{name}/sign", {"alg": "RS256", "value": digest}), 403, "Forbidden", inner)
            self.expect(self.server.post(f"/keys/{name}/encrypt", {"alg": "RSA-OAEP", "value": digest}), 403, "Forbidden", inner)
            self.expect(self.server.post(f"/keys/{name}/wrapkey", {"alg": "RSA-OAEP", "value": digest}), 403, "Forbidden", inner)
            # what was made before stays readable
            verify = {"alg": "RS256", "digest": digest, "value": b64(bytes(256))}
            self.assertEqual(self.expect(self.server.post(f"/keys/{name}/verify", verify), 200).json, {"value": False})

    def test_soft_delete(self):
        bundle = self.server.create("gone", "RSA", tags={"t": "1"})
        self.expect(self.server.get("/deletedkeys/gone"), 404, "KeyNotFound")
        deleted = self.expect(self.server.request("DELETE", "/keys/gone"), 200).json
        base = f"https://localhost:{self.server.port}"
        self.assertEqual(deleted["recoveryId"], f"{base}/deletedkeys/gone")
        self.assertEqual(deleted["scheduledPurgeDate"] - deleted["deletedDate"], 90 * 86400)
        self.assertEqual(deleted["key"]["n"], bundle["key"]["n"])
        self.assertEqual(deleted["tags"], {"t": "1"})
        sign = {"alg": "RS256", "value": b64(bytes(32))}
        for answer in (self.server.get("/keys/gone"), self.server.post("/keys/gone/sign", sign),
                       self.server.get("/keys/gone/versions"), self.server.request("DELETE", "/keys/gone"),
                       self.server.request("PATCH", "/keys/gone", {"tags": {}})):
            self.expect(answer, 404, "KeyNotFound")
        conflict = "ObjectIsDeletedButRecoverable"
        self.expect(self.server.post("/keys/gone/create", {"kty": "RSA"}), 409, "Conflict", conflict)
        _, jwk = ec_jwk("P-256")
        self.expect(self.server.request("PUT", "/keys/gone", {"key": jwk}), 409, "Conflict", conflict)
        self.assertEqual(self.expect(self.server.get("/deletedkeys/gone"), 200).json["key"]["n"], bundle["key"]["n"])
        back = self.expect(self.server.post("/deletedkeys/gone/recover", b""), 200).json
        self.assertEqual(back["key"]["kid"], bundle["key"]["kid"])
        self.assertNotIn("recoveryId", back)
        self.expect(self.server.post("/keys/gone/sign", sign), 200)
        self.expect(self.server.post("/deletedkeys/gone/recover", b""), 404, "KeyNotFound")
        self.expect(self.server.request("DELETE", "/deletedkeys/gone"), 404, "KeyNotFound")
        self.expect(self.server.request("DELETE", "/keys/gone"), 200)
        purged = self.expect(self.server.request("DELETE", "/deletedkeys/gone"), 204)
        self.assertEqual(purged.body, b"")
        self.expect(self.server.get("/deletedkeys/gone"), 404, "KeyNotFound")
        again = self.server.create("gone", "RSA")
        self.assertNotEqual(again["key"]["n"], bundle["key"]["n"])

    def test_head_and_options(self):
        self.server.create("head", "EC")
        get = self.server.get("/keys/head")
        head = self.server.request("HEAD", "/keys/head")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["Content-Length"], str(len(get.body)))
        options = self.server.request("OPTIONS", "/keys/head/sign", version=False)
        self.assertEqual((options.status, options.body), (204, b""))
        self.assertEqual(options.headers["Allow"], "POST, OPTIONS")
        wrong = self.server.get("/keys/head/sign")
        self.expect(wrong, 405, "MethodNotAllowed")
        self.assertEqual(wrong.headers["Allow"], "POST, OPTIONS")

    def test_headers(self):
        answer = self.server.get("/keys", headers={"x-ms-client-request-id": "my-id-1"})
        self.assertEqual(answer.headers["x-ms-client-request-id"], "my-id-1")
        guid = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
        self.assertRegex(answer.headers["x-ms-request-id"], guid)
        self.assertNotEqual(answer.headers["x-ms-request-id"], self.server.get("/keys").headers["x-ms-request-id"])
        for name in ("Cache-Control", "X-Content-Type-Options", "Strict-Transport-Security"):
            self.assertEqual(len(answer.headers.get_all(name)), 1, name)

    def test_host_is_used_in_ids(self):
        self.server.create("host", "EC")
        answer = self.server.get("/keys/host", headers={"Host": "kw.example.org:444"})
        self.assertTrue(answer.json["key"]["kid"].startswith("https://kw.example.org:444/keys/host/"))


class Lists(Case):
    def pages(self, path, limit):
        items, pages, link = [], 0, f"{path}?maxresults={limit}"
        while link:
            url = urllib.parse.urlsplit(link)
            # a next link is fetched as it stands
            answer = self.server.get(f"{url.path}?{url.query}", version=pages == 0)
            body = self.expect(answer, 200).json
            self.assertLessEqual(len(body["value"]), limit)
            items += body["value"]
            pages += 1
            link = body["nextLink"]
            if link:
                self.assertTrue(link.startswith(f"https://localhost:{self.server.port}{path}?"), link)
                self.assertIn("api-version=7.4", link)
        return items, pages

    def test_paging(self):
        self.assertEqual(self.server.get("/keys").json, {"value": [], "nextLink": None})
        self.assertEqual(self.server.get("/deletedkeys").json, {"value": [], "nextLink": None})
        names = [f"list-{i:02}" for i in range(30)]
        for name in names:
            self.server.create(name, "oct")
        for limit in (1, 7, 25):
            items, pages = self.pages("/keys", limit)
            self.assertEqual([i["kid"].rsplit("/", 1)[1] for i in items], names)
            self.assertGreaterEqual(pages, -(-30 // limit))
        self.assertEqual(set(items[0]), {"kid", "attributes"})
        default = self.server.get("/keys").json
        self.assertEqual(len(default["value"]), 25)
        for name in names[:12]:
            self.expect(self.server.request("DELETE", f"/keys/{name}"), 200)
        items, _ = self.pages("/deletedkeys", 5)
        self.assertEqual([i["kid"].rsplit("/", 1)[1] for i in items], names[:12])
        self.assertTrue(all("recoveryId" in i and "scheduledPurgeDate" in i for i in items))
        items, _ = self.pages("/keys", 25)
        self.assertEqual(len(items), 18)
        versions = [self.server.create("many", "oct")["key"]["kid"] for _ in range(9)]
        items, _ = self.pages("/keys/many/versions", 2)
        self.assertEqual(sorted(i["kid"] for i in items), sorted(versions))


class Restart(unittest.TestCase):
    def test_keys_survive(self):
        server = Server().start()
        try:
            made = {kty: server.create(f"stay-{i}", kty) for i, kty in enumerate(("RSA", "EC-HSM", "oct-HSM"))}
            sealed = server.ok("/keys/stay-2/encrypt", {"alg": "A256GCM", "value": b64(b"still here"), "aad": "AA"})
            self.assertEqual(server.stop(), 0)
            server.start()
            for i, kty in enumerate(made):
                self.assertEqual(server.get(f"/keys/stay-{i}").json["key"], made[kty]["key"])
            opened = server.ok("/keys/stay-2/decrypt", {"alg": "A256GCM", **{k: sealed[k] for k in ("value", "iv", "tag", "aad")}})
            self.assertEqual(unb64(opened["value"]), b"still here")
            self.assertEqual(server.stop(), 0)
        finally:
            server.process.kill()
            server.remove()


class Tokens(Case):
    def test_challenge_comes_first(self):
        form = re.compile(r'^Bearer authorization="https://login\.microsoftonline\.com/[0-9a-f-]{36}", '
                          r'resource="https://vault\.azure\.net"$')
        for method, path in (("GET", "/keys"), ("POST", "/keys/k/create"), ("PUT", "/keys/k"), ("PATCH", "/nothing"),
                             ("DELETE", "/keys/..%2f"), ("OPTIONS", "/keys"), ("POST", "/batch"), ("GET", "/")):
            for token in (False, "wrong", self.server.token[:-1], self.server.token + "A", ""):
                headers = {"Authorization": "Bearer "} if token == "" else {}
                answer = self.server.request(method, path, token=token, version=False, headers=headers)
                self.expect(answer, 401, "Unauthorized")
                self.assertEqual(len(answer.headers.get_all("WWW-Authenticate")), 1)
                self.assertRegex(answer.headers["WWW-Authenticate"], form)

    def test_scheme(self):
        for value, status in ((f"bearer {self.server.token}", 200), (f"BEARER  {self.server.token}", 200),
                              (f"Basic {self.server.token}", 401), (self.server.token, 401),
                              (f"Bearer{self.server.token}", 401), (f"Bearer {self.server.token},x", 401)):
            answer = self.server.get("/keys", token=False, headers={"Authorization": value})
            self.assertEqual(answer.status, status, value)

    def test_a_remembered_token_does_not_open_for_another(self):
        for _ in range(3):
            self.assertEqual(self.server.get("/keys").status, 200)
            wrong = self.server.token[:-1] + ("A" if self.server.token[-1] != "A" else "B")
            self.assertEqual(self.server.get("/keys", token=wrong).status, 401)


if __name__ == "__main__":
    unittest.main()

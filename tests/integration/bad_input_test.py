"""What malformed requests get: the exact status and code, and a server that goes on serving."""

import json
import socket
import ssl
import unittest

from keyward import Case, b64

DIGEST = b64(bytes(32))
BAD = (400, "BadParameter")
GONE = (404, "KeyNotFound")
NOWHERE = (404, "NotFound")
METHOD = (405, "MethodNotAllowed")


def forbidden(inner):
    return (403, "Forbidden", inner)


SIGN = {"alg": "RS256", "value": DIGEST}
GCM = {"alg": "A256GCM", "value": "AAEC", "iv": b64(bytes(12)), "tag": b64(bytes(16))}
CBC = {"alg": "A256CBC", "value": b64(bytes(16)), "iv": b64(bytes(16))}

# method, path, body (bytes: as they are), expected
CASES = [
    # --- bodies that are no JSON object
    ("POST", "/keys/r/sign", b"", BAD),
    ("POST", "/keys/r/sign", b"{", BAD),
    ("POST", "/keys/r/sign", b"}", BAD),
    ("POST", "/keys/r/sign", b"[]", BAD),
    ("POST", "/keys/r/sign", b"null", BAD),
    ("POST", "/keys/r/sign", b'"text"', BAD),
    ("POST", "/keys/r/sign", b"{'alg':'RS256'}", BAD),
    ("POST", "/keys/r/sign", b'{"alg":"RS256","value":"AA"} x', BAD),
    ("POST", "/keys/r/sign", b'{"alg":"RS256","alg":"RS256","value":"AA"}', BAD),
    ("POST", "/keys/r/sign", b'{"alg":"RS256","value":"\xff\xfe"}', BAD),
    ("POST", "/keys/r/sign", b'{"alg":"RS256","value":"A\\u0000A"}', BAD),
    ("POST", "/keys/r/sign", b'\xef\xbb\xbf{"alg":"RS256","value":"AA"}', BAD),
    ("POST", "/keys/r/sign", b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", BAD),
    ("POST", "/keys/r/sign", b'{"a":' + b"[" * 100000, BAD),
    ("POST", "/keys/r/sign", bytes(range(256)) * 8, BAD),
    # --- members
    ("POST", "/keys/r/sign", {}, BAD),
    ("POST", "/keys/r/sign", {"alg": "RS256"}, BAD),
    ("POST", "/keys/r/sign", {"value": DIGEST}, BAD),
    ("POST", "/keys/r/sign", {"alg": None, "value": None}, BAD),
    ("POST", "/keys/r/sign", {"alg": 256, "value": DIGEST}, BAD),
    ("POST", "/keys/r/sign", {"alg": "RS256", "value": 5}, BAD),
    ("POST", "/keys/r/sign", {"alg": "RS256", "value": [DIGEST]}, BAD),
    ("POST", "/keys/r/sign", {"alg": "rs256", "value": DIGEST}, BAD),
    ("POST", "/keys/r/sign", {"alg": "none", "value": DIGEST}, BAD),
    ("POST", "/keys/r/sign", {"alg": "", "value": DIGEST}, BAD),
    ("POST", "/keys/r/sign", {"alg": "RS256", "value": DIGEST[:-1]}, BAD),
    ("POST", "/keys/r/sign", {"alg": "RS256", "value": DIGEST + "!"}, BAD),
    ("POST", "/keys/r/sign", {"alg": "RS256", "value": DIGEST + " "}, BAD),
    ("POST", "/keys/r/sign", {"alg": "RS256", "value": DIGEST + "=="}, BAD),
    ("POST", "/keys/r/sign", {"alg": "RS256", "value": DIGEST[:-1] + "B"}, BAD),
    ("POST", "/keys/r/sign", {"alg": "RS256", "value": ""}, BAD),
    ("POST", "/keys/r/sign", {"alg": "RS256", "value": b64(bytes(33))}, BAD),
    ("POST", "/keys/r/sign", {"alg": "RS384", "value": DIGEST}, BAD),
    ("POST", "/keys/r/verify", {"alg": "RS256", "value": DIGEST}, BAD),
    ("POST", "/keys/r/verify", {"alg": "RS256", "digest": DIGEST}, BAD),
    ("POST", "/keys/r/verify", {"alg": "RS256", "digest": "AA", "value": "AA"}, BAD),
    # --- algorithms that do not fit
    ("POST", "/keys/r/sign", {"alg": "ES256", "value": DIGEST}, BAD),
    ("POST", "/keys/r/sign", {"alg": "HS256", "value": DIGEST}, BAD),
    ("POST", "/keys/r/sign", {"alg": "RSA-OAEP", "value": DIGEST}, BAD),
    ("POST", "/keys/r/encrypt", {"alg": "RS256", "value": DIGEST}, BAD),
    ("POST", "/keys/r/encrypt", {"alg": "A256GCM", "value": DIGEST}, BAD),
    ("POST", "/keys/e/sign", {"alg": "RS256", "value": DIGEST}, BAD),
    ("POST", "/keys/e/sign", {"alg": "ES384", "value": b64(bytes(48))}, BAD),
    ("POST", "/keys/e/sign", {"alg": "ES256K", "value": DIGEST}, BAD),
    ("POST", "/keys/o/encrypt", {"alg": "A128GCM", "value": DIGEST}, BAD),
    ("POST", "/keys/o/encrypt", {"alg": "A256KW", "value": DIGEST}, BAD),
    ("POST", "/keys/o/wrapkey", {"alg": "A256GCM", "value": DIGEST}, BAD),
    ("POST", "/keys/o/wrapkey", {"alg": "A128KW", "value": DIGEST}, BAD),
    ("POST", "/keys/o/wrapkey", {"alg": "RSA-OAEP", "value": DIGEST}, BAD),
    # --- iv, aad, tag
    ("POST", "/keys/o/encrypt", {"alg": "A256GCM", "value": "AA", "iv": b64(bytes(12))}, BAD),
    ("POST", "/keys/o/encrypt", {"alg": "A256GCM", "value": "AA", "tag": b64(bytes(16))}, BAD),
    ("POST", "/keys/o/encrypt", {**CBC, "aad": "AA"}, BAD),
    ("POST", "/keys/o/encrypt", {**CBC, "iv": b64(bytes(12))}, BAD),
    ("POST", "/keys/o/encrypt", {**CBC, "value": b64(bytes(15))}, BAD),
    ("POST", "/keys/r/encrypt", {"alg": "RSA-OAEP", "value": "AA", "iv": b64(bytes(16))}, BAD),
    ("POST", "/keys/o/decrypt", {**GCM, "iv": None}, BAD),
    ("POST", "/keys/o/decrypt", {**GCM, "tag": None}, BAD),
    ("POST", "/keys/o/decrypt", {**GCM, "iv": b64(bytes(11))}, BAD),
    ("POST", "/keys/o/decrypt", {**GCM, "iv": b64(bytes(16))}, BAD),
    ("POST", "/keys/o/decrypt", {**GCM, "iv": ""}, BAD),
    ("POST", "/keys/o/decrypt", {**GCM, "tag": b64(bytes(12))}, BAD),
    ("POST", "/keys/o/decrypt", {**GCM, "tag": b64(bytes(17))}, BAD),
    ("POST", "/keys/o/decrypt", GCM, BAD),
    ("POST", "/keys/o/decrypt", {**CBC, "iv": None}, BAD),
    ("POST", "/keys/o/decrypt", {**CBC, "value": b64(bytes(17))}, BAD),
    ("POST", "/keys/o/unwrapkey", {"alg": "A256KW", "value": b64(bytes(40))}, BAD),
    ("POST", "/keys/o/unwrapkey", {"alg": "A256KW", "value": b64(bytes(7))}, BAD),
    ("POST", "/keys/o/unwrapkey", {"alg": "A256KW", "value": ""}, BAD),
    ("POST", "/keys/o/unwrapkey", {"alg": "CKM_AES_KEY_WRAP_PAD", "value": b64(bytes(8))}, BAD),
    ("POST", "/keys/o/wrapkey", {"alg": "A256KW", "value": b64(bytes(15))}, BAD),
    ("POST", "/keys/o/wrapkey", {"alg": "A256KW", "value": b64(bytes(8))}, BAD),
    ("POST", "/keys/r/decrypt", {"alg": "RSA-OAEP", "value": b64(bytes(255))}, BAD),
    ("POST", "/keys/r/decrypt", {"alg": "RSA-OAEP", "value": b64(b"\xff" * 256)}, BAD),
    ("POST", "/keys/r/decrypt", {"alg": "RSA1_5", "value": b64(bytes(257))}, BAD),
    ("POST", "/keys/r/encrypt", {"alg": "RSA-OAEP", "value": b64(bytes(215))}, BAD),
    ("POST", "/keys/r/encrypt", {"alg": "RSA1_5", "value": b64(bytes(246))}, BAD),
    # --- objects and their states
    ("POST", "/keys/nothing/sign", SIGN, GONE),
    ("POST", f"/keys/r/{'0' * 32}/sign", SIGN, GONE),
    ("POST", "/keys/r/not-a-version/sign", SIGN, GONE),
    ("GET", "/keys/r/rotationpolicyx", None, GONE),
    ("GET", f"/keys/r/{'g' * 32}", None, GONE),
    ("GET", "/keys/nothing", None, GONE),
    ("GET", "/keys/nothing/versions", None, GONE),
    ("DELETE", "/keys/nothing", None, GONE),
    ("GET", "/deletedkeys/nothing", None, GONE),
    ("DELETE", "/deletedkeys/nothing", None, GONE),
    ("POST", "/deletedkeys/nothing/recover", b"", GONE),
    ("POST", "/keys/off/sign", SIGN, forbidden("KeyDisabled")),
    ("POST", "/keys/signer/encrypt", {"alg": "RSA-OAEP", "value": "AA"}, forbidden("KeyOperationForbidden")),
    # the body is looked at before the key, the key's state before the algorithm
    ("POST", "/keys/nothing/sign", {}, BAD),
    ("POST", "/keys/off/sign", {"alg": "ES256", "value": DIGEST}, forbidden("KeyDisabled")),
    # --- create
    ("POST", "/keys/n/create", {}, BAD),
    ("POST", "/keys/n/create", {"kty": "DSA"}, BAD),
    ("POST", "/keys/n/create", {"kty": "rsa"}, BAD),
    ("POST", "/keys/n/create", {"kty": 1}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "key_size": 1024}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "key_size": 2047}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "key_size": 16384}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "key_size": -1}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "key_size": "2048"}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "key_size": 2048.5}, BAD),
    ("POST", "/keys/n/create", b'{"kty":"RSA","key_size":99999999999999999999}', BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "public_exponent": 2}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "public_exponent": 1}, BAD),
    ("POST", "/keys/n/create", {"kty": "EC", "crv": "P-224"}, BAD),
    ("POST", "/keys/n/create", {"kty": "EC", "crv": 256}, BAD),
    ("POST", "/keys/n/create", {"kty": "oct", "key_size": 512}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "key_ops": "sign"}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "key_ops": ["fly"]}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "key_ops": [1]}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "key_ops": ["export"]}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "attributes": []}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "attributes": {"enabled": "yes"}}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "attributes": {"nbf": -1}}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "attributes": {"exp": "2030-01-01"}}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "attributes": {"nbf": 2000000000, "exp": 1900000000}}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "attributes": {"exportable": True}}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "release_policy": {"data": "AA"}}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "tags": {str(i): "" for i in range(16)}}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "tags": {"a": 1}}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "tags": {"a": "x" * 257}}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "tags": {"x" * 257: "a"}}, BAD),
    ("POST", "/keys/n/create", {"kty": "RSA", "tags": ["a"]}, BAD),
    ("POST", "/keys/under_score/create", {"kty": "RSA"}, BAD),
    ("POST", "/keys/a.b/create", {"kty": "RSA"}, BAD),
    ("POST", f"/keys/{'n' * 128}/create", {"kty": "RSA"}, BAD),
    # --- import
    ("PUT", "/keys/n", {}, BAD),
    ("PUT", "/keys/n", {"key": "RSA"}, BAD),
    ("PUT", "/keys/n", {"key": {}}, BAD),
    ("PUT", "/keys/n", {"key": {"kty": "RSA"}}, BAD),
    ("PUT", "/keys/n", {"key": {"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "AQAB"}}, BAD),
    ("PUT", "/keys/n", {"key": {"kty": "RSA", "n": b64(b"\xff" * 256), "e": "AQAB", "d": "AQAB"}}, BAD),
    ("PUT", "/keys/n", {"key": {"kty": "RSA", "n": b64(b"\xff" * 2000), "e": "AQAB", "d": "AQAB"}}, BAD),
    ("PUT", "/keys/n", {"key": {"kty": "RSA", "n": "!", "e": "AQAB", "d": "AQAB"}}, BAD),
    ("PUT", "/keys/n", {"key": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"}}, BAD),
    ("PUT", "/keys/n", {"key": {"kty": "EC", "crv": "P-256", "x": DIGEST, "y": DIGEST}}, BAD),
    ("PUT", "/keys/n", {"key": {"kty": "EC", "x": DIGEST, "y": DIGEST, "d": DIGEST}}, BAD),
    ("PUT", "/keys/n", {"key": {"kty": "EC", "crv": "P-256", "x": b64(b"\1" * 33), "y": DIGEST, "d": DIGEST}}, BAD),
    ("PUT", "/keys/n", {"key": {"kty": "oct", "k": "AA"}}, BAD),
    ("PUT", "/keys/n", {"key": {"kty": "oct"}}, BAD),
    ("PUT", "/keys/n", {"key": {"kty": "RSA-HSM", "key_hsm": "AA"}}, BAD),
    ("PUT", "/keys/n", {"key": {"kty": "oct", "k": DIGEST}, "Hsm": "yes"}, BAD),
    # --- update
    ("PATCH", "/keys/r", b"", BAD),
    ("PATCH", "/keys/r", {"tags": []}, BAD),
    ("PATCH", "/keys/r", {"attributes": {"enabled": 1}}, BAD),
    ("PATCH", "/keys/r", {"key_ops": ["dance"]}, BAD),
    # --- lists
    ("GET", "/keys?maxresults=0", None, BAD),
    ("GET", "/keys?maxresults=26", None, BAD),
    ("GET", "/keys?maxresults=-1", None, BAD),
    ("GET", "/keys?maxresults=x", None, BAD),
    ("GET", "/keys?maxresults=", None, BAD),
    ("GET", "/keys?$skiptoken=!!", None, BAD),
    ("GET", "/keys?$skiptoken=" + b64(b"a/b"), None, BAD),
    ("GET", "/keys/r/versions?$skiptoken=" + b64(b"abc"), None, BAD),
    # --- random
    ("POST", "/rng", {}, BAD),
    ("POST", "/rng", {"count": 0}, BAD),
    ("POST", "/rng", {"count": 129}, BAD),
    ("POST", "/rng", {"count": -5}, BAD),
    ("POST", "/rng", {"count": "16"}, BAD),
    # --- paths and methods
    ("GET", "/", None, NOWHERE),
    ("GET", "/nothing", None, NOWHERE),
    ("GET", "/keys/a/b/c/d", None, NOWHERE),
    ("GET", "/storage/x", None, NOWHERE),
    ("GET", "/metrics", None, NOWHERE),
    ("GET", "/healthz", None, NOWHERE),
    ("GET", "/keys/../keys", None, BAD),
    ("GET", "/keys/%2e%2e/x", None, BAD),
    ("GET", "/keys/a%2Fb", None, BAD),
    ("GET", "/keys/a%00b", None, BAD),
    ("GET", "/keys/a;b", None, BAD),
    ("GET", "/keys/a%", None, BAD),
    ("GET", "/keys/%C3%A9", None, BAD),
    ("GET", "/keys/a%252fb", None, BAD),
    ("DELETE", "/keys", None, METHOD),
    ("GET", "/keys/r/sign", None, METHOD),
    ("PUT", "/keys/r/sign", {}, METHOD),
    ("POST", "/keys/r", {}, METHOD),
    ("GET", "/rng", None, METHOD),
    ("GET", "/batch", None, METHOD),
]

VERSIONS = {
    "": BAD, "api-version": BAD, "api-version=": BAD, "api-version=7": BAD, "api-version=7.": BAD,
    "api-version=abc": BAD, "api-version=7.4x": BAD, "api-version=2025-7-1": BAD, "api-version=8.0": BAD,
    "api-version=7.4-preview.": BAD, "api-version=2025-07-01-previews": BAD, "api-version=%zz": BAD,
    "apiversion=7.4": BAD,
    "api-version=7.4": 200, "api-version=7.0": 200, "api-version=7.4-preview.1": 200, "api-version=7.2-preview": 200,
    "api-version=2016-10-01": 200, "api-version=2025-07-01": 200, "api-version=2025-06-01-preview": 200,
    "api%2Dversion=2025-07-01": 200, "x=1&api-version=7.6": 200,
}


class BadInput(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.create("r", "RSA")
        cls.server.create("e", "EC")
        cls.server.create("o", "oct-HSM")
        cls.server.create("signer", "RSA", key_ops=["sign", "verify"])
        cls.server.create("off", "RSA", attributes={"enabled": False})

    def still_serves(self):
        self.assertEqual(self.server.post("/keys/r/sign", SIGN).status, 200)

    def test_table(self):
        self.assertGreaterEqual(len(CASES), 80)
        for method, path, body, expected in CASES:
            with self.subTest(method=method, path=path[:60], body=str(body)[:80]):
                answer = self.expect(self.server.request(method, path, body), *expected)
                self.assertNotIn(self.server.token, answer.body.decode())
        self.expect(self.server.get("/keys/n"), *GONE)
        self.still_serves()

    def test_api_version(self):
        for query, expected in VERSIONS.items():
            with self.subTest(query=query):
                answer = self.server.get(f"/keys?{query}", version=False)
                if expected == 200:
                    self.expect(answer, 200)
                else:
                    self.expect(answer, *expected)

    def test_limits_of_tags_are_exact(self):
        body = {"kty": "EC", "tags": {"x" * 256: "é" * 256, **{str(i): "" for i in range(14)}}}
        self.assertEqual(self.expect(self.server.post("/keys/tags/create", body), 200).json["tags"], body["tags"])

    def test_body_too_large(self):
        body = {"alg": "A256GCM", "value": b64(bytes(200000))}
        self.expect(self.server.post("/keys/o/encrypt", body), 413, "RequestBodyTooLarge")
        self.server.close()
        self.still_serves()

    def test_hosts(self):
        for host in ("a b", 'a"b', "a/b", "x" * 300):
            with self.subTest(host=host):
                answer = self.server.get("/keys", headers={"Host": host})
                self.assertEqual(answer.status, 400)
                self.server.close()
        self.still_serves()

    def test_every_cut_of_a_body(self):
        body = json.dumps(SIGN).encode()
        for i in range(len(body)):
            self.expect(self.server.post("/keys/r/sign", body[:i]), *BAD)
        self.still_serves()

    def test_nothing_of_the_body_comes_back(self):
        secret = "c2VjcmV0LW1hdGVyaWFs"
        for path, body in (("/keys/r/sign", '{"alg":"RS256","value":"%s"}' % secret),
                           ("/keys/r/sign", '{"alg":"%s","value":"AA"}' % secret),
                           ("/keys/r/sign", '{"alg":"RS256","value":"%s" "' % secret),
                           ("/keys/o/decrypt", '{"alg":"A256GCM","value":"%s!"}' % secret)):
            answer = self.server.post(path, body.encode())
            self.expect(answer, *BAD)
            self.assertNotIn(secret, answer.body.decode())
        answer = self.server.request("PUT", "/keys/n", {"key": {"kty": "oct", "k": secret}})
        self.expect(answer, *BAD)
        self.assertNotIn(secret, answer.body.decode())
        self.assertNotIn(secret, self.server.log())

    def test_clients_that_go_away(self):
        for i in range(30):
            raw = self.server.tls.wrap_socket(socket.create_connection(("127.0.0.1", self.server.port)),
                                              server_hostname="localhost")
            body = json.dumps({"alg": "RS256", "value": DIGEST})
            head = (f"POST /keys/r/sign?api-version=7.4 HTTP/1.1\r\nHost: localhost\r\n"
                    f"Authorization: Bearer {self.server.token}\r\nContent-Length: {len(body)}\r\n\r\n")
            raw.sendall((head + body)[:len(head) + (len(body) if i % 2 else i)].encode())
            try:
                raw.unwrap() if i % 3 == 0 else raw.close()
            except (ssl.SSLError, OSError):
                pass
            raw.close()
        self.still_serves()


if __name__ == "__main__":
    unittest.main()

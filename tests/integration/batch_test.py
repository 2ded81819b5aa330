"""POST /batch: many operations, good and bad, in order; and what breaks the request itself."""

import collections
import json
import os
import random
import socket
import time
import unittest

from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto_test import ec_public, rsa_public
from keyward import VERSION, Case, b64, unb64


class Batch(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        server = cls.server
        cls.rsa = server.create("b-rsa", "RSA")["key"]
        cls.ec = server.create("b-ec", "EC-HSM")["key"]
        cls.raw = os.urandom(32)
        answer = server.request("PUT", "/keys/b-oct", {"key": {"kty": "oct-HSM", "k": b64(cls.raw)}})
        assert answer.status == 200
        cls.oct = answer.json["key"]
        server.create("b-off", "RSA", attributes={"enabled": False})

    def batch(self, body):
        return self.server.post("/batch", body)

    def results(self, operations, bare=False):
        answer = self.batch(operations if bare else {"operations": operations})
        self.assertEqual(answer.status, 200, answer.body[:500])
        out = answer.json["results"]
        self.assertEqual(len(out), len(operations))
        return out

    # Each maker gives an operation and a check of its result.

    def sign_rsa(self):
        digest = os.urandom(32)

        def check(out):
            self.assertEqual(out["kid"], self.rsa["kid"])
            rsa_public(self.rsa).verify(unb64(out["value"]), digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
        return {"op": "sign", "key": "b-rsa", "alg": "RS256", "value": b64(digest)}, check

    def sign_ec(self):
        digest = os.urandom(32)

        def check(out):
            raw = unb64(out["value"])
            der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
            ec_public(self.ec).verify(der, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        return {"op": "sign", "key": self.ec["kid"], "alg": "ES256", "value": b64(digest)}, check

    def verify_wrong(self):
        op = {"op": "verify", "key": "b-rsa", "alg": "PS256", "digest": b64(os.urandom(32)), "value": b64(os.urandom(random.choice((255, 256))))}
        return op, lambda out: self.assertEqual(out, {"value": False})

    def gcm(self):
        plain, aad = os.urandom(random.randrange(200)), os.urandom(5)

        def check(out):
            self.assertEqual(out["alg"], "A256GCM")
            iv, tag, value = (unb64(out[m]) for m in ("iv", "tag", "value"))
            self.assertEqual(AESGCM(self.raw).decrypt(iv, value + tag, aad), plain)
        return {"op": "encrypt", "key": "b-oct", "alg": "A256GCM", "value": b64(plain), "aad": b64(aad)}, check

    def ungcm(self):
        plain, iv = os.urandom(20), os.urandom(12)
        sealed = AESGCM(self.raw).encrypt(iv, plain, None)
        op = {"op": "decrypt", "key": "B-OCT", "alg": "A256GCM", "value": b64(sealed[:-16]), "tag": b64(sealed[-16:]), "iv": b64(iv)}
        return op, lambda out: self.assertEqual(unb64(out["value"]), plain)

    def wrap(self):
        plain = os.urandom(32)
        key = "/".join(self.oct["kid"].split("/")[-2:])
        op = {"op": random.choice(("wrapKey", "wrapkey")), "key": key, "alg": "A256KW", "value": b64(plain)}
        return op, lambda out: self.assertEqual(unb64(out["value"]), keywrap.aes_key_wrap(self.raw, plain))

    def unwrap(self):
        plain = os.urandom(24)
        op = {"op": "unwrapKey", "key": "b-oct/", "alg": "A256KW", "value": b64(keywrap.aes_key_wrap(self.raw, plain))}
        return op, lambda out: self.assertEqual(unb64(out["value"]), plain)

    def wrong(self):
        d = b64(bytes(32))
        op, code, inner = random.choice((
            ({"op": "fly", "key": "b-rsa", "alg": "RS256", "value": d}, "BadParameter", None),
            ({"key": "b-rsa", "alg": "RS256", "value": d}, "BadParameter", None),
            ({"op": "sign", "alg": "RS256", "value": d}, "BadParameter", None),
            ({"op": "sign", "key": "b/a/d", "alg": "RS256", "value": d}, "KeyNotFound", None),
            ({"op": "sign", "key": "https://x/secrets/b-rsa", "alg": "RS256", "value": d}, "BadParameter", None),
            ({"op": "sign", "key": "", "alg": "RS256", "value": d}, "BadParameter", None),
            ({"op": "sign", "key": 5, "alg": "RS256", "value": d}, "BadParameter", None),
            ({"op": "sign", "key": "nowhere", "alg": "RS256", "value": d}, "KeyNotFound", None),
            ({"op": "sign", "key": "b-rsa/" + "0" * 32, "alg": "RS256", "value": d}, "KeyNotFound", None),
            ({"op": "sign", "key": "b-off", "alg": "RS256", "value": d}, "Forbidden", "KeyDisabled"),
            ({"op": "sign", "key": "b-rsa", "alg": "RS256", "value": "AA"}, "BadParameter", None),
            ({"op": "sign", "key": "b-rsa", "alg": "RS256", "value": "!"}, "BadParameter", None),
            ({"op": "sign", "key": "b-rsa", "alg": "ES256", "value": d}, "BadParameter", None),
            ({"op": "encrypt", "key": "b-ec", "alg": "RSA-OAEP", "value": d}, "Forbidden", "KeyOperationForbidden"),
            ({"op": "unwrapKey", "key": "b-oct", "alg": "A256KW", "value": b64(bytes(40))}, "BadParameter", None),
            (5, "BadParameter", None), ([], "BadParameter", None), ({}, "BadParameter", None), (None, "BadParameter", None),
            ("text", "BadParameter", None),
        ))

        def check(out):
            self.assertEqual(set(out), {"error"})
            self.assertEqual(out["error"]["code"], code, (op, out))
            self.assertEqual(out["error"].get("innererror", {}).get("code"), inner, (op, out))
        return op, check

    def test_ten_thousand(self):
        makers = [self.sign_ec, self.verify_wrong, self.gcm, self.ungcm, self.wrap, self.unwrap, self.wrong]
        made = [random.choice(makers)() if i % 20 else self.sign_rsa() for i in range(10000)]
        operations = []
        for i, (op, _) in enumerate(made):
            operations.append({**op, "id": f"n\"{i}"} if isinstance(op, dict) and i % 3 == 0 else op)
        started = time.monotonic()
        out = self.results(operations)
        took = time.monotonic() - started
        for i, (result, (_, check)) in enumerate(zip(out, made)):
            if isinstance(operations[i], dict) and "id" in operations[i]:
                self.assertEqual(result.pop("id"), f"n\"{i}")
            check(result)
        print(f"10000 operations in {took:.2f} s", flush=True)

    def test_small_and_bare(self):
        self.assertEqual(self.results([]), [])
        self.assertEqual(self.results([], bare=True), [])
        op, check = self.sign_rsa()
        check(self.results([op], bare=True)[0])

    def test_spread_over_many_pieces(self):
        made = [self.gcm() for _ in range(20)]
        body = json.dumps({"operations": [op for op, _ in made]}, indent=1).encode()
        for size in (1, 7, 1000):
            self.server.close()
            connection = self.server.connect()
            connection.request("POST", f"/batch?{VERSION}", iter([body[i:i + size] for i in range(0, len(body), size)]),
                               {"Authorization": f"Bearer {self.server.token}"}, encode_chunked=True)
            response = connection.getresponse()
            out = json.loads(response.read())["results"]
            connection.close()
            self.assertEqual(len(out), len(made))
            for result, (_, check) in zip(out, made):
                check(result)

    def test_long_operation_fails_alone(self):
        good, check = self.sign_ec()
        long = {"op": "encrypt", "key": "b-oct", "alg": "A256GCM", "value": b64(bytes(300000)), "id": "long"}
        out = self.results([good, long, good])
        check(out[0])
        self.assertEqual(out[1]["error"]["code"], "RequestBodyTooLarge")
        check(out[2])

    def test_long_id_is_refused(self):
        op, _ = self.sign_ec()
        out = self.results([{**op, "id": "x" * 129}, {**op, "id": 7}, {**op, "id": "é\n\u2028"}, {**op, "id": "x" * 128}])
        self.assertEqual([r.get("error", {}).get("code") for r in out], ["BadParameter", "BadParameter", None, None])
        self.assertEqual(out[2]["id"], "é\n\u2028")

    def test_broken_requests(self):
        op = json.dumps(self.sign_ec()[0])
        for body in ("", "{", "[", "x", "5", "{}", '{"ops":[]}', '{"operations":{}}', '{"operations":[]', f"[{op}", f"[{op},]",
                     f"[{op} {op}]", f"[{op}]x", f"[{op}]]", '{"operations":[],"more":1}', f"[{op},,{op}]", f'[{op},"a'):
            with self.subTest(body=body[:30] + ".." + body[-20:]):
                self.expect(self.batch(body.encode()), 400, "BadParameter")
        # many good ones before the break
        self.expect(self.batch(("[" + ",".join([op] * 3000) + "}").encode()), 400, "BadParameter")
        self.expect(self.batch(("[" + "1," * 65536 + "1]").encode()), 400, "BadParameter")
        out = self.results([1] * 65536)
        self.assertEqual(collections.Counter(r["error"]["code"] for r in out), {"BadParameter": 65536})

    def test_too_large(self):
        op = json.dumps({"op": "encrypt", "key": "b-oct", "alg": "A256GCM", "value": b64(bytes(100000))})
        body = "[" + ",".join([op] * 140) + "]"
        self.assertGreater(len(body), 16 << 20)
        self.server.close()
        try:
            answer = self.batch(body.encode())
            self.expect(answer, 413, "RequestBodyTooLarge")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server may answer and close while the body is still being sent
        self.server.close()
        self.assertEqual(len(self.results([self.sign_ec()[0]])), 1)

    def test_clients_that_go_away(self):
        op = json.dumps(self.sign_rsa()[0])
        for ops, cut in ((1, 0.5), (1, 1), (500, 0.5), (500, 1), (3000, 0.3), (3000, 1)):
            body = ("[" + ",".join([op] * ops) + "]").encode()
            raw = self.server.tls.wrap_socket(socket.create_connection(("127.0.0.1", self.server.port)),
                                              server_hostname="localhost")
            head = (f"POST /batch?{VERSION} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.server.token}\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n")
            try:
                raw.settimeout(5)
                raw.sendall(head.encode() + body[:int(len(body) * cut)])
            except OSError:
                pass  # flow control may hold the rest back
            raw.close()
        op, check = self.sign_ec()
        check(self.results([op])[0])

    def test_at_the_same_time(self):
        import threading
        failures = []

        def work():
            try:
                made = [random.choice((self.sign_ec, self.gcm, self.wrap))() for _ in range(1500)]
                connection = self.server.connect()
                connection.request("POST", f"/batch?{VERSION}", json.dumps([op for op, _ in made]),
                                   {"Authorization": f"Bearer {self.server.token}"})
                out = json.loads(connection.getresponse().read())["results"]
                connection.close()
                for result, (_, check) in zip(out, made, strict=True):
                    check(result)
            except Exception as error:  # reported by the main thread
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])


if __name__ == "__main__":
    unittest.main()

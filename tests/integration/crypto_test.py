"""Every algorithm on every kind of key, in both directions against another implementation."""

import hashlib
import hmac
import os
import unittest

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives import padding as block_padding
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyward import Case, b64, unb64
from keys_test import CURVES, FIELD, ec_jwk, number

HASH = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
RSA_SIGN = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
RSA_CIPHER = {
    "RSA1_5": padding.PKCS1v15(),
    "RSA-OAEP": padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None),
    "RSA-OAEP-256": padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None),
}
EC_ALG = {"P-256": ("ES256", 32), "P-384": ("ES384", 48), "P-521": ("ES512", 64), "P-256K": ("ES256K", 32)}


def rsa_public(jwk):
    e, n = (int.from_bytes(unb64(jwk[m]), "big") for m in "en")
    return rsa.RSAPublicNumbers(e, n).public_key()


def ec_public(jwk):
    x, y = (int.from_bytes(unb64(jwk[m]), "big") for m in "xy")
    return ec.EllipticCurvePublicNumbers(x, y, CURVES[jwk["crv"]]()).public_key()


def rsa_padding(alg):
    h = HASH[alg[2:]]
    return (padding.PKCS1v15() if alg[0] == "R" else padding.PSS(padding.MGF1(h), h.digest_size)), utils.Prehashed(h)


class Crypto(Case):
    def import_key(self, name, jwk):
        answer = self.server.request("PUT", f"/keys/{name}", {"key": jwk})
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json["key"]

    def bad(self, path, body):
        self.expect(self.server.post(path, body), 400, "BadParameter")

    def rsa_keys(self):
        for kty in ("RSA", "RSA-HSM"):
            for bits in (2048, 3072, 4096):
                name = f"c-{kty}-{bits}"
                answer = self.server.get(f"/keys/{name}")
                yield name, bits, answer.json["key"] if answer.status == 200 else self.server.create(name, kty, key_size=bits)["key"]

    def test_rsa_sign(self):
        for name, bits, jwk in self.rsa_keys():
            public = rsa_public(jwk)
            for alg in RSA_SIGN:
                with self.subTest(key=name, alg=alg):
                    digest = os.urandom(HASH[alg[2:]].digest_size)
                    out = self.server.ok(f"/keys/{name}/sign", {"alg": alg, "value": b64(digest)})
                    self.assertEqual(out["kid"], jwk["kid"])
                    self.assertEqual(set(out), {"kid", "value"})
                    signature = unb64(out["value"])
                    self.assertEqual(len(signature) * 8, bits)
                    public.verify(signature, digest, *rsa_padding(alg))
                    verify = {"alg": alg, "digest": b64(digest), "value": b64(signature)}
                    self.assertEqual(self.server.ok(f"/keys/{name}//verify", verify), {"value": True})
                    changed = bytes([signature[0]]) + bytes([signature[1] ^ 1]) + signature[2:]
                    other = bytes([digest[0] ^ 1]) + digest[1:]
                    for wrong in ({"value": b64(changed)}, {"digest": b64(other)}, {"value": b64(signature[:-1])},
                                  {"value": b64(signature + b"\0")}, {"value": ""}, {"value": b64(b"\xff" * (bits // 8))}):
                        self.assertEqual(self.server.ok(f"/keys/{name}/verify", {**verify, **wrong}), {"value": False})
                    self.bad(f"/keys/{name}/sign", {"alg": alg, "value": b64(digest[:-1])})

    def test_rsa_null(self):
        jwk = self.server.create("c-null", "RSA")["key"]
        n, e = (int.from_bytes(unb64(jwk[m]), "big") for m in "ne")
        for raw in (b"", b"x", os.urandom(36), os.urandom(245)):
            out = unb64(self.server.ok("/keys/c-null/sign", {"alg": "RSNULL", "value": b64(raw)})["value"])
            block = pow(int.from_bytes(out, "big"), e, n).to_bytes(256, "big")
            self.assertEqual(block, b"\0\1" + b"\xff" * (253 - len(raw)) + b"\0" + raw)
            verify = {"alg": "RSNULL", "digest": b64(raw), "value": b64(out)}
            self.assertEqual(self.server.ok("/keys/c-null/verify", verify), {"value": True})
        self.bad("/keys/c-null/sign", {"alg": "RSNULL", "value": b64(os.urandom(246))})

    def test_rsa_signed_elsewhere(self):
        from keys_test import rsa_jwk
        private, jwk = rsa_jwk()
        self.import_key("c-rsa-else", jwk)
        for alg in RSA_SIGN:
            digest = os.urandom(HASH[alg[2:]].digest_size)
            signature = private.sign(digest, *rsa_padding(alg))
            verify = {"alg": alg, "digest": b64(digest), "value": b64(signature)}
            self.assertEqual(self.server.ok("/keys/c-rsa-else/verify", verify), {"value": True})
            # one family's signature is none of the other's
            other = ("P" if alg[0] == "R" else "R") + alg[1:]
            self.assertEqual(self.server.ok("/keys/c-rsa-else/verify", {**verify, "alg": other}), {"value": False})

    def test_rsa_cipher(self):
        for name, bits, jwk in self.rsa_keys():
            public = rsa_public(jwk)
            for alg, pad in RSA_CIPHER.items():
                limit = bits // 8 - {"RSA1_5": 11, "RSA-OAEP": 42, "RSA-OAEP-256": 66}[alg]
                for there, back in (("encrypt", "decrypt"), ("wrapkey", "unwrapkey"), ("wrapKey", "unwrapKey")):
                    with self.subTest(key=name, alg=alg, op=there):
                        for size in (1, 32, limit):
                            plain = os.urandom(size)
                            out = self.server.ok(f"/keys/{name}/{there}", {"alg": alg, "value": b64(plain)})
                            self.assertEqual(set(out), {"kid", "value"})
                            self.assertEqual(len(unb64(out["value"])) * 8, bits)
                            result = self.server.ok(f"/keys/{name}/{back}", {"alg": alg, "value": out["value"]})
                            self.assertEqual(unb64(result["value"]), plain)
                        sealed = public.encrypt(b"made elsewhere", pad)
                        result = self.server.ok(f"/keys/{name}/{back}", {"alg": alg, "value": b64(sealed)})
                        self.assertEqual(unb64(result["value"]), b"made elsewhere")
                        self.bad(f"/keys/{name}/{there}", {"alg": alg, "value": b64(os.urandom(limit + 1))})

    def test_rsa_decrypted_elsewhere(self):
        from keys_test import rsa_jwk
        private, jwk = rsa_jwk()
        self.import_key("c-rsa-dec", jwk)
        for alg, pad in RSA_CIPHER.items():
            out = self.server.ok("/keys/c-rsa-dec/encrypt", {"alg": alg, "value": b64(b"for elsewhere")})
            self.assertEqual(private.decrypt(unb64(out["value"]), pad), b"for elsewhere")

    def test_decryption_failures_look_the_same(self):
        jwk = self.server.create("c-fail", "RSA")["key"]
        n = int.from_bytes(unb64(jwk["n"]), "big")
        seen = set()
        for alg in RSA_CIPHER:
            for value in (os.urandom(1) + bytes(255), b"\0" * 256, (n - 1).to_bytes(256, "big"), (2).to_bytes(256, "big")):
                value = (int.from_bytes(value, "big") % n).to_bytes(256, "big")
                answer = self.server.post("/keys/c-fail/decrypt", {"alg": alg, "value": b64(value)})
                if answer.status == 400:
                    seen.add(answer.body)
                else:
                    # RSA1_5 may answer with a random plaintext instead of a fault: no oracle either way
                    self.assertEqual((answer.status, alg), (200, "RSA1_5"))
        self.assertEqual(len(seen), 1, seen)

    def test_ecdsa(self):
        for kty in ("EC", "EC-HSM"):
            for crv, (alg, size) in EC_ALG.items():
                with self.subTest(kty=kty, crv=crv):
                    name = f"c-{kty}-{crv}"
                    jwk = self.server.create(name, kty, crv=crv)["key"]
                    h = {32: hashes.SHA256(), 48: hashes.SHA384(), 64: hashes.SHA512()}[size]
                    public, width = ec_public(jwk), FIELD[crv]
                    for _ in range(4):
                        digest = os.urandom(size)
                        out = self.server.ok(f"/keys/{name}/sign", {"alg": alg, "value": b64(digest)})
                        raw = unb64(out["value"])
                        self.assertEqual(len(raw), 2 * width)
                        r, s = (int.from_bytes(part, "big") for part in (raw[:width], raw[width:]))
                        public.verify(utils.encode_dss_signature(r, s), digest, ec.ECDSA(utils.Prehashed(h)))
                        verify = {"alg": alg, "digest": b64(digest), "value": b64(raw)}
                        self.assertEqual(self.server.ok(f"/keys/{name}/verify", verify), {"value": True})
                        for wrong in ({"value": b64(bytes(2 * width))}, {"value": b64(utils.encode_dss_signature(r, s))},
                                      {"value": b64(raw[width:] + raw[:width])}, {"digest": b64(os.urandom(size))},
                                      {"value": b64(raw[:-1])}, {"value": b64(b"\xff" * 2 * width)}):
                            self.assertEqual(self.server.ok(f"/keys/{name}/verify", {**verify, **wrong}), {"value": False})
                    self.bad(f"/keys/{name}/sign", {"alg": alg, "value": b64(os.urandom(size + 1))})
                    for other, (wrong_alg, wrong_size) in EC_ALG.items():
                        if other != crv:
                            self.bad(f"/keys/{name}/sign", {"alg": wrong_alg, "value": b64(bytes(wrong_size))})

    def test_ecdsa_signed_elsewhere(self):
        for crv, (alg, size) in EC_ALG.items():
            private, jwk = ec_jwk(crv)
            self.import_key(f"c-ec-else-{crv}", jwk)
            h = {32: hashes.SHA256(), 48: hashes.SHA384(), 64: hashes.SHA512()}[size]
            digest = os.urandom(size)
            r, s = utils.decode_dss_signature(private.sign(digest, ec.ECDSA(utils.Prehashed(h))))
            value = unb64(number(r, FIELD[crv])) + unb64(number(s, FIELD[crv]))
            verify = {"alg": alg, "digest": b64(digest), "value": b64(value)}
            self.assertEqual(self.server.ok(f"/keys/c-ec-else-{crv}/verify", verify), {"value": True})
            out = unb64(self.server.ok(f"/keys/c-ec-else-{crv}/sign", {"alg": alg, "value": b64(digest)})["value"])
            width = FIELD[crv]
            der = utils.encode_dss_signature(int.from_bytes(out[:width], "big"), int.from_bytes(out[width:], "big"))
            private.public_key().verify(der, digest, ec.ECDSA(utils.Prehashed(h)))

    def oct_keys(self):
        for kty in ("oct", "oct-HSM"):
            for bits in (128, 192, 256):
                raw = os.urandom(bits // 8)
                name = f"c-{kty}-{bits}"
                ops = ["encrypt", "decrypt", "wrapKey", "unwrapKey", "sign", "verify"]
                answer = self.server.request("PUT", f"/keys/{name}", {"key": {"kty": kty, "k": b64(raw), "key_ops": ops}})
                self.assertEqual(answer.status, 200, answer.body)
                yield name, kty, bits, raw

    def test_gcm(self):
        for name, kty, bits, raw in self.oct_keys():
            alg = f"A{bits}GCM"
            for size, aad in ((0, None), (1, b"a"), (16, b""), (1000, os.urandom(100)), (60000, b"x")):
                with self.subTest(key=name, size=size):
                    plain = os.urandom(size)
                    body = {"alg": alg, "value": b64(plain)}
                    if aad is not None:
                        body["aad"] = b64(aad)
                    out = self.server.ok(f"/keys/{name}/encrypt", body)
                    self.assertEqual(set(out), {"kid", "value", "iv", "tag"} | ({"aad"} if aad is not None else set())
                                     | ({"alg"} if kty == "oct-HSM" else set()))
                    iv, tag, value = (unb64(out[m]) for m in ("iv", "tag", "value"))
                    self.assertEqual((len(iv), len(tag), len(value)), (12, 16, size))
                    self.assertEqual(AESGCM(raw).decrypt(iv, value + tag, aad), plain)
                    back = {**body, "value": out["value"], "iv": out["iv"], "tag": out["tag"]}
                    self.assertEqual(unb64(self.server.ok(f"/keys/{name}/decrypt", back)["value"]), plain)
                    iv = os.urandom(12)
                    sealed = AESGCM(raw).encrypt(iv, plain, aad)
                    theirs = {**body, "value": b64(sealed[:-16]), "iv": b64(iv), "tag": b64(sealed[-16:])}
                    self.assertEqual(unb64(self.server.ok(f"/keys/{name}/decrypt", theirs)["value"]), plain)
                    flipped = bytes([sealed[-1] ^ 1])
                    for wrong in ({"tag": b64(sealed[-16:-1] + flipped)}, {"iv": b64(bytes(12))}, {"aad": b64(b"other")}):
                        self.bad(f"/keys/{name}/decrypt", {**theirs, **wrong})
            ivs = {self.server.ok(f"/keys/{name}/encrypt", {"alg": alg, "value": "AA"})["iv"] for _ in range(20)}
            self.assertEqual(len(ivs), 20)

    def test_cbc(self):
        for name, kty, bits, raw in self.oct_keys():
            for padded in (False, True):
                alg = f"A{bits}CBC" + ("PAD" if padded else "")
                for size in (16, 32, 4096) + ((0, 1, 15, 17, 1000) if padded else ()):
                    with self.subTest(key=name, alg=alg, size=size):
                        plain, iv = os.urandom(size), os.urandom(16)
                        out = self.server.ok(f"/keys/{name}/encrypt", {"alg": alg, "value": b64(plain), "iv": b64(iv)})
                        self.assertEqual(out["iv"], b64(iv))
                        self.assertEqual(out.get("alg"), alg if kty == "oct-HSM" else None)
                        filled = plain
                        if padded:
                            padder = block_padding.PKCS7(128).padder()
                            filled = padder.update(plain) + padder.finalize()
                        encryptor = Cipher(algorithms.AES(raw), modes.CBC(iv)).encryptor()
                        self.assertEqual(unb64(out["value"]), encryptor.update(filled) + encryptor.finalize())
                        back = {"alg": alg, "value": out["value"], "iv": out["iv"]}
                        self.assertEqual(unb64(self.server.ok(f"/keys/{name}/decrypt", back)["value"]), plain)
                made = self.server.ok(f"/keys/{name}/encrypt", {"alg": alg, "value": b64(bytes(16))})
                self.assertEqual(len(unb64(made["iv"])), 16)
                self.assertEqual(unb64(self.server.ok(f"/keys/{name}/decrypt", {m: made.get(m, alg) for m in ("alg", "value", "iv")})["value"]), bytes(16))
                self.bad(f"/keys/{name}/decrypt", {"alg": alg, "value": b64(bytes(15)), "iv": b64(bytes(16))})
                if not padded:
                    self.bad(f"/keys/{name}/encrypt", {"alg": alg, "value": b64(bytes(17))})

    def test_key_wrap(self):
        for name, kty, bits, raw in self.oct_keys():
            for alg in (f"A{bits}KW", "CKM_AES_KEY_WRAP"):
                for size in (16, 24, 32, 512):
                    with self.subTest(key=name, alg=alg, size=size):
                        plain = os.urandom(size)
                        out = self.server.ok(f"/keys/{name}/wrapkey", {"alg": alg, "value": b64(plain)})
                        self.assertEqual(unb64(out["value"]), keywrap.aes_key_wrap(raw, plain))
                        self.assertEqual(out.get("alg"), alg if kty == "oct-HSM" else None)
                        back = self.server.ok(f"/keys/{name}/unwrapkey", {"alg": alg, "value": out["value"]})
                        self.assertEqual(unb64(back["value"]), plain)
                        broken = bytearray(unb64(out["value"]))
                        broken[size // 2] ^= 1
                        self.bad(f"/keys/{name}/unwrapkey", {"alg": alg, "value": b64(broken)})
                for size in (0, 8, 17):
                    self.bad(f"/keys/{name}/wrapkey", {"alg": alg, "value": b64(bytes(size))})
            for size in (1, 7, 8, 9, 20, 255):
                plain = os.urandom(size)
                out = self.server.ok(f"/keys/{name}/wrapkey", {"alg": "CKM_AES_KEY_WRAP_PAD", "value": b64(plain)})
                self.assertEqual(unb64(out["value"]), keywrap.aes_key_wrap_with_padding(raw, plain))
                back = self.server.ok(f"/keys/{name}/unwrapkey", {"alg": "CKM_AES_KEY_WRAP_PAD", "value": out["value"]})
                self.assertEqual(unb64(back["value"]), plain)
            self.bad(f"/keys/{name}/encrypt", {"alg": f"A{bits}KW", "value": b64(bytes(16))})
            for other in {128, 192, 256} - {bits}:
                self.bad(f"/keys/{name}/wrapkey", {"alg": f"A{other}KW", "value": b64(bytes(16))})

    def test_hmac(self):
        for name, kty, bits, raw in self.oct_keys():
            for alg, function in (("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
                answer = self.server.post(f"/keys/{name}/sign", {"alg": alg, "value": b64(b"a message")})
                with self.subTest(key=name, alg=alg):
                    self.assertEqual(answer.status, 200, answer.body)
                    value = unb64(answer.json["value"])
                    self.assertEqual(value, hmac.new(raw, b"a message", function).digest())
                    verify = {"alg": alg, "digest": b64(b"a message"), "value": b64(value)}
                    self.assertEqual(self.server.ok(f"/keys/{name}/verify", verify), {"value": True})
                    for wrong in (value[:-1], value[:-1] + bytes([value[-1] ^ 1]), b""):
                        self.assertEqual(self.server.ok(f"/keys/{name}/verify", {**verify, "value": b64(wrong)}), {"value": False})

    def test_versions_are_used(self):
        kids = [self.server.create("c-ver", "RSA")["key"] for _ in range(2)]
        digest = os.urandom(32)
        for jwk in kids:
            version = jwk["kid"].rsplit("/", 1)[1]
            out = self.server.ok(f"/keys/c-ver/{version}/sign", {"alg": "RS256", "value": b64(digest)})
            self.assertEqual(out["kid"], jwk["kid"])
            rsa_public(jwk).verify(unb64(out["value"]), digest, *rsa_padding("RS256"))
        out = self.server.ok("/keys/c-ver/sign", {"alg": "RS256", "value": b64(digest)})
        self.assertEqual(out["kid"], kids[1]["kid"])
        with self.assertRaises(InvalidSignature):
            rsa_public(kids[0]).verify(unb64(out["value"]), digest, *rsa_padding("RS256"))

    def test_random(self):
        seen = set()
        for count in (1, 16, 127, 128):
            value = unb64(self.server.ok("/rng", {"count": count})["value"])
            self.assertEqual(len(value), count)
            if count > 1:
                seen.add(value)
        self.assertEqual(len(seen), 3)
        self.assertEqual(len({self.server.ok("/rng", {"count": 32})["value"] for _ in range(50)}), 50)


if __name__ == "__main__":
    unittest.main()

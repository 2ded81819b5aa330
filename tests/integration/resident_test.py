"""Keys that were on the tokens before: found, listed, adopted, used; and never destroyed."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from group_test import DIGEST, check_es256
from hsm import MODULE, PIN, Group, kill_process
from keyward import b64, unb64

MEMBERS = ["hsm-a", "hsm-b", "hsm-c"]
RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_EC = ec.generate_private_key(ec.SECP256R1())
AES_KEY, OTHER_AES = os.urandom(32), os.urandom(32)


def der(key):
    return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def public_der(key):
    return key.public_key().public_bytes(serialization.Encoding.DER,
                                         serialization.PublicFormat.SubjectPublicKeyInfo)


def number(value):
    return {"hex": value.to_bytes((value.bit_length() + 7) // 8, "big").hex()}


def rsa_object(key, key_id, label, **rights):
    private = key.private_numbers()
    public = private.public_numbers
    return {"class": 3, "key_type": 0, "token": True, "private": True, "sensitive": True, "id": {"hex": key_id},
            "label": label, "modulus": number(public.n), "public_exponent": number(public.e),
            "private_exponent": number(private.d), "prime_1": number(private.p), "prime_2": number(private.q),
            "exponent_1": number(private.dmp1), "exponent_2": number(private.dmq1),
            "coefficient": number(private.iqmp), **rights}


def aes_object(value, key_id, label, **rights):
    return {"class": 4, "key_type": 0x1f, "token": True, "private": True, "sensitive": True, "id": {"hex": key_id},
            "label": label, "value": {"hex": value.hex()}, **rights}


def setUpModule():
    # SoftHSM syncs each object to the disk: 2,000 of them take minutes there
    if os.access("/dev/shm", os.W_OK):
        tempfile.tempdir = "/dev/shm"


def tearDownModule():
    tempfile.tempdir = None


class Prepared(Group):
    """A group whose tokens get keys by pkcs11-tool."""

    def tool(self, token, *words):
        done = subprocess.run(["pkcs11-tool", "--module", MODULE, "--token-label", token, "--login",
                               "--pin", PIN, *words], capture_output=True, text=True,
                              env=self.tokens.environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def put(self, tokens, kind, material, key_id, label, *usage):
        path = self.folder / "object.bin"
        path.write_bytes(material)
        for token in tokens:
            self.tool(token, "--write-object", str(path), "--type", kind, "--id", key_id, "--label",
                      label, *usage)

    def pair(self, tokens, key, key_id, label, *usage, public=True):
        self.put(tokens, "privkey", der(key), key_id, label, *(usage or ("--usage-sign", "--usage-decrypt")))
        if public:
            self.put(tokens, "pubkey", public_der(key), key_id, label)

    def aes(self, tokens, key, key_id, label):
        self.put(tokens, "secrkey", key, key_id, label, "--key-type", f"AES:{len(key)}",
                 "--usage-decrypt")

    def objects(self, token, *objects):
        done = subprocess.run([sys.executable, str(pathlib.Path(__file__).with_name("p11.py")), MODULE, token, PIN],
                              input=json.dumps(objects), capture_output=True, text=True,
                              env=self.tokens.environment)
        assert done.returncode == 0, done.stdout + done.stderr

    def key(self, *words, code=0):
        done = subprocess.run([self.binary, "key", *words, "-c", str(self.config)],
                              capture_output=True, text=True, timeout=200, stdin=subprocess.DEVNULL)
        assert done.returncode == code, \
            f"{words}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.log()[-3000:]}"
        return done.stdout if code == 0 else done.stderr

    def on_tokens(self):
        return json.loads(self.key("adopt", "--list", "--json"))

    def listed(self, key_id):
        rows = [row for row in self.on_tokens()["keys"] if row["id"] == key_id]
        assert len(rows) == 1, rows
        return rows[0]

    def shown(self, name):
        rows = json.loads(self.key("list", "--json"))["keys"]
        return {row["name"]: row for row in rows}[name]

    def command(self, word, name):
        self.cli("member", word, name, "-c", str(self.config))


class Resident(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = server = Prepared(MEMBERS)
        server.pair(MEMBERS, RSA_KEY, "a1", "payments")
        server.pair(MEMBERS, EC_KEY, "a2", "codesign")
        server.aes(MEMBERS, AES_KEY, "a3", "wrapper")
        server.pair(["hsm-a", "hsm-b"], OTHER_EC, "b1", "two of three")
        server.pair(["hsm-a", "hsm-c"], OTHER_RSA, "c1", "mixed")
        server.pair(["hsm-b"], RSA_KEY, "c1", "mixed")
        server.pair(["hsm-a"], OTHER_EC, "c2", "mixed ec")
        server.pair(["hsm-b"], EC_KEY, "c2", "mixed ec", public=False)
        server.aes(["hsm-a"], AES_KEY, "c3", "mixed aes")
        server.aes(["hsm-b"], OTHER_AES, "c3", "mixed aes")
        server.pair(["hsm-a"], EC_KEY, "d1", "no public half", public=False)
        server.objects("hsm-a", rsa_object(RSA_KEY, "d2", "unusable", sign=False, decrypt=False, unwrap=True),
                       rsa_object(RSA_KEY, "d3", "decrypts", sign=False, decrypt=True),
                       rsa_object(RSA_KEY, "d4", "asks", sign=True, always_authenticate=True),
                       aes_object(os.urandom(16), "d6", "ciphers nothing", encrypt=False, decrypt=False, wrap=True),
                       {"class": 4, "key_type": 0x10, "token": True, "private": True, "sign": True,
                        "id": {"hex": "d7"}, "label": "a generic secret", "value": {"hex": "00" * 32}},
                       rsa_object(RSA_KEY, "", "no id at all", sign=True))
        server.pair(["hsm-a"], EC_KEY, "d5", "twice")
        server.pair(["hsm-a"], OTHER_EC, "d5", "twice")
        server.start()

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        log = cls.server.log()
        cls.server.remove()
        assert code == 0, log[-3000:]
        assert "Sanitizer" not in log and "runtime error" not in log, log[-5000:]

    def test_1_what_is_on_the_tokens_is_shown(self):
        rows = {row["id"]: row for row in self.server.on_tokens()["keys"]}
        row = rows["a1"]
        self.assertEqual(("payments", "private", "RSA", 2048, MEMBERS),
                         (row["label"], row["class"], row["type"], row["bits"], row["members"]))
        self.assertEqual({"sign", "verify", "encrypt", "decrypt", "wrapKey", "unwrapKey"}, set(row["ops"]))
        self.assertNotIn("problem", row)
        self.assertNotIn("adopted", row)
        self.assertEqual(("EC", "P-256", ["sign", "verify"]),
                         (rows["a2"]["type"], rows["a2"]["curve"], rows["a2"]["ops"]))
        self.assertEqual(("secret", "AES", 256), (rows["a3"]["class"], rows["a3"]["type"], rows["a3"]["bits"]))
        self.assertEqual(["hsm-a", "hsm-b"], rows["b1"]["members"])
        for key_id, text in (("c1", "hold different keys"), ("d1", "no member has its public half"),
                             ("d2", "neither CKA_SIGN"), ("d4", "CKA_ALWAYS_AUTHENTICATE"),
                             ("d5", "two keys with this CKA_ID"), ("d6", "neither CKA_ENCRYPT"),
                             ("d7", "keys of this type"), ("", "no CKA_ID to find it by")):
            self.assertIn(text, rows[key_id].get("problem", "none"), key_id)
        table = self.server.key("adopt", "--list")
        self.assertIn("can be adopted", table)
        self.assertIn("CKA_ALWAYS_AUTHENTICATE", table)

    def test_2_rsa_signs_and_decrypts(self):
        said = self.server.key("adopt", "payments", "--label", "payments")
        self.assertIn("deleting or purging it in keyward removes the record alone", said)
        made = self.server.get("/keys/payments").json["key"]
        numbers = RSA_KEY.public_key().public_numbers()
        self.assertEqual(numbers.n, int.from_bytes(unb64(made["n"]), "big"))
        self.assertEqual("RSA-HSM", made["kty"])
        before = {name: self.server.operations(name) for name in MEMBERS}
        for _ in range(300):
            if all(self.server.operations(name) > before[name] for name in MEMBERS):
                break
            answer = self.server.ok("/keys/payments/sign", {"alg": "PS256", "value": b64(DIGEST)})
            RSA_KEY.public_key().verify(unb64(answer["value"]), DIGEST,
                                        padding.PSS(padding.MGF1(hashes.SHA256()), 32),
                                        utils.Prehashed(hashes.SHA256()))
        for name in MEMBERS:
            self.assertGreater(self.server.operations(name), before[name], name)
        secret = os.urandom(32)
        sealed = RSA_KEY.public_key().encrypt(secret, padding.OAEP(
            padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
        for word in ("decrypt", "unwrapkey"):
            answer = self.server.ok(f"/keys/payments/{word}", {"alg": "RSA-OAEP-256", "value": b64(sealed)})
            self.assertEqual(secret, unb64(answer["value"]))
        self.assertEqual("payments", self.server.listed("a1")["adopted"]["name"])
        self.assertIn("adopted already: default/payments", self.server.key("adopt", "again", "--id", "A1", code=1))

    def test_2_ec_signs(self):
        self.assertIn("no vault", self.server.key("adopt", "codesign", "--id", "a2", "--vault", "none", code=1))
        self.server.key("adopt", "codesign", "--id", "a2", "--ops", "sign", "--vault", "default")
        made = self.server.get("/keys/codesign").json["key"]
        self.assertEqual(["sign"], made["key_ops"])
        for _ in range(20):
            answer = self.server.ok("/keys/codesign/sign", {"alg": "ES256", "value": b64(DIGEST)})
            check_es256(made, unb64(answer["value"]))
        refused = self.server.post("/keys/codesign/verify", {"alg": "ES256", "digest": b64(DIGEST),
                                                             "value": answer["value"]})
        self.assertEqual(403, refused.status)

    def test_2_aes_wraps_and_encrypts(self):
        self.server.key("adopt", "wrapper", "--id", "a3")
        secret = os.urandom(32)
        for _ in range(20):
            wrapped = unb64(self.server.ok("/keys/wrapper/wrapkey", {"alg": "A256KW", "value": b64(secret)})["value"])
            self.assertEqual(secret, keywrap.aes_key_unwrap(AES_KEY, wrapped))
            again = self.server.ok("/keys/wrapper/unwrapkey", {"alg": "A256KW", "value": b64(wrapped)})
            self.assertEqual(secret, unb64(again["value"]))
        sealed = self.server.ok("/keys/wrapper/encrypt", {"alg": "A256GCM", "value": b64(b"plain")})
        open_ = Cipher(algorithms.AES(AES_KEY), modes.GCM(unb64(sealed["iv"]), unb64(sealed["tag"]))).decryptor()
        self.assertEqual(b"plain", open_.update(unb64(sealed["value"])) + open_.finalize())

    def test_2_decrypt_only_without_public_object(self):
        self.server.key("adopt", "decrypts", "--id", "d3")
        made = self.server.get("/keys/decrypts").json["key"]
        self.assertEqual(RSA_KEY.public_key().public_numbers().n, int.from_bytes(unb64(made["n"]), "big"))
        self.assertNotIn("sign", made["key_ops"])
        sealed = RSA_KEY.public_key().encrypt(b"x", padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
        answer = self.server.ok("/keys/decrypts/decrypt", {"alg": "RSA-OAEP", "value": b64(sealed)})
        self.assertEqual(b"x", unb64(answer["value"]))

    def test_3_different_material_is_refused_with_both_names(self):
        for key_id in ("c1", "c2", "c3"):
            said = self.server.key("adopt", "mixed", "--id", key_id, code=1)
            self.assertIn("hsm-a", said, key_id)
            self.assertIn("hsm-b", said, key_id)
            self.assertIn("different keys under this id", said, key_id)
        self.assertEqual(404, self.server.get("/keys/mixed").status)
        for member in self.server.members().values():  # a trial is no charge against a member
            self.assertTrue(member["serving"], member)

    def test_3_unfit_keys_are_refused_with_the_reason(self):
        for key_id, text in (("d1", "public half"), ("d2", "CKA_SIGN"), ("d4", "CKA_ALWAYS_AUTHENTICATE"),
                             ("d5", "two keys"), ("d6", "CKA_DECRYPT"), ("d7", "this type"), ("99", "no key on the tokens"), ("xyz", "hexadecimal")):
            self.assertIn(text, self.server.key("adopt", "unfit", "--id", key_id, code=1), key_id)
        self.assertIn("do not allow", self.server.key("adopt", "unfit", "--id", "b1", "--ops",
                                                      "sign,decrypt", code=1))
        self.assertIn("no CKA_ID", self.server.key("adopt", "unfit", "--label", "no id at all", code=1))
        self.server.key("adopt", "unfit", code=2)
        self.server.key("adopt", "un/fit", "--id", "a1", code=2)
        self.assertEqual(404, self.server.get("/keys/unfit").status)

    def test_3_no_key_gets_two_names_at_once(self):
        self.server.pair(["hsm-a", "hsm-b"], OTHER_RSA, "e1", "wanted")
        running = [subprocess.Popen([self.server.binary, "key", "adopt", f"wanted-{i}", "--id", "e1", "-c",
                                     str(self.server.config)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    text=True, stdin=subprocess.DEVNULL) for i in range(6)]
        ended = [(*process.communicate(timeout=60), process.returncode) for process in running]
        self.assertEqual(1, sum(code == 0 for _, _, code in ended), ended)
        for _, said, code in ended:
            if code:
                self.assertRegex(said, "is being adopted now|it is adopted already")
        self.assertEqual(1, sum(self.server.get(f"/keys/wanted-{i}").status == 200 for i in range(6)))

    def test_4_a_member_without_the_key_is_passed_over(self):
        said = self.server.key("adopt", "partial", "--id", "b1")
        self.assertIn("not on hsm-c", said)
        made = self.server.get("/keys/partial").json["key"]
        before = self.server.operations("hsm-a"), self.server.operations("hsm-b")
        for _ in range(30):
            answer = self.server.ok("/keys/partial/sign", {"alg": "ES256", "value": b64(DIGEST)})
            check_es256(made, unb64(answer["value"]))
        after = self.server.operations("hsm-a"), self.server.operations("hsm-b")
        self.assertGreaterEqual(sum(after) - sum(before), 30)
        self.assertTrue(self.server.members()["hsm-c"]["serving"])
        self.assertEqual(["hsm-a", "hsm-b"], self.server.shown("partial")["members"])
        # replicated, and looked at again when the operator says so
        self.server.pair(["hsm-c"], OTHER_EC, "b1", "two of three")
        for name in ("hsm-a", "hsm-b"):
            self.server.command("drain", name)
        try:
            refused = self.server.post("/keys/partial/sign", {"alg": "ES256", "value": b64(DIGEST)})
            self.assertEqual(503, refused.status, refused.body)
            self.server.command("sync", "hsm-c")
            deadline = time.monotonic() + 20
            while self.server.post("/keys/partial/sign", {"alg": "ES256", "value": b64(DIGEST)}).status != 200:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.1)
        finally:
            for name in ("hsm-a", "hsm-b"):
                self.server.command("activate", name)
        self.server.wait_serving(MEMBERS)

    def test_5_listing_says_kind_holders_and_where_it_is_loaded(self):
        self.server.create("plain", "EC", crv="P-256")
        self.server.create("blob", "EC-HSM", crv="P-256")
        for _ in range(30):
            self.server.ok("/keys/blob/sign", {"alg": "ES256", "value": b64(DIGEST)})
        rows = {name: self.server.shown(name) for name in ("plain", "blob", "payments")}
        self.assertEqual(["software", "hsm", "resident"], [rows[n]["kind"] for n in ("plain", "blob", "payments")])
        self.assertEqual(["core"], rows["plain"]["members"])
        self.assertEqual(MEMBERS, rows["blob"]["members"])
        self.assertEqual(MEMBERS, rows["payments"]["members"])
        self.assertEqual([], rows["plain"]["loaded"])
        self.assertGreaterEqual(len(rows["blob"]["loaded"]), 2)
        self.assertIn("resident", self.server.key("list"))

    def test_6_one_member_dies_and_nobody_notices(self):
        made = self.server.get("/keys/codesign").json["key"]
        bad, good, stop = [], [0], threading.Event()

        def run():
            client = self.server.clone()
            while not stop.is_set():
                answer = client.post("/keys/codesign/sign", {"alg": "ES256", "value": b64(DIGEST)})
                if answer.status != 200:
                    bad.append((answer.status, answer.body))
                else:
                    check_es256(made, unb64(answer.json["value"]))
                    good[0] += 1
            client.close()

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            time.sleep(0.5)
            pid = self.server.host_pid("hsm-a")
            kill_process(pid)
            deadline = time.monotonic() + 30
            while self.server.members()["hsm-a"].get("host_pid") in (pid, None):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.05)
            self.server.wait_serving(["hsm-a"])
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual([], bad[:3])
        self.assertGreater(good[0], 100)
        for name in ("hsm-b", "hsm-c"):  # the host that came back finds the key again
            self.server.command("drain", name)
        try:
            answer = self.server.ok("/keys/codesign/sign", {"alg": "ES256", "value": b64(DIGEST)})
            check_es256(made, unb64(answer["value"]))
        finally:
            for name in ("hsm-b", "hsm-c"):
                self.server.command("activate", name)
            self.server.wait_serving(MEMBERS)

    def test_7_deletion_and_zeroize_leave_the_token_alone(self):
        name = "payments"
        self.assertEqual(200, self.server.request("DELETE", f"/keys/{name}").status)
        self.assertTrue(self.server.listed("a1")["adopted"]["deleted"])
        self.assertEqual(204, self.server.request("DELETE", f"/deletedkeys/{name}").status)
        for member in MEMBERS:
            self.server.command("sync", member)
        time.sleep(0.5)
        row = self.server.listed("a1")
        self.assertEqual(MEMBERS, row["members"])
        self.assertNotIn("adopted", row)
        said = self.server.cli("member", "zeroize", "hsm-c", "-c", str(self.server.config))
        self.assertIn("zeroized", said)
        self.assertIn("keys that were on the token before", said)
        objects = self.server.tool("hsm-c", "--list-objects", "--type", "privkey")
        for label in ("payments", "codesign"):
            self.assertIn(label, objects)
        self.assertNotIn("keyward-domain", self.server.tool("hsm-c", "--list-objects"))
        self.server.command("activate", "hsm-c")
        self.server.wait_serving(MEMBERS)
        self.server.key("adopt", "payments", "--id", "a1")
        self.server.ok("/keys/payments/sign", {"alg": "RS256", "value": b64(DIGEST)})

    def test_8_restart_of_the_gateway_keeps_them(self):
        self.assertEqual(0, self.server.stop())
        self.server.process = None
        self.server.start()
        made = self.server.get("/keys/codesign").json["key"]
        for _ in range(10):
            answer = self.server.ok("/keys/codesign/sign", {"alg": "ES256", "value": b64(DIGEST)})
            check_es256(made, unb64(answer["value"]))
        secret = os.urandom(16)
        wrapped = unb64(self.server.ok("/keys/wrapper/wrapkey", {"alg": "A256KW", "value": b64(secret)})["value"])
        self.assertEqual(secret, keywrap.aes_key_unwrap(AES_KEY, wrapped))

    def test_9_another_key_put_under_the_id_later_never_serves(self):
        for token, label, kind in (("hsm-a", "wrapper", "secrkey"), ("hsm-b", "codesign", "privkey")):
            key_id = "a3" if kind == "secrkey" else "a2"
            self.server.tool(token, "--delete-object", "--type", kind, "--id", key_id)
        self.server.aes(["hsm-a"], OTHER_AES, "a3", "wrapper")
        self.server.put(["hsm-b"], "privkey", der(OTHER_EC), "a2", "codesign", "--usage-sign")
        for name in MEMBERS:
            self.server.command("sync", name)
        time.sleep(0.5)
        secret = os.urandom(16)
        for _ in range(60):
            wrapped = unb64(self.server.ok("/keys/wrapper/wrapkey", {"alg": "A256KW", "value": b64(secret)})["value"])
            self.assertEqual(secret, keywrap.aes_key_unwrap(AES_KEY, wrapped))
        made = self.server.get("/keys/codesign").json["key"]
        for _ in range(60):
            answer = self.server.ok("/keys/codesign/sign", {"alg": "ES256", "value": b64(DIGEST)})
            check_es256(made, unb64(answer["value"]))
        for member in self.server.members().values():
            self.assertTrue(member["serving"], member)


class Thousand(unittest.TestCase):
    """As many resident keys as make a difference to a token that looks at every object."""

    def test_thousand_keys_are_listed_adopted_and_used(self):
        count, adopted = 1000, 40
        server = Prepared(["hsm-a", "hsm-b"], member=", loaded_keys: 16")
        self.addCleanup(server.remove)
        values = [os.urandom(32) for _ in range(count)]
        objects = [aes_object(value, f"{i:08x}", f"key {i}", encrypt=True, decrypt=True)
                   for i, value in enumerate(values)]
        for token in ("hsm-a", "hsm-b"):
            server.objects(token, *objects)
        server.start()
        began = time.monotonic()
        rows = server.on_tokens()["keys"]
        took = time.monotonic() - began
        print(f"\n    {len(rows)} keys on two tokens listed in {took:.1f} s", flush=True)
        self.assertEqual(count, len(rows))
        self.assertTrue(all(row["members"] == ["hsm-a", "hsm-b"] and "problem" not in row for row in rows))
        for i in range(adopted):
            server.key("adopt", f"k-{i}", "--id", f"{i:08x}")
        began = time.monotonic()
        for i in list(range(adopted)) * 3:  # more than a host keeps loaded
            secret = os.urandom(16)
            wrapped = unb64(server.ok(f"/keys/k-{i}/wrapkey", {"alg": "A256KW", "value": b64(secret)})["value"])
            self.assertEqual(secret, keywrap.aes_key_unwrap(values[i], wrapped))
        print(f"    {adopted * 3} wraps with {adopted} of them in {time.monotonic() - began:.1f} s", flush=True)
        listed = json.loads(server.key("list", "--json"))["keys"]
        self.assertEqual(adopted, len(listed))
        self.assertTrue(all(row["members"] == ["hsm-a", "hsm-b"] for row in listed))
        self.assertLessEqual(max(sum(m in row["loaded"] for row in listed) for m in ("hsm-a", "hsm-b")), 16)
        self.assertEqual(adopted, sum("adopted" in row for row in server.on_tokens()["keys"]))
        self.assertEqual(0, server.stop())


if __name__ == "__main__":
    unittest.main(verbosity=2)

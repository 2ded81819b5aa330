"""A group of SoftHSM members: keys travel between them, and their troubles stay theirs."""
import hashlib
import json
import os
import signal
import time
import unittest

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from hsm import Group, Load, kill_process, stop_process
from keyward import VERSION, b64, unb64

DIGEST = hashlib.sha256(b"a message").digest()


def number(text):
    return int.from_bytes(unb64(text), "big")


def check_rs256(key, signature):
    public = rsa.RSAPublicNumbers(number(key["e"]), number(key["n"])).public_key()
    public.verify(signature, DIGEST, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))


def check_es256(key, signature, digest=DIGEST):
    public = ec.EllipticCurvePublicNumbers(number(key["x"]), number(key["y"]), ec.SECP256R1()).public_key()
    der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"),
                                     int.from_bytes(signature[32:], "big"))
    public.verify(der, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


class TwoTokens(unittest.TestCase):
    """A key generated in one member is used in the other."""

    @classmethod
    def setUpClass(cls):
        # members are drained here one by one, and keys made by the one that is left
        cls.server = Group(["hsm-a", "hsm-b"], group="  min_copies: 1\n").start()

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        cls.server.remove()
        assert code == 0

    def only(self, name):
        """Drains every other member, so that `name` alone serves."""
        for member in ("hsm-a", "hsm-b"):
            self.server.cli("member", "activate" if member == name else "drain", member, "-c",
                            str(self.server.config))
        deadline = time.monotonic() + 10
        other = "hsm-b" if name == "hsm-a" else "hsm-a"
        while time.monotonic() < deadline:
            members = self.server.members()
            if members[name]["serving"] and not members[other]["serving"]:
                return
            time.sleep(0.05)
        self.fail(f"members did not change: {self.server.members()}")

    def test_keys_travel_wrapped(self):
        made = {}
        for made_in, used_in in (("hsm-a", "hsm-b"), ("hsm-b", "hsm-a")):
            self.only(made_in)
            for kty, more in (("RSA-HSM", {}), ("EC-HSM", {"crv": "P-256"}), ("oct-HSM", {})):
                name = f"{made_in}-{kty}"
                made[kty] = name, self.server.create(name, kty, **more)["key"]
            self.only(used_in)
            before = self.server.operations(used_in)
            name, key = made["RSA-HSM"]
            signed = self.server.ok(f"/keys/{name}/sign", {"alg": "RS256", "value": b64(DIGEST)})
            check_rs256(key, unb64(signed["value"]))
            name, key = made["EC-HSM"]
            signed = self.server.ok(f"/keys/{name}/sign", {"alg": "ES256", "value": b64(DIGEST)})
            check_es256(key, unb64(signed["value"]))
            name, _ = made["oct-HSM"]
            secret = os.urandom(32)
            wrapped = self.server.ok(f"/keys/{name}/wrapkey", {"alg": "A256KW", "value": b64(secret)})
            self.only(made_in)
            back = self.server.ok(f"/keys/{name}/unwrapkey", {"alg": "A256KW", "value": wrapped["value"]})
            self.assertEqual(secret, unb64(back["value"]))
            self.assertGreaterEqual(self.server.operations(used_in), before + 3)
        for name in ("hsm-a", "hsm-b"):
            self.server.cli("member", "activate", name, "-c", str(self.server.config))

    def test_no_private_key_in_the_clear(self):
        """The store and the gateway's memory hold no private half of a key made in a member."""
        self.server.wait_serving(["hsm-a"]) if self.server.members()["hsm-a"]["serving"] else None
        key = self.server.create("not-in-the-clear", "RSA-HSM")["key"]
        self.server.ok("/keys/not-in-the-clear/sign", {"alg": "RS256", "value": b64(DIGEST)})
        n = number(key["n"])
        factor = find_factor(self.server.process.pid, n, 128)
        self.assertIsNone(factor, "a prime of the key is in the gateway's memory")
        # the search itself finds what is there: the same key made by the core
        soft = self.server.create("in-the-core", "RSA")["key"]
        self.server.ok("/keys/in-the-core/sign", {"alg": "RS256", "value": b64(DIGEST)})
        self.assertIsNotNone(find_factor(self.server.process.pid, number(soft["n"]), 128))

    def test_poison_does_not_eject(self):
        """Ciphertexts that cannot be decrypted are the caller's fault, never a member's."""
        self.server.create("poison", "RSA-HSM")
        states = {n: m["health"] for n, m in self.server.members().items()}
        for attempt in range(40):
            answer = self.server.post("/keys/poison/decrypt", {
                "alg": ("RSA-OAEP", "RSA1_5")[attempt % 2], "value": b64(os.urandom(255).rjust(256, b"\0"))})
            self.assertEqual(400, answer.status, answer.body)
            self.assertEqual("BadParameter", answer.code)
        self.assertEqual(states, {n: m["health"] for n, m in self.server.members().items()})


def find_factor(pid, n, size):
    """A prime factor of n that stands in the process's writable memory, at any 8-byte boundary, in
    either byte order."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, permissions = line.split()[:2]
            if "w" not in permissions or "[v" in line:
                continue
            low, high = (int(x, 16) for x in span.split("-"))
            try:
                memory.seek(low)
                data = memory.read(high - low)
            except OSError:
                continue
            for at in range(0, len(data) - size + 1, 8):
                # a factor is odd and has its top bit set; anything else is skipped cheaply
                first, last = data[at], data[at + size - 1]
                if last & 0x80 and first & 1:
                    value = int.from_bytes(data[at:at + size], "little")
                    if n % value == 0:
                        return value
                if first & 0x80 and last & 1:
                    value = int.from_bytes(data[at:at + size], "big")
                    if n % value == 0:
                        return value
    return None


class Failover(unittest.TestCase):
    """Three members, one of them standby; hosts are killed and stopped under load."""

    def test_killed_and_stopped_hosts_cost_no_request(self):
        server = Group(["hsm-a", "hsm-b", "hsm-c"], standby=["hsm-c"]).start()
        try:
            key = server.create("k", "RSA-HSM")["key"]
            path = f"/keys/k/{key['kid'].rsplit('/', 1)[1]}/sign?{VERSION}"
            body = json.dumps({"alg": "RS256", "value": b64(DIGEST)}).encode()
            load = Load(server, path, body, seconds=16)
            time.sleep(2)
            self.assertEqual(0, server.operations("hsm-c"), "a standby took work without need")
            kill_process(server.host_pid("hsm-a"))
            stopped = server.host_pid("hsm-b")
            stop_process(stopped)
            time.sleep(8)
            self.assertGreater(server.operations("hsm-c"), 0, "the standby did not serve")
            try:
                os.kill(stopped, signal.SIGCONT)
            except ProcessLookupError:
                pass  # killed by the gateway meanwhile, and replaced
            result = load.end()
            print(result, flush=True)
            self.assertGreater(result["succeeded"], 100)
            self.assertEqual(0, result["failed"] + result["errored"] + result["timeout"] + result["bad"])
            # both are back, in the same process, and serve
            server.wait_serving(["hsm-a", "hsm-b"], 60)
            before = {name: server.operations(name) for name in ("hsm-a", "hsm-b")}
            again = Load(server, path, body, seconds=4).end()
            self.assertEqual(0, again["failed"] + again["errored"] + again["timeout"] + again["bad"])
            for name, count in before.items():
                self.assertGreater(server.operations(name), count, f"{name} does not serve again")
            signed = server.ok("/keys/k/sign", {"alg": "RS256", "value": b64(DIGEST)})
            check_rs256(key, unb64(signed["value"]))
            with self.assertRaises(InvalidSignature):
                check_rs256(key, bytes([unb64(signed["value"])[0] ^ 1]) + unb64(signed["value"])[1:])
        finally:
            code = server.stop()
            log = server.log()
            server.remove()
        self.assertEqual(0, code, log[-3000:])


if __name__ == "__main__":
    unittest.main()

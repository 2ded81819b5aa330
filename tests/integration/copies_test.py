"""New keys exist twice before they are promised, and many keys are served by a member with little room."""
import concurrent.futures
import hashlib
import os
import random
import subprocess
import tempfile
import threading
import time
import unittest

from cryptography.hazmat.primitives.asymmetric import ec

from group_test import DIGEST, check_es256, number
from hsm import MODULE, Group, kill_process
from keyward import b64, unb64


def jwk_ec():
    private = ec.generate_private_key(ec.SECP256R1()).private_numbers()
    public = private.public_numbers
    size = lambda n: b64(n.to_bytes(32, "big"))
    return {"kty": "EC-HSM", "crv": "P-256", "x": size(public.x), "y": size(public.y),
            "d": size(private.private_value)}


class MinCopies(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Group(["hsm-a", "hsm-b"]).start()

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        cls.server.remove()
        assert code == 0

    def command(self, word, name):
        self.server.cli("member", word, name, "-c", str(self.server.config))
        deadline = time.monotonic() + 10
        while self.server.members()[name]["serving"] != (word == "activate"):
            self.assertLess(time.monotonic(), deadline, self.server.members())
            time.sleep(0.05)

    def test_both_members_use_a_new_key_before_it_is_answered(self):
        for name, kty, more in (("c-ec", "EC-HSM", {"crv": "P-256"}), ("c-oct", "oct-HSM", {}),
                                ("c-rsa", "RSA-HSM", {})):
            before = {m: self.server.operations(m) for m in ("hsm-a", "hsm-b")}
            self.server.create(name, kty, **more)
            after = {m: self.server.operations(m) for m in ("hsm-a", "hsm-b")}
            for member in before:
                self.assertGreater(after[member], before[member], f"{member} never saw {name}")

    def test_an_import_is_used_on_both(self):
        before = {m: self.server.operations(m) for m in ("hsm-a", "hsm-b")}
        answer = self.server.request("PUT", "/keys/imported", {"key": jwk_ec()})
        self.assertEqual(200, answer.status, answer.body)
        for member in before:
            self.assertGreater(self.server.operations(member), before[member], member)
        signed = self.server.ok("/keys/imported/sign", {"alg": "ES256", "value": b64(DIGEST)})
        check_es256(answer.json["key"], unb64(signed["value"]))

    def test_one_member_is_too_few(self):
        self.server.create("before", "EC-HSM", crv="P-256")
        self.command("drain", "hsm-b")
        try:
            for answer in (self.server.post("/keys/alone/create", {"kty": "EC-HSM", "crv": "P-256"}),
                           self.server.request("PUT", "/keys/alone", {"key": jwk_ec()})):
                self.assertEqual(503, answer.status, answer.body)
                self.assertIn("min_copies", answer.json["error"]["message"])
                self.assertTrue(answer.headers["retry-after"])
            # nothing was created, what is there goes on, and software keys need no member
            self.assertEqual(404, self.server.get("/keys/alone").status)
            self.server.ok("/keys/before/sign", {"alg": "ES256", "value": b64(DIGEST)})
            self.server.create("soft", "EC", crv="P-256")
        finally:
            self.command("activate", "hsm-b")
        self.server.create("alone", "EC-HSM", crv="P-256")


SPY = "/usr/lib/x86_64-linux-gnu/pkcs11-spy.so"


# a host sees little of the gateway's environment, so the spy's settings are built in
SHIM = """
#include <dlfcn.h>
#include <stdlib.h>
unsigned long C_GetFunctionList(void **out)
{
    setenv("PKCS11SPY", "%s", 1);
    setenv("PKCS11SPY_OUTPUT", "%s", 1);
    void *spy = dlopen("%s", RTLD_NOW);
    unsigned long (*get)(void **) = spy ? (unsigned long (*)(void **))dlsym(spy, "C_GetFunctionList") : 0;
    return get ? get(out) : 5;
}
"""


def spy_module(folder, calls):
    source, module = os.path.join(folder, "spy.c"), os.path.join(folder, "spy.so")
    with open(source, "w") as stream:
        stream.write(SHIM % (MODULE, calls, SPY))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", module, source], check=True)
    return module


@unittest.skipUnless(os.path.exists(SPY), "pkcs11-spy (package opensc) writes down what a host calls")
class Forgotten(unittest.TestCase):
    """What a deleted, disabled or refused key leaves in a token's memory goes at once."""

    def test_hosts_drop_keys(self):
        with tempfile.TemporaryDirectory() as folder:
            calls = os.path.join(folder, "calls")
            server = Group(["hsm-a"], module=spy_module(folder, calls)).start()
            try:
                def destroyed():
                    with open(calls, errors="replace") as stream:
                        return stream.read().count("C_DestroyObject")

                def await_more(before, what):
                    deadline = time.monotonic() + 10
                    while destroyed() <= before:
                        self.assertLess(time.monotonic(), deadline, f"no object went with the {what}")
                        time.sleep(0.1)

                def use(name):
                    self.assertEqual(200, server.post(f"/keys/{name}/sign",
                                                      {"alg": "ES256", "value": b64(DIGEST)}).status)

                for name in ("gone", "off", "stays"):
                    server.create(name, "EC-HSM", crv="P-256")
                    use(name)
                time.sleep(1)
                before = destroyed()
                use("stays")
                time.sleep(1)
                self.assertEqual(before, destroyed(), "a key in use was dropped")
                self.assertEqual(200, server.request("DELETE", "/keys/gone").status)
                await_more(before, "deletion")
                before = destroyed()
                answer = server.request("PATCH", "/keys/off", {"attributes": {"enabled": False}})
                self.assertEqual(200, answer.status, answer.body)
                await_more(before, "disabling")
                # neither comes back by itself, and a key that may be used again is loaded again
                for name, status in (("gone", 404), ("off", 403)):
                    answer = server.post(f"/keys/{name}/sign", {"alg": "ES256", "value": b64(DIGEST)})
                    self.assertEqual(status, answer.status, answer.body)
                kill_process(server.host_pid("hsm-a"))
                server.request("POST", "/deletedkeys/gone/recover")
                server.request("PATCH", "/keys/off", {"attributes": {"enabled": True}})
                time.sleep(0.5)
                server.wait_serving(["hsm-a"])
                for name in ("gone", "off", "stays"):
                    use(name)
            finally:
                code = server.stop()
                log = server.log()
                server.remove()
            self.assertEqual(0, code, log[-3000:])


class ManyKeys(unittest.TestCase):
    """2,000 keys from a member that has room for 64."""
    KEYS, ROOM, CLIENTS = 2000, 64, 8

    def test_2000_keys_of_64(self):
        server = Group(["hsm-a"], member=f", loaded_keys: {self.ROOM}").start()
        local, clones = threading.local(), []

        def connection():
            if not hasattr(local, "server"):
                local.server = server.clone()
                clones.append(local.server)
            return local.server

        def create(i):
            return connection().create(f"k{i}", "EC-HSM", crv="P-256")["key"]

        def sign(i):
            digest = hashlib.sha256(os.urandom(16)).digest()
            signed = connection().ok(f"/keys/k{i}/sign", {"alg": "ES256", "value": b64(digest)})
            check_es256(keys[i], unb64(signed["value"]), digest)

        try:
            began = time.monotonic()
            with concurrent.futures.ThreadPoolExecutor(self.CLIENTS) as pool:
                keys = list(pool.map(create, range(self.KEYS)))
                self.assertEqual(self.KEYS, len({number(key["x"]) for key in keys}))
                created = time.monotonic()
                order = list(range(self.KEYS))
                random.shuffle(order)
                self.assertEqual(self.KEYS, len(list(pool.map(sign, order))))
            ended = time.monotonic()
            print(f"{self.KEYS} keys made in {created - began:.1f} s, one signature of each in random "
                  f"order in {ended - created:.1f} s, {self.ROOM} loaded", flush=True)
            self.assertTrue(server.members()["hsm-a"]["serving"])
        finally:
            for clone in clones:
                clone.close()
            code = server.stop()
            log = server.log()
            server.remove()
        self.assertEqual(0, code, log[-3000:])


if __name__ == "__main__":
    unittest.main()

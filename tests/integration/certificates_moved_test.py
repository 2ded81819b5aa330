"""Certificates with all that belongs to them in other places: carried by export and import, by one certificate's backup into
another vault, and with their keys on real tokens."""

import base64
import datetime
import hashlib
import os
import signal
import time
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import pkcs12

from certificates_test import PEM, PKCS12, Authority, cert_of, der, make, pem, policy, same_key, std, wait
from export_test import export, run_import, sibling
from hsm import Group
from keyward import Case, Server, b64, unb64

KINDS = ("certificates", "keys", "secrets")
ISSUER = {"provider": "DigiCert", "org_details": {"id": "org"}}
CONTACTS = [{"email": "a@b.example", "name": "A"}, {"email": "c@d.example"}]


class At:
    """A server as one of its vaults shows it."""

    def __init__(self, server, host):
        self.server, self.host, self.port = server, host, server.port

    def request(self, *words, **more):
        return self.server.request(*words, headers={"Host": f"{self.host}:{self.port}"}, **more)

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body, **more):
        return self.request("POST", path, body, **more)

    def ok(self, path, body):
        answer = self.post(path, body)
        assert answer.status == 200, (path, answer.status, answer.body)
        return answer.json


def version_of(bundle):
    return bundle["id"].rsplit("/", 1)[1]


def sign(server, name, version, cert):
    """The key of a certificate's version signs; the certificate verifies."""
    digest, public = hashlib.sha256(b"x").digest(), cert.public_key()
    alg = "RS256" if isinstance(public, rsa.RSAPublicKey) else "ES256"
    raw = unb64(server.ok(f"/keys/{name}/{version}/sign", {"alg": alg, "value": b64(digest)})["value"])
    if alg == "RS256":
        public.verify(raw, digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
    else:
        halves = [int.from_bytes(half, "big") for half in (raw[:32], raw[32:])]
        public.verify(utils.encode_dss_signature(*halves), digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


def without_place(answer):
    """What is said, without the host and port it is said at; where an object moves to, it was not changed."""
    def strip(value):
        if isinstance(value, dict):
            return {k: strip(v) for k, v in value.items()}
        if isinstance(value, list):
            return [strip(v) for v in value]
        return value.split("/", 3)[3] if isinstance(value, str) and value.startswith("https://") else value
    assert answer.status == 200, answer.body
    return strip(answer.json)


def everything(server, name):
    seen = {"policy": without_place(server.get(f"/certificates/{name}/policy"))}
    for kind in KINDS:
        seen[kind] = without_place(server.get(f"/{kind}/{name}/versions"))
        for item in server.get(f"/{kind}/{name}/versions").json["value"]:
            version = (item.get("kid") if kind == "keys" else item["id"]).rsplit("/", 1)[1]
            seen[kind, version] = without_place(server.get(f"/{kind}/{name}/{version}"))
    return seen


def fill(server):
    """Certificates of each way to have one; their names, and those that are not there to be read."""
    renewing = {"lifetime_actions": [{"trigger": {"lifetime_percentage": 80}, "action": {"action_type": "AutoRenew"}}]}
    make(server, "web", {"policy": policy(kty="RSA", **renewing), "tags": {"t": "1"}})
    make(server, "web", {"policy": policy(kty="EC", secret_props={"contentType": PEM}, **renewing)})
    make(server, "hsm", {"policy": policy(kty="EC-HSM")})
    make(server, "closed", {"policy": policy(kty="RSA", key={"exportable": False})})
    make(server, "gone", {"policy": policy(kty="EC")})
    assert server.request("DELETE", "/certificates/gone").status == 200
    assert server.post("/certificates/open/create", {"policy": policy(issuer="Unknown", kty="EC")}).status == 202
    assert server.request("PUT", "/certificates/issuers/iss", ISSUER).status == 200
    assert server.request("PUT", "/certificates/contacts", {"contacts": CONTACTS}).status == 200
    return ("web", "hsm", "closed")


class Exported(unittest.TestCase):
    def setUp(self):
        self.here = self.start(Server())

    def start(self, server):
        server.start()
        self.addCleanup(self.end, server)
        return server

    def end(self, server):
        self.assertEqual(server.stop(), 0)
        server.remove()

    def check(self, server, before, request):
        """All that was there is there, and goes on to work."""
        for name, seen in before.items():
            self.assertEqual(everything(server, name), seen)
            for item in server.get(f"/certificates/{name}/versions").json["value"]:
                version = version_of(item)
                sign(server, name, version, cert_of(server.get(f"/certificates/{name}/{version}").json))
        self.assertEqual(server.get("/certificates/issuers/iss").json["org_details"], ISSUER["org_details"])
        self.assertEqual(server.get("/certificates/contacts").json["contacts"], CONTACTS)
        self.assertEqual(server.post("/deletedcertificates/gone/recover", b"").status, 200)
        self.assertEqual(server.get("/secrets/gone").json["managed"], True)
        # the open operation ends here, with the key that came with it
        self.assertEqual(server.get("/certificates/open/pending").json["csr"], request)
        leaf = Authority().sign(base64.b64decode(request))
        merged = server.post("/certificates/open/pending/merge", {"x5c": [std(der(leaf))]})
        self.assertEqual(merged.status, 201, merged.body)
        sign(server, "open", version_of(merged.json), leaf)
        # a policy that came along is the one that the next version is made by
        again = server.post("/certificates/web/create", {})
        self.assertEqual(again.status, 202, again.body)
        self.assertEqual(wait(server, "web")["status"], "completed")
        self.assertEqual(server.get("/keys/web").json["key"]["kty"], "EC")
        self.assertEqual(server.get("/secrets/web").json["contentType"], PEM)

    def test_into_another_gateway(self):
        names = fill(self.here)
        before = {name: everything(self.here, name) for name in names}
        request = self.here.get("/certificates/open/pending").json["csr"]
        data, _ = export(self.here)
        there = self.start(sibling(self.here))
        job = run_import(there, data)
        self.assertEqual(job["status"], "Succeeded", job)
        self.check(there, before, request)

    def test_into_another_vault(self):
        names = fill(At(self.here, "one.localhost"))
        one, two = At(self.here, "one.localhost"), At(self.here, "two.localhost")
        before = {name: everything(one, name) for name in names}
        request = one.get("/certificates/open/pending").json["csr"]
        data, _ = export(one)
        job = run_import(two, data)
        self.assertEqual(job["status"], "Succeeded", job)
        self.check(two, before, request)
        # the first vault has what it had: of the two that now come from one operation each has its own
        self.assertEqual(one.get("/certificates/open/pending").json["status"], "inProgress")
        for name, seen in before.items():
            self.assertEqual(everything(one, name), seen)


class Restored(Case):
    """One certificate's backup, in another vault of the domain."""

    def test_into_another_vault(self):
        one, two = At(self.server, "red.localhost"), At(self.server, "blue.localhost")
        for name in fill(one):
            blob = one.ok(f"/certificates/{name}/backup", None)["value"]
            before = everything(one, name)
            self.assertEqual(two.get(f"/certificates/{name}/").status, 404)
            back = two.ok("/certificates/restore", {"value": blob})
            self.assertTrue(back["id"].startswith(f"https://blue.localhost:{self.server.port}/"), back["id"])
            self.assertEqual(everything(two, name), before)
            for item in two.get(f"/certificates/{name}/versions").json["value"]:
                sign(two, name, version_of(item), cert_of(two.get(f"/certificates/{name}/{version_of(item)}").json))
            # twice is once too often, and the vault it came from was not touched
            self.expect(two.post("/certificates/restore", {"value": blob}), 409, "Conflict")
            self.assertEqual(everything(one, name), before)
        # nothing of a vault but the certificate goes along
        self.expect(two.get("/certificates/issuers/iss"), 404, "CertificateIssuerNotFound")
        self.expect(two.get("/certificates/contacts"), 404, "ContactsNotFound")
        # purged here, alive there
        for path in ("/certificates/web", "/deletedcertificates/web"):
            self.assertIn(one.request("DELETE", path).status, (200, 204))
        made = two.get("/certificates/web/").json
        sign(two, "web", version_of(made), cert_of(made))

    def test_name_that_is_taken(self):
        one, two = At(self.server, "green.localhost"), At(self.server, "white.localhost")
        make(one, "cert", {"policy": policy(kty="EC")})
        blob = one.ok("/certificates/cert/backup", None)["value"]
        two.request("PUT", "/secrets/cert", {"value": "mine"})  # one of its three names
        self.expect(two.post("/certificates/restore", {"value": blob}), 409, "Conflict")
        self.assertEqual(two.get("/secrets/cert").json["value"], "mine")
        for kind in ("certificates", "keys"):
            self.assertEqual(two.get(f"/{kind}/cert").status, 404)


class Forms(Case):
    """previousVersion and outContentType of the secret of a certificate."""

    def test_previous_version(self):
        made = [make(self.server, "line", {"policy": policy(kty="EC")}) for _ in range(3)]
        versions = [version_of(bundle) for bundle in made]
        for version, previous in zip(versions, [None, *versions]):
            self.assertEqual(self.server.get(f"/secrets/line/{version}").json.get("previousVersion"), previous)
        self.assertEqual(self.server.get("/secrets/line").json["previousVersion"], versions[1])
        # over changes of the secret with its certificate, a deletion and a backup
        self.expect(self.server.request("PATCH", f"/certificates/line/{versions[2]}", {"tags": {"a": "b"}}), 200)
        self.assertEqual(self.server.get("/secrets/line").json["previousVersion"], versions[1])
        blob = self.server.ok("/certificates/line/backup", None)["value"]
        self.expect(self.server.request("DELETE", "/certificates/line"), 200)
        self.expect(self.server.request("DELETE", "/deletedcertificates/line"), 204)
        self.server.ok("/certificates/restore", {"value": blob})
        self.assertEqual(self.server.get("/secrets/line").json["previousVersion"], versions[1])
        # lists are without it, and so are secrets of nobody's certificate
        self.assertNotIn(b"previousVersion", self.server.get("/secrets/line/versions").body)
        for value in ("1", "2"):
            self.expect(self.server.request("PUT", "/secrets/plain", {"value": value}), 200)
        self.assertNotIn("previousVersion", self.server.get("/secrets/plain").json)

    def as_form(self, name, form):
        return self.server.get(f"/secrets/{name}?outContentType={form}")

    def test_pfx_to_pem(self):
        authority = Authority()
        for kty, key, private in (("RSA", {}, True), ("EC", {"crv": "P-521"}, True), ("RSA", {"exportable": False}, False),
                                  ("EC-HSM", {}, False)):
            name = f"form-{kty}-{len(key)}-{int(private)}"
            operation = self.expect(self.server.post(f"/certificates/{name}/create",
                                                     {"policy": policy(issuer="Unknown", kty=kty, key=key)}), 202).json
            leaf = authority.sign(base64.b64decode(operation["csr"]))
            chain = [std(der(leaf)), std(der(authority.cert))]
            self.expect(self.server.post(f"/certificates/{name}/pending/merge", {"x5c": chain}), 201)
            plain = self.server.get(f"/secrets/{name}").json
            self.assertEqual(self.as_form(name, PKCS12).json, plain)
            secret = self.expect(self.as_form(name, PEM), 200).json
            self.assertEqual({k: v for k, v in secret.items() if k != "value"},
                             {**{k: v for k, v in plain.items() if k != "value"}, "contentType": PEM})
            text = secret["value"].encode()
            begin = b"-----BEGIN CERTIFICATE-----"
            found = [x509.load_pem_x509_certificate(begin + part) for part in text.split(begin)[1:]]
            self.assertEqual(found, [leaf, authority.cert])
            self.assertEqual(b"PRIVATE KEY" in text, private)
            if private:
                mine = serialization.load_pem_private_key(text, None)
                theirs, _, _ = pkcs12.load_key_and_certificates(base64.b64decode(plain["value"]), None)
                self.assertEqual(mine.private_numbers(), theirs.private_numbers())
            # what is kept is as it was
            self.assertEqual(self.server.get(f"/secrets/{name}").json, plain)

    def test_refused(self):
        make(self.server, "pem", {"policy": policy(kty="EC", secret_props={"contentType": PEM})})
        self.expect(self.as_form("pem", PEM), 200)
        self.expect(self.as_form("pem", PKCS12), 400, "BadParameter")  # nobody converts this way
        make(self.server, "pfx", {"policy": policy(kty="EC")})
        for form in ("", "text/plain", "application%2Fx-pem-file%00", PEM + "x"):
            self.expect(self.as_form("pfx", form), 400, "BadParameter")
        self.expect(self.as_form("nobody", PEM), 404, "SecretNotFound")
        self.expect(self.server.request("PATCH", "/certificates/pfx/", {"attributes": {"enabled": False}}), 200)
        self.expect(self.as_form("pfx", PEM), 403, "Forbidden", "SecretDisabled")
        # other secrets have one form, whatever is asked for
        self.expect(self.server.request("PUT", "/secrets/mine", {"value": "v", "contentType": "x/y"}), 200)
        self.assertEqual(self.as_form("mine", PEM).json["value"], "v")


class Tokens(unittest.TestCase):
    """A group of two SoftHSM tokens holds the keys."""

    @classmethod
    def setUpClass(cls):
        cls.server = Group(["left", "right"]).start()

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        log = cls.server.log()
        cls.server.remove()
        assert code == 0, f"exit code {code}\n{log[-3000:]}"

    def check(self, name, bundle, kty):
        version, cert = version_of(bundle), cert_of(bundle)
        shown = self.server.get(f"/keys/{name}/{version}").json
        self.assertEqual((shown["key"]["kty"], shown["managed"]), (kty, True))
        self.assertTrue(same_key(cert.public_key(), shown["key"]))
        sign(self.server, name, version, cert)
        secret = self.server.get(f"/secrets/{name}/{version}").json
        self.assertIs(secret["managed"], True)
        key, leaf, chain = pkcs12.load_key_and_certificates(base64.b64decode(secret["value"]), None)
        self.assertIsNone(key)  # it never leaves the tokens
        self.assertIn(cert, [leaf, *chain])
        return cert

    def operations(self):
        return {name: member["operations"] for name, member in self.server.members().items()}

    def test_self_signed(self):
        for kty, key in (("RSA-HSM", {"key_size": 2048}), ("EC-HSM", {"crv": "P-256"})):
            name = f"self-{kty}"
            before = sum(self.operations().values())
            made = [make(self.server, name, {"policy": policy(kty=kty, key={**key, "exportable": False})}) for _ in range(2)]
            # each was generated and signed by a token
            self.assertGreaterEqual(sum(self.operations().values()) - before, 2)
            for bundle in made:
                cert = self.check(name, bundle, kty)
                if kty == "RSA-HSM":
                    cert.public_key().verify(cert.signature, cert.tbs_certificate_bytes, padding.PKCS1v15(), hashes.SHA256())
                else:
                    cert.public_key().verify(cert.signature, cert.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))
            self.assertNotEqual(made[0]["cer"], made[1]["cer"])
            self.assertEqual(self.server.get(f"/secrets/{name}").json["previousVersion"], version_of(made[0]))
        refused = self.server.post("/certificates/bad/create", {"policy": policy(kty="RSA-HSM", key={"exportable": True})})
        self.assertEqual(refused.status, 400, refused.body)

    def test_software_keys_stay_in_software(self):
        bundle = make(self.server, "soft", {"policy": policy(kty="EC")})
        value = base64.b64decode(self.server.get("/secrets/soft").json["value"])
        key, _, _ = pkcs12.load_key_and_certificates(value, None)
        self.assertEqual(key.public_key().public_numbers(), cert_of(bundle).public_key().public_numbers())
        self.assertEqual(self.server.get("/keys/soft").json["key"]["kty"], "EC")
        sign(self.server, "soft", version_of(bundle), cert_of(bundle))
        self.assertEqual(self.server.request("PUT", "/secrets/plain", {"value": "v"}).status, 200)
        self.assertEqual(self.server.get("/secrets/plain").json["value"], "v")

    def test_request_and_merge(self):
        authority = Authority()
        for kty in ("RSA-HSM", "EC-HSM"):
            name = f"merge-{kty}"
            begun = self.server.post(f"/certificates/{name}/create", {"policy": policy(issuer="Unknown", kty=kty)})
            self.assertEqual(begun.status, 202, begun.body)
            request = x509.load_der_x509_csr(base64.b64decode(begun.json["csr"]))
            self.assertTrue(request.is_signature_valid)
            leaf = authority.sign(base64.b64decode(begun.json["csr"]))
            merged = self.server.post(f"/certificates/{name}/pending/merge", {"x5c": [std(der(leaf)), std(der(authority.cert))]})
            self.assertEqual(merged.status, 201, merged.body)
            self.assertEqual(self.check(name, merged.json, kty), leaf)

    def aged(self):
        """A certificate that has used up most of its time, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "aged")])
        start = datetime.datetime.utcnow() - datetime.timedelta(days=80)
        return pem(key, x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
                   .not_valid_before(start).not_valid_after(start + datetime.timedelta(days=90)).sign(key, hashes.SHA256()))

    def test_renewal(self):
        actions = [{"trigger": {"lifetime_percentage": 50}, "action": {"action_type": "AutoRenew"}}]
        answer = self.server.post("/certificates/renew/import", {"value": self.aged(), "policy": {
            "issuer": {"name": "Self"}, "secret_props": {"contentType": PKCS12},
            "key_props": {"kty": "EC-HSM", "exportable": False}, "lifetime_actions": actions}})
        self.assertEqual(answer.status, 200, answer.body)
        self.check("renew", answer.json, "EC-HSM")
        deadline = time.monotonic() + 60
        while len(self.server.get("/certificates/renew/versions").json["value"]) < 2:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.2)
        newest = self.server.get("/certificates/renew/").json
        cert = self.check("renew", newest, "EC-HSM")
        self.assertNotEqual(cert.public_key().public_numbers(), cert_of(answer.json).public_key().public_numbers())
        self.assertEqual(self.server.get("/secrets/renew").json["previousVersion"], version_of(answer.json))
        self.assertEqual(len(self.server.get("/certificates/renew/versions").json["value"]), 2)

    def test_moved_and_failed_over(self):
        bundle = make(self.server, "move", {"policy": policy(kty="EC-HSM")})
        blob = self.server.ok("/certificates/move/backup", None)["value"]
        for path in ("/certificates/move", "/deletedcertificates/move"):
            self.assertIn(self.server.request("DELETE", path).status, (200, 204))
        self.server.ok("/certificates/restore", {"value": blob})
        self.check("move", bundle, "EC-HSM")
        # one token's host dies: the other one signs; a new key wants both (group.min_copies), and waits for them
        os.kill(self.server.host_pid("left"), signal.SIGKILL)
        for _ in range(5):
            self.check("move", bundle, "EC-HSM")
        self.server.wait_serving(["left", "right"])
        self.check("after", make(self.server, "after", {"policy": policy(kty="RSA-HSM")}), "RSA-HSM")


if __name__ == "__main__":
    unittest.main()

"""Certificates: made, merged, imported, read, changed, moved; what other programs say of them."""

import base64
import datetime
import hashlib
import ipaddress
import pathlib
import subprocess
import tempfile
import time
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from keyward import Case, Server, b64, now, unb64

PEM, PKCS12 = "application/x-pem-file", "application/x-pkcs12"
DIGEST = {"P-256": ("ES256", hashes.SHA256), "P-384": ("ES384", hashes.SHA384), "P-521": ("ES512", hashes.SHA512),
          "P-256K": ("ES256K", hashes.SHA256)}


def policy(issuer="Self", subject="CN=keyward.example, O=Who", kty=None, **more):
    made = {"issuer": {"name": issuer}, "x509_props": {"subject": subject, **more.pop("x509", {})}}
    if kty:
        made["key_props"] = {"kty": kty, **more.pop("key", {})}
    return {**made, **more}


def std(data):
    return base64.b64encode(data).decode()


def cert_of(bundle):
    return x509.load_der_x509_certificate(base64.b64decode(bundle["cer"], validate=True))


def wait(server, name, seconds=20):
    """The operation once it is not in progress any more."""
    end = time.monotonic() + seconds
    while True:
        answer = server.get(f"/certificates/{name}/pending")
        assert answer.status == 200, answer.body
        if answer.json["status"] != "inProgress" or time.monotonic() > end:
            return answer.json
        time.sleep(0.02)


def make(server, name, body):
    answer = server.post(f"/certificates/{name}/create", body)
    assert answer.status == 202, answer.body
    done = wait(server, name)
    assert done["status"] == "completed", done
    bundle = server.get(f"/certificates/{name}/")
    assert bundle.status == 200, bundle.body
    return bundle.json


class Authority:
    """Somebody who signs requests."""

    def __init__(self, name="Test CA"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.cert = self.build(self.name, self.key.public_key(), True)

    def build(self, subject, public, ca, days=30):
        start = datetime.datetime.utcnow() - datetime.timedelta(days=1)
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public)
                .serial_number(x509.random_serial_number()).not_valid_before(start)
                .not_valid_after(start + datetime.timedelta(days=days))
                .add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
                .add_extension(x509.SubjectAlternativeName([x509.DNSName("imported.example"),
                                                            x509.IPAddress(ipaddress.ip_address("192.0.2.9"))]), False)
                .sign(self.key, hashes.SHA256()))

    def sign(self, csr_der):
        csr = x509.load_der_x509_csr(csr_der)
        return self.build(csr.subject, csr.public_key(), False)


def der(cert):
    return cert.public_bytes(serialization.Encoding.DER)


def pem(*parts):
    out = b""
    for part in parts:
        if isinstance(part, x509.Certificate):
            out += part.public_bytes(serialization.Encoding.PEM)
        else:
            out += part.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption())
    return out.decode()


def same_key(public, jwk):
    if jwk["kty"].startswith("RSA"):
        return public.public_numbers().n == int.from_bytes(unb64(jwk["n"]), "big")
    return public.public_numbers().x == int.from_bytes(unb64(jwk["x"]), "big")


class SelfSigned(Case):
    def verify_with_openssl(self, cert):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "c.pem")
            path.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
            done = subprocess.run(["openssl", "verify", "-check_ss_sig", "-CAfile", path, path], capture_output=True,
                                  check=False)
            self.assertEqual(done.returncode, 0, done.stderr)

    def sign_and_check(self, name, cert):
        public = cert.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            digest = hashlib.sha256(b"x").digest()
            signature = unb64(self.server.ok(f"/keys/{name}/sign", {"alg": "RS256", "value": b64(digest)})["value"])
            public.verify(signature, digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
            return
        crv = {256: "P-256", 384: "P-384", 521: "P-521"}[public.curve.key_size]
        crv = "P-256K" if public.curve.name == "secp256k1" else crv
        alg, algorithm = DIGEST[crv]
        digest = hashlib.new(algorithm.name, b"x").digest()
        raw = unb64(self.server.ok(f"/keys/{name}/sign", {"alg": alg, "value": b64(digest)})["value"])
        half = len(raw) // 2
        signature = utils.encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
        public.verify(signature, digest, ec.ECDSA(utils.Prehashed(algorithm())))

    def test_every_key(self):
        kinds = [("RSA", {"key_size": b}) for b in (2048, 3072, 4096)] + [("RSA-HSM", {"key_size": 2048})]
        kinds += [(k, {"crv": c}) for k in ("EC", "EC-HSM") for c in DIGEST]
        for i, (kty, key) in enumerate(kinds):
            for content in (PKCS12, PEM):
                if content == PEM and key.get("key_size", 0) > 2048:
                    continue
                with self.subTest(kty=kty, content=content, **key):
                    name = f"self-{i}-{content[-3:]}"
                    bundle = make(self.server, name, {"policy": policy(
                        kty=kty, key=key, secret_props={"contentType": content})})
                    cert = cert_of(bundle)
                    version = bundle["id"].rsplit("/", 1)[1]
                    jwk = self.server.get(f"/keys/{name}/{version}").json
                    self.assertEqual(jwk["key"]["kty"], kty)
                    self.assertTrue(jwk["managed"])
                    self.assertTrue(same_key(cert.public_key(), jwk["key"]))
                    self.verify_with_openssl(cert)
                    self.sign_and_check(name, cert)
                    self.check_secret(name, version, content, cert, private=not kty.endswith("HSM"))

    def check_secret(self, name, version, content, cert, private):
        secret = self.server.get(f"/secrets/{name}/{version}").json
        self.assertEqual(secret["contentType"], content)
        self.assertTrue(secret["managed"])
        self.assertTrue(secret["kid"].endswith(f"/keys/{name}/{version}"))
        if content == PKCS12:
            key, leaf, chain = pkcs12.load_key_and_certificates(base64.b64decode(secret["value"], validate=True), None)
            found = [leaf] + chain if leaf else chain
        else:
            text = secret["value"].encode()
            key = serialization.load_pem_private_key(text, None) if private else None
            self.assertEqual(b"PRIVATE KEY" in text, private)
            found = [x509.load_pem_x509_certificate(text)]
        self.assertEqual(found, [cert])
        self.assertEqual(key is not None, private)
        if private:
            self.assertEqual(key.public_key().public_numbers(), cert.public_key().public_numbers())

    def test_operation(self):
        answer = self.expect(self.server.post("/certificates/op/create", {"policy": policy(), "tags": {"a": "b"}}), 202)
        base = f"https://localhost:{self.server.port}/certificates/op"
        operation = answer.json
        self.assertEqual(operation["id"], f"{base}/pending")
        self.assertEqual(operation["status"], "inProgress")
        self.assertEqual(operation["issuer"], {"name": "Self"})
        self.assertIs(operation["cancellation_requested"], False)
        self.assertRegex(operation["request_id"], "^[0-9a-f]{32}$")
        self.assertTrue(answer.headers["Location"].startswith(f"{base}/pending?api-version="))
        self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
        csr = x509.load_der_x509_csr(base64.b64decode(operation["csr"], validate=True))
        self.assertTrue(csr.is_signature_valid)
        done = wait(self.server, "op")
        self.assertEqual(done["status"], "completed")
        self.assertEqual(done["target"], base)
        self.assertEqual(done["request_id"], operation["request_id"])
        self.assertEqual(done["csr"], operation["csr"])
        bundle = self.server.get("/certificates/op").json
        cert = cert_of(bundle)
        self.assertEqual(cert.public_key().public_numbers(), csr.public_key().public_numbers())
        self.assertEqual(unb64(bundle["x5t"]), hashlib.sha1(der(cert)).digest())
        self.assertEqual(bundle["tags"], {"a": "b"})
        self.assertEqual(bundle["pending"], {"id": f"{base}/pending"})
        attributes = bundle["attributes"]
        self.assertEqual((attributes["recoveryLevel"], attributes["recoverableDays"]), ("Recoverable+Purgeable", 90))
        self.assertEqual(attributes["nbf"], int(cert.not_valid_before.replace(tzinfo=datetime.timezone.utc).timestamp()))
        self.assertEqual(attributes["exp"], int(cert.not_valid_after.replace(tzinfo=datetime.timezone.utc).timestamp()))
        for kind in ("kid", "sid"):
            self.assertEqual(bundle[kind].rsplit("/", 1)[1], bundle["id"].rsplit("/", 1)[1])

    def test_defaults_and_extensions(self):
        cert = cert_of(make(self.server, "plain", {"policy": policy()}))
        get = lambda kind: cert.extensions.get_extension_for_class(kind).value
        self.assertEqual(cert.public_key().key_size, 2048)
        self.assertEqual(list(get(x509.ExtendedKeyUsage)), [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        usage = get(x509.KeyUsage)
        self.assertTrue(usage.digital_signature and usage.key_encipherment and not usage.key_agreement)
        self.assertFalse(get(x509.BasicConstraints).ca)
        self.assertEqual(cert.subject.rfc4514_string(), "CN=keyward.example,O=Who")
        self.assertEqual(get(x509.SubjectKeyIdentifier).digest, get(x509.AuthorityKeyIdentifier).key_identifier)
        months = (cert.not_valid_after - cert.not_valid_before).days
        self.assertIn(months, (365, 366))
        full = {"sans": {"emails": ["a@b.example"], "dns_names": ["x.example", "*.y.example"], "upns": ["u@corp"],
                         "uris": ["https://z.example/"], "ipAddresses": ["192.0.2.1", "2001:db8::1"]},
                "ekus": ["1.3.6.1.5.5.7.3.4", "1.2.3.4"], "key_usage": ["keyCertSign", "cRLSign", "digitalSignature"],
                "validity_months": 3, "basic_constraints": {"ca": True, "path_len_constraint": 1}}
        bundle = make(self.server, "full", {"policy": policy(x509=full, kty="EC", key={"crv": "P-384"})})
        cert = cert_of(bundle)
        names = get(x509.SubjectAlternativeName)
        self.assertEqual(names.get_values_for_type(x509.DNSName), ["x.example", "*.y.example"])
        self.assertEqual(names.get_values_for_type(x509.RFC822Name), ["a@b.example"])
        self.assertEqual(names.get_values_for_type(x509.UniformResourceIdentifier), ["https://z.example/"])
        self.assertEqual([str(i) for i in names.get_values_for_type(x509.IPAddress)], ["192.0.2.1", "2001:db8::1"])
        upn = names.get_values_for_type(x509.OtherName)[0]
        self.assertEqual(upn.type_id, ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"))
        self.assertEqual(upn.value, b"\x0c\x06u@corp")
        self.assertEqual([e.dotted_string for e in get(x509.ExtendedKeyUsage)], full["ekus"])
        self.assertTrue(get(x509.KeyUsage).key_cert_sign and get(x509.KeyUsage).crl_sign)
        self.assertEqual((get(x509.BasicConstraints).ca, get(x509.BasicConstraints).path_length), (True, 1))
        self.assertEqual(bundle["policy"]["x509_props"], {"subject": "CN=keyward.example, O=Who", **full})

    def test_key_operations_follow_the_usage(self):
        for i, (usage, ops) in enumerate(((["digitalSignature"], {"sign", "verify"}), (["keyEncipherment"], {"wrapKey", "unwrapKey"}),
                                          (["dataEncipherment"], {"encrypt", "decrypt"}),
                                          ([], {"sign", "verify", "encrypt", "decrypt", "wrapKey", "unwrapKey"}))):
            make(self.server, f"ops-{i}", {"policy": policy(x509={"key_usage": usage})})
            self.assertEqual(set(self.server.get(f"/keys/ops-{i}").json["key"]["key_ops"]), ops)

    def test_not_exportable(self):
        bundle = make(self.server, "closed", {"policy": policy(kty="RSA", key={"exportable": False})})
        self.check_secret("closed", bundle["id"].rsplit("/", 1)[1], PKCS12, cert_of(bundle), private=False)
        self.assertIs(bundle["policy"]["key_props"]["exportable"], False)

    def test_versions_and_reused_keys(self):
        for kty in ("RSA", "EC-HSM"):
            for reuse in (False, True):
                name = f"again-{kty}-{int(reuse)}"
                body = {"policy": policy(kty=kty, key={"reuse_key": reuse})}
                first, second = make(self.server, name, body), make(self.server, name, body)
                same = cert_of(first).public_key().public_numbers() == cert_of(second).public_key().public_numbers()
                self.assertEqual(same, reuse)
                self.assertNotEqual(first["x5t"], second["x5t"])
                self.sign_and_check(name, cert_of(second))
                listed = self.server.get(f"/certificates/{name}/versions").json["value"]
                self.assertEqual([i["id"] for i in listed], [first["id"], second["id"]])
                old = self.server.get(f"/certificates/{name}/" + first["id"].rsplit("/", 1)[1]).json
                self.assertEqual(old["cer"], first["cer"])
                for kind in ("keys", "secrets"):
                    self.assertEqual(len(self.server.get(f"/{kind}/{name}/versions").json["value"]), 2)

    def test_refused_policies(self):
        bad = [{"key_props": {"kty": "oct"}}, {"key_props": {"kty": "RSA", "key_size": 1024}},
               {"key_props": {"kty": "EC", "crv": "P-192"}}, {"key_props": {"kty": "RSA-HSM", "exportable": True}},
               {"x509_props": {"subject": "nonsense"}}, {"x509_props": {"subject": ""}}, {"x509_props": {"subject": "CN=" + "a" * 70}},
               {"x509_props": {"validity_months": 0}}, {"x509_props": {"validity_months": 1201}},
               {"x509_props": {"ekus": ["serverAuth"]}}, {"x509_props": {"key_usage": ["sign"]}},
               {"x509_props": {"sans": {"dns_names": ["a b"]}}}, {"x509_props": {"sans": {"ipAddresses": ["1.2.3"]}}},
               {"x509_props": {"sans": {"dns_names": "x"}}}, {"x509_props": {"basic_constraints": {"ca": "yes"}}},
               {"secret_props": {"contentType": "text/plain"}}, {"lifetime_actions": {}},
               {"lifetime_actions": [{"trigger": {"lifetime_percentage": 100}, "action": {"action_type": "AutoRenew"}}]},
               {"lifetime_actions": [{"trigger": {"days_before_expiry": 400}, "action": {"action_type": "AutoRenew"}}]},
               {"lifetime_actions": [{"trigger": {}, "action": {"action_type": "AutoRenew"}}]},
               {"lifetime_actions": [{"trigger": {"lifetime_percentage": 5}, "action": {"action_type": "Nothing"}}]},
               {"issuer": "Self"}, {"key_props": []}, {"issuer": {"name": 5}}, {"x509_props": {"subject": "CN=a\0b"}}]
        for change in bad:
            with self.subTest(change=change):
                body = policy()
                body["x509_props"] = {**body["x509_props"], **change.get("x509_props", {})} \
                    if isinstance(change.get("x509_props", {}), dict) else change["x509_props"]
                body.update({k: v for k, v in change.items() if k != "x509_props"})
                self.expect(self.server.post("/certificates/bad/create", {"policy": body}), 400, "BadParameter")
        self.expect(self.server.post("/certificates/bad/create", {}), 400, "BadParameter")
        self.expect(self.server.post("/certificates/bad/create", {"policy": 1}), 400, "BadParameter")
        self.expect(self.server.get("/certificates/bad"), 404, "CertificateNotFound")
        self.expect(self.server.get("/certificates/bad/pending"), 404, "PendingCertificateNotFound")

    def test_named_issuer(self):
        body = {"policy": policy(issuer="somebody")}
        answer = self.expect(self.server.post("/certificates/named/create", body), 400, "BadParameter")
        self.assertIn("Unknown", answer.json["error"]["message"])

    def test_names_that_are_taken(self):
        self.server.create("taken-key", "EC")
        self.expect(self.server.post("/certificates/taken-key/create", {"policy": policy()}), 409, "Conflict")
        self.expect(self.server.request("PUT", "/secrets/taken-secret", {"value": "x"}), 200)
        self.expect(self.server.post("/certificates/taken-secret/create", {"policy": policy()}), 409, "Conflict")
        make(self.server, "mine", {"policy": policy(kty="EC")})
        oct_key = {"key": {"kty": "oct-HSM", "k": "A" * 43}}
        wrapped = {"key": {"kty": "RSA-HSM", "key_hsm": "AA"}}
        for answer in (self.server.post("/keys/mine/create", {"kty": "EC"}), self.server.request("DELETE", "/keys/mine"),
                       self.server.post("/keys/mine/rotate", b""), self.server.post("/keys/mine/backup", b""),
                       self.server.request("PUT", "/keys/mine/rotationpolicy", {"attributes": {"expiryTime": "P60D"}}),
                       self.server.request("PUT", "/keys/mine", oct_key), self.server.request("PUT", "/keys/mine", wrapped),
                       self.server.request("PATCH", "/keys/mine/", {"tags": {}})):
            self.expect(answer, 403, "Forbidden", "KeyManagedByKeyVault")
        self.expect(self.server.get("/keys/mine/rotationpolicy"), 200)
        self.assertEqual(len(self.server.get("/keys/mine/versions").json["value"]), 1)
        for answer in (self.server.request("PUT", "/secrets/mine", {"value": "x"}), self.server.request("DELETE", "/secrets/mine"),
                       self.server.request("PATCH", "/secrets/mine/", {"tags": {}})):
            self.expect(answer, 403, "Forbidden", "SecretManagedByKeyVault")


class Requests(Case):
    def begin(self, name, **more):
        answer = self.server.post(f"/certificates/{name}/create", {"policy": policy(issuer="Unknown", **more)})
        return self.expect(answer, 202).json

    def test_merge(self):
        authority = Authority()
        for i, (kty, key) in enumerate((("RSA", {"key_size": 2048}), ("EC", {"crv": "P-521"}), ("EC-HSM", {"crv": "P-256"}))):
            name = f"merge-{i}"
            operation = self.begin(name, kty=kty, key=key)
            self.assertIn("Merge", operation["status_details"])
            time.sleep(0.05)
            self.assertEqual(self.server.get(f"/certificates/{name}/pending").json["status"], "inProgress")
            planned = self.expect(self.server.get(f"/certificates/{name}/"), 200).json
            self.assertNotIn("cer", planned)
            self.assertIs(planned["attributes"]["enabled"], False)
            for kind in ("keys", "secrets"):
                self.assertEqual(self.server.get(f"/{kind}/{name}").status, 404)
            leaf = authority.sign(base64.b64decode(operation["csr"]))
            stranger = Authority("Other").cert
            self.expect(self.server.post(f"/certificates/{name}/pending/merge", {"x5c": [std(der(stranger))]}), 400, "BadParameter")
            merged = self.server.post(f"/certificates/{name}/pending/merge",
                                      {"x5c": [std(der(leaf)), std(der(authority.cert))], "tags": {"m": "1"}})
            bundle = self.expect(merged, 201).json
            self.assertEqual(base64.b64decode(bundle["cer"]), der(leaf))
            self.assertEqual(bundle["tags"], {"m": "1"})
            self.assertEqual(bundle["id"], planned["id"])
            self.assertEqual(self.server.get(f"/certificates/{name}/pending").json["status"], "completed")
            self.assertTrue(same_key(leaf.public_key(), self.server.get(f"/keys/{name}").json["key"]))
            value = base64.b64decode(self.server.get(f"/secrets/{name}").json["value"])
            key_out, leaf_out, chain = pkcs12.load_key_and_certificates(value, None)
            self.assertEqual([leaf_out] + chain if leaf_out else sorted(chain, key=lambda c: c != leaf), [leaf, authority.cert])
            self.assertEqual(key_out is None, kty.endswith("HSM"))
            self.expect(self.server.post(f"/certificates/{name}/pending/merge", {"x5c": [std(der(leaf))]}), 404,
                        "PendingCertificateNotFound")

    def test_forms_of_x5c(self):
        authority = Authority()
        wraps = [lambda d: std(d), lambda d: b64(d), lambda d: std(std(d).encode()),
                 lambda d: std(b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(d) + b"-----END CERTIFICATE-----\n"),
                 lambda d: base64.encodebytes(d).decode()]
        for i, wrap in enumerate(wraps):
            operation = self.begin(f"form-{i}", kty="EC")
            # in any order: the one with the key is the leaf
            chain = [der(authority.cert), der(authority.sign(base64.b64decode(operation["csr"])))]
            answer = self.server.post(f"/certificates/form-{i}/pending/merge", {"x5c": [wrap(d) for d in chain]})
            self.assertEqual(base64.b64decode(self.expect(answer, 201).json["cer"]), chain[1])

    def test_bad_merges(self):
        self.begin("bad-merge", kty="EC")
        cert = std(der(Authority().cert))
        for body in ({}, {"x5c": []}, {"x5c": "x"}, {"x5c": [1]}, {"x5c": ["!"]}, {"x5c": [std(b"0\x03abc")]}, {"x5c": [""]},
                     {"x5c": [cert] * 17}, {"x5c": [cert[:-8]]}, {"x5c": [std(base64.b64decode(cert) + b"x")]}):
            with self.subTest(body=str(body)[:60]):
                self.expect(self.server.post("/certificates/bad-merge/pending/merge", body), 400, "BadParameter")
        self.assertEqual(self.server.get("/certificates/bad-merge/pending").json["status"], "inProgress")
        self.expect(self.server.post("/certificates/nobody/pending/merge", {"x5c": [cert]}), 404, "PendingCertificateNotFound")

    def test_one_at_a_time(self):
        self.begin("once", kty="EC")
        self.expect(self.server.post("/certificates/once/create", {"policy": policy()}), 409, "Conflict")
        cancelled = self.server.request("PATCH", "/certificates/once/pending", {"cancellation_requested": True})
        body = self.expect(cancelled, 200).json
        self.assertEqual((body["status"], body["cancellation_requested"]), ("cancelled", True))
        self.expect(self.server.get("/certificates/once/"), 200)
        make(self.server, "once", {"policy": policy(kty="EC")})
        # the operation that is over can be marked, and forgotten
        late = self.server.request("PATCH", "/certificates/once/pending", {"cancellation_requested": True})
        self.assertEqual(self.expect(late, 200).json["status"], "completed")
        self.expect(self.server.request("DELETE", "/certificates/once/pending"), 200)
        self.expect(self.server.get("/certificates/once/pending"), 404, "PendingCertificateNotFound")
        self.expect(self.server.get("/certificates/once"), 200)
        self.assertEqual(self.server.get("/certificates/once/policy").status, 200)

    def test_forget(self):
        self.begin("forget", kty="EC")
        self.expect(self.server.request("PATCH", "/certificates/forget/pending", {}), 400, "BadParameter")
        self.assertEqual(self.expect(self.server.request("DELETE", "/certificates/forget/pending"), 200).json["status"], "inProgress")
        for path in ("", "/pending", "/policy"):
            self.assertEqual(self.server.get(f"/certificates/forget{path}").status, 404)
        for method, body in (("DELETE", None), ("PATCH", {"cancellation_requested": True})):
            self.expect(self.server.request(method, "/certificates/forget/pending", body), 404, "PendingCertificateNotFound")
        make(self.server, "forget", {"policy": policy(kty="EC")})

    def test_a_request_on_top_of_versions(self):
        first = make(self.server, "top", {"policy": policy(kty="EC")})
        operation = self.begin("top", kty="EC")
        # the version that is there goes on
        self.assertEqual(self.server.get("/certificates/top/").json["id"], first["id"])
        leaf = Authority().sign(base64.b64decode(operation["csr"]))
        merged = self.expect(self.server.post("/certificates/top/pending/merge", {"x5c": [std(der(leaf))]}), 201).json
        self.assertEqual(self.server.get("/certificates/top/").json["id"], merged["id"])
        self.assertEqual(len(self.server.get("/certificates/top/versions").json["value"]), 2)


class Imports(Case):
    def put(self, name, value, **more):
        return self.server.post(f"/certificates/{name}/import", {"value": value, **more})

    def material(self, key=None):
        authority = Authority()
        key = key or ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "imported"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A, B")])
        return key, authority.build(name, key.public_key(), False, 90), authority.cert

    def test_forms(self):
        for i, key in enumerate((None, rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1()))):
            key, leaf, ca = self.material(key)
            best = serialization.BestAvailableEncryption(b"p\xc3\xa4ss")
            old = (serialization.PrivateFormat.PKCS12.encryption_builder().kdf_rounds(2000)
                   .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC).hmac_hash(hashes.SHA1()).build(b"old"))
            forms = {"pem": (pem(key, leaf, ca), {}), "pem64": (std(pem(key, leaf, ca).encode()), {}), "turned": (pem(ca, leaf, key), {}),
                     "p12": (std(pkcs12.serialize_key_and_certificates(b"n", key, leaf, [ca], best)), {"pwd": "p\u00e4ss"}),
                     "lines": (base64.encodebytes(pkcs12.serialize_key_and_certificates(b"n", key, leaf, [ca], best)).decode(),
                               {"pwd": "p\u00e4ss"}),
                     "3des": (std(pkcs12.serialize_key_and_certificates(b"n", key, leaf, [ca], old)), {"pwd": "old"}),
                     "plain": (std(pkcs12.serialize_key_and_certificates(b"n", key, leaf, [ca], serialization.NoEncryption())), {})}
            for form, (value, more) in forms.items():
                for content in (PKCS12, PEM):
                    with self.subTest(form=form, content=content, key=type(key).__name__):
                        name = f"imp-{i}-{form}-{content[-3:]}"
                        bundle = self.expect(self.put(name, value, policy={"secret_props": {"contentType": content}}, **more), 200).json
                        self.assertEqual(base64.b64decode(bundle["cer"]), der(leaf))
                        self.assertTrue(same_key(key.public_key(), self.server.get(f"/keys/{name}").json["key"]))
                        secret = self.server.get(f"/secrets/{name}").json["value"]
                        if content == PEM:
                            self.assertEqual(secret, pem(key, leaf, ca))
                        else:
                            out = pkcs12.load_key_and_certificates(base64.b64decode(secret), None)
                            self.assertEqual((out[1], out[2]), (leaf, [ca]))
                            self.assertEqual(out[0].private_numbers(), key.private_numbers())

    def test_rc2(self):
        key, leaf, _ = self.material(rsa.generate_private_key(65537, 2048))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "in.pem")
            path.write_text(pem(key, leaf))
            made = subprocess.run(["openssl", "pkcs12", "-export", "-legacy", "-in", path, "-passout", "pass:w"],
                                  capture_output=True, check=False)
        if made.returncode:
            self.skipTest("this OpenSSL has no legacy provider")
        self.expect(self.put("rc2", std(made.stdout), pwd="w"), 200)

    def test_derived_policy(self):
        key, leaf, ca = self.material()
        bundle = self.expect(self.put("derived", pem(key, leaf, ca), tags={"t": "1"}, attributes={"enabled": True}), 200).json
        said = bundle["policy"]
        self.assertEqual(said["issuer"]["name"], "Unknown")
        self.assertEqual(said["x509_props"]["subject"], "O=A\\, B, CN=imported")
        self.assertEqual(said["x509_props"]["sans"], {"dns_names": ["imported.example"], "ipAddresses": ["192.0.2.9"]})
        self.assertEqual(said["x509_props"]["validity_months"], 3)
        self.assertEqual(said["key_props"], {"exportable": True, "kty": "EC", "crv": "P-256", "reuse_key": False})
        self.assertEqual(said["secret_props"]["contentType"], PEM)
        self.assertEqual(bundle["tags"], {"t": "1"})
        # what it says is enough to make another one
        changed = self.server.request("PATCH", "/certificates/derived/policy", {"issuer": {"name": "Self"}})
        self.expect(changed, 200)
        answer = self.server.post("/certificates/derived/create", {})
        self.expect(answer, 202)
        self.assertEqual(wait(self.server, "derived")["status"], "completed")
        second = cert_of(self.server.get("/certificates/derived").json)
        self.assertEqual(second.subject, leaf.subject)

    def test_not_exportable_and_hsm(self):
        key, leaf, _ = self.material()
        self.expect(self.put("imp-closed", pem(key, leaf), policy={"key_props": {"exportable": False}}), 200)
        self.assertNotIn("PRIVATE", self.server.get("/secrets/imp-closed").json["value"])
        self.expect(self.put("imp-hsm", pem(key, leaf), policy={"key_props": {"kty": "EC-HSM"}}), 200)
        self.assertEqual(self.server.get("/keys/imp-hsm").json["key"]["kty"], "EC-HSM")
        self.assertNotIn("PRIVATE", self.server.get("/secrets/imp-hsm").json["value"])
        self.expect(self.put("imp-both", pem(key, leaf), policy={"key_props": {"kty": "EC-HSM", "exportable": True}}), 400, "BadParameter")

    def test_chain_order(self):
        key, leaf, ca = self.material()
        other = Authority("Unrelated").cert
        bundle = self.expect(self.put("order", pem(key, other, ca, leaf)), 200).json
        self.assertNotIn("preserveCertOrder", bundle)
        self.assertEqual(self.server.get("/secrets/order").json["value"], pem(key, leaf, ca, other))
        bundle = self.expect(self.put("order", pem(key, other, ca, leaf), preserveCertOrder=True), 200).json
        self.assertIs(bundle["preserveCertOrder"], True)
        self.assertEqual(self.server.get("/secrets/order").json["value"], pem(key, leaf, other, ca))

    def test_refused(self):
        key, leaf, ca = self.material()
        stranger = ec.generate_private_key(ec.SECP256R1())
        weak, weak_leaf, _ = self.material(rsa.generate_private_key(65537, 1024))
        ed, ed_leaf = None, None
        p12 = pkcs12.serialize_key_and_certificates(b"n", key, leaf, [ca], serialization.BestAvailableEncryption(b"w"))
        bad = {"wrong password": (std(p12), {"pwd": "x"}), "no password": (std(p12), {}), "cut": (std(p12[:-9]), {"pwd": "w"}),
               "no key": (pem(leaf, ca), {}), "no certificate": (pem(key), {}), "other key": (pem(stranger, leaf), {}),
               "two keys": (pem(key, stranger, leaf), {}), "weak": (pem(weak, weak_leaf), {}), "text": ("hello", {}), "empty": ("", {}),
               "not base64": ("a b*", {}), "damaged": (pem(key, leaf).replace("MI", "M!", 1), {}),
               "content type": (pem(key, leaf), {"policy": {"secret_props": {"contentType": "x/y"}}}),
               "17 certificates": (pem(key, leaf, *[ca] * 16), {}), "pwd": (std(p12), {"pwd": 5}), "zero": (std(p12), {"pwd": "w\0"})}
        for what, (value, more) in bad.items():
            with self.subTest(what):
                answer = self.expect(self.put("refused", value, **more), 400, "BadParameter")
                self.assertNotIn("0x", answer.json["error"]["message"])
        self.expect(self.server.post("/certificates/refused/import", {}), 400, "BadParameter")
        self.expect(self.server.get("/certificates/refused"), 404, "CertificateNotFound")

    def test_over_versions(self):
        first = make(self.server, "over", {"policy": policy(kty="EC")})
        key, leaf, _ = self.material()
        bundle = self.expect(self.put("over", pem(key, leaf)), 200).json
        self.assertNotEqual(bundle["id"], first["id"])
        self.assertEqual(len(self.server.get("/keys/over/versions").json["value"]), 2)


class Objects(Case):
    def test_policy(self):
        make(self.server, "pol", {"policy": policy(kty="EC", x509={"validity_months": 6})})
        before = self.server.get("/certificates/pol/policy").json
        self.assertTrue(before["id"].endswith("/certificates/pol/policy"))
        changed = self.server.request("PATCH", "/certificates/pol/policy", {"key_props": {}, "secret_props": {}, "attributes": {},
                                                                           "x509_props": {"validity_months": 24}})
        after = self.expect(changed, 200).json
        self.assertEqual(after["x509_props"], {**before["x509_props"], "validity_months": 24})
        for part in ("key_props", "secret_props", "issuer", "lifetime_actions"):
            self.assertEqual(after[part], before[part])
        self.assertEqual(self.server.get("/certificates/pol/policy").json, after)
        self.expect(self.server.request("PATCH", "/certificates/pol/policy", {"x509_props": {"validity_months": "x"}}), 400, "BadParameter")
        to_rsa = self.expect(self.server.request("PATCH", "/certificates/pol/policy", {"key_props": {"kty": "RSA", "key_size": 3072}}), 200).json
        self.assertEqual(to_rsa["key_props"], {"exportable": True, "kty": "RSA", "reuse_key": False, "key_size": 3072})
        for method, body in (("GET", None), ("PATCH", {})):
            self.expect(self.server.request(method, "/certificates/nobody/policy", body), 404, "CertificateNotFound")

    def test_update_changes_all_three(self):
        bundle = make(self.server, "upd", {"policy": policy(kty="EC"), "tags": {"a": "1"}})
        version = bundle["id"].rsplit("/", 1)[1]
        body = {"attributes": {"enabled": False, "exp": 1, "nbf": 0}, "tags": {"b": "2"}, "policy": {}}
        changed = self.expect(self.server.request("PATCH", f"/certificates/upd/{version}", body), 200).json
        self.assertIs(changed["attributes"]["enabled"], False)
        self.assertEqual(changed["attributes"]["exp"], bundle["attributes"]["exp"])
        self.assertEqual(changed["tags"], {"b": "2"})
        self.assertEqual(self.server.get("/certificates/upd").json["tags"], {"b": "2"})
        key = self.server.get("/keys/upd").json
        self.assertEqual((key["attributes"]["enabled"], key["tags"]), (False, {"b": "2"}))
        sign = {"alg": "ES256", "value": b64(bytes(32))}
        self.expect(self.server.post("/keys/upd/sign", sign), 403, "Forbidden", "KeyDisabled")
        self.expect(self.server.get("/secrets/upd"), 403, "Forbidden", "SecretDisabled")
        self.expect(self.server.request("PATCH", "/certificates/upd/", {"attributes": {"enabled": True}}), 200)
        self.expect(self.server.post("/keys/upd/sign", sign), 200)
        self.assertEqual(self.server.get("/secrets/upd").json["tags"], {"b": "2"})
        self.expect(self.server.request("PATCH", "/certificates/upd/" + "0" * 32, {"tags": {}}), 404, "CertificateNotFound")
        self.expect(self.server.request("PATCH", "/certificates/nobody/", {"tags": {}}), 404, "CertificateNotFound")
        self.expect(self.server.request("PATCH", "/certificates/upd/", {"attributes": 5}), 400, "BadParameter")

    def test_soft_delete(self):
        bundle = make(self.server, "gone", {"policy": policy(kty="EC"), "tags": {"t": "1"}})
        make(self.server, "gone", {"policy": policy(kty="EC")})
        self.expect(self.server.get("/deletedcertificates/gone"), 404, "CertificateNotFound")
        deleted = self.expect(self.server.request("DELETE", "/certificates/gone"), 200).json
        base = f"https://localhost:{self.server.port}"
        self.assertEqual(deleted["recoveryId"], f"{base}/deletedcertificates/gone")
        self.assertEqual(deleted["scheduledPurgeDate"] - deleted["deletedDate"], 90 * 86400)
        for path in ("/certificates/gone", "/certificates/gone/policy", "/certificates/gone/pending", "/certificates/gone/versions",
                     "/keys/gone", "/secrets/gone"):
            self.assertEqual(self.server.get(path).status, 404, path)
        for kind in ("keys", "secrets", "certificates"):
            self.assertEqual(self.server.get(f"/deleted{kind}/gone").status, 200, kind)
        self.expect(self.server.post("/certificates/gone/create", {"policy": policy()}), 409, "Conflict", "ObjectIsDeletedButRecoverable")
        # its key and secret go nowhere without it
        self.expect(self.server.post("/deletedkeys/gone/recover", b""), 403, "Forbidden", "KeyManagedByKeyVault")
        self.expect(self.server.request("DELETE", "/deletedkeys/gone"), 403, "Forbidden", "KeyManagedByKeyVault")
        self.expect(self.server.request("DELETE", "/deletedsecrets/gone"), 403, "Forbidden", "SecretManagedByKeyVault")
        back = self.expect(self.server.post("/deletedcertificates/gone/recover", b""), 200).json
        self.assertNotIn("recoveryId", back)
        old = bundle["id"].rsplit("/", 1)[1]
        for kind in ("keys", "secrets", "certificates"):
            self.assertEqual(self.server.get(f"/{kind}/gone/{old}").status, 200, kind)
            self.assertEqual(len(self.server.get(f"/{kind}/gone/versions").json["value"]), 2)
        self.assertEqual(self.server.get("/certificates/gone/pending").json["status"], "completed")
        self.expect(self.server.request("DELETE", "/certificates/gone"), 200)
        self.assertEqual(self.expect(self.server.request("DELETE", "/deletedcertificates/gone"), 204).body, b"")
        for kind in ("keys", "secrets", "certificates"):
            self.assertEqual(self.server.get(f"/deleted{kind}/gone").status, 404, kind)
        self.expect(self.server.request("DELETE", "/deletedcertificates/gone"), 404, "CertificateNotFound")
        self.expect(self.server.post("/deletedcertificates/gone/recover", b""), 404, "CertificateNotFound")
        make(self.server, "gone", {"policy": policy(kty="EC")})
        self.assertEqual(len(self.server.get("/certificates/gone/versions").json["value"]), 1)

    def test_delete_while_an_operation_is_open(self):
        make(self.server, "open", {"policy": policy(kty="EC")})
        self.expect(self.server.post("/certificates/open/create", {"policy": policy(issuer="Unknown", kty="EC")}), 202)
        self.expect(self.server.request("DELETE", "/certificates/open"), 200)
        self.expect(self.server.post("/deletedcertificates/open/recover", b""), 200)
        self.assertEqual(self.server.get("/certificates/open/pending").json["status"], "inProgress")

    def test_backup(self):
        first = make(self.server, "bak", {"policy": policy(kty="EC", key={"exportable": True}), "tags": {"t": "1"}})
        second = make(self.server, "bak", {"policy": policy(kty="RSA")})
        secret = self.server.get("/secrets/bak").json["value"]
        blob = self.expect(self.server.post("/certificates/bak/backup", b""), 200).json["value"]
        self.expect(self.server.post("/certificates/restore", {"value": blob}), 409, "Conflict")
        self.expect(self.server.request("DELETE", "/certificates/bak"), 200)
        self.expect(self.server.post("/certificates/restore", {"value": blob}), 409, "Conflict", "ObjectIsDeletedButRecoverable")
        self.expect(self.server.request("DELETE", "/deletedcertificates/bak"), 204)
        raw = unb64(blob)
        for at in range(0, len(raw), max(1, len(raw) // 40)):
            damaged = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1:]
            self.expect(self.server.post("/certificates/restore", {"value": b64(damaged)}), 400, "BadParameter")
        self.expect(self.server.post("/secrets/restore", {"value": blob}), 400, "BadParameter")
        back = self.expect(self.server.post("/certificates/restore", {"value": blob}), 200).json
        self.assertEqual({k: back[k] for k in ("id", "cer", "policy", "x5t")}, {k: second[k] for k in ("id", "cer", "policy", "x5t")})
        old = self.server.get("/certificates/bak/" + first["id"].rsplit("/", 1)[1]).json
        self.assertEqual((old["cer"], old["tags"]), (first["cer"], {"t": "1"}))
        self.assertEqual(self.server.get("/secrets/bak").json["value"], secret)
        self.server.ok("/keys/bak/" + first["id"].rsplit("/", 1)[1] + "/sign", {"alg": "ES256", "value": b64(bytes(32))})
        self.expect(self.server.post("/certificates/nobody/backup", b""), 404, "CertificateNotFound")

    def test_backup_for_another_domain(self):
        make(self.server, "abroad", {"policy": policy(kty="EC")})
        blob = self.expect(self.server.post("/certificates/abroad/backup", b""), 200).json["value"]
        other = Server().start()
        try:
            answer = self.expect(other.post("/certificates/restore", {"value": blob}), 400, "BadParameter")
            self.assertIn("security domain", answer.json["error"]["message"])
            for path in ("/certificates/abroad", "/keys/abroad", "/secrets/abroad"):
                self.expect(other.get(path), 404)
        finally:
            other.stop()
            other.remove()

    def test_issuers(self):
        body = {"provider": "DigiCert", "credentials": {"account_id": "me", "pwd": "secret-word"},
                "org_details": {"id": "org", "admin_details": [{"first_name": "A", "last_name": "B", "email": "a@b", "phone": "1"}]}}
        self.expect(self.server.get("/certificates/issuers/iss"), 404, "CertificateIssuerNotFound")
        self.expect(self.server.request("PATCH", "/certificates/issuers/iss", {"provider": "x"}), 404, "CertificateIssuerNotFound")
        made = self.expect(self.server.request("PUT", "/certificates/issuers/iss", body), 200).json
        self.assertNotIn(b"secret-word", self.server.get("/certificates/issuers/iss").body)
        self.assertEqual(made["org_details"], body["org_details"])
        self.assertEqual(made["credentials"], {"account_id": "me"})
        changed = self.expect(self.server.request("PATCH", "/certificates/issuers/iss", {"attributes": {"enabled": False}}), 200).json
        self.assertEqual((changed["provider"], changed["attributes"]["enabled"]), ("DigiCert", False))
        self.assertEqual(changed["attributes"]["created"], made["attributes"]["created"])
        for i in range(4):
            self.expect(self.server.request("PUT", f"/certificates/issuers/more-{i}", {"provider": "Test"}), 200)
        page = self.server.get("/certificates/issuers?maxresults=3").json
        self.assertEqual([i["id"].rsplit("/", 1)[1] for i in page["value"]], ["iss", "more-0", "more-1"])
        self.assertIn("/certificates/issuers?", page["nextLink"])
        for bad in ({}, {"provider": 5}, {"provider": "x", "org_details": {"admin_details": [1]}}, {"provider": "x" * 300}):
            self.expect(self.server.request("PUT", "/certificates/issuers/bad", bad), 400, "BadParameter")
        self.assertEqual(self.expect(self.server.request("DELETE", "/certificates/issuers/iss"), 200).json["provider"], "DigiCert")
        self.expect(self.server.request("DELETE", "/certificates/issuers/iss"), 404, "CertificateIssuerNotFound")

    def test_contacts(self):
        self.expect(self.server.request("DELETE", "/certificates/contacts"), 404, "ContactsNotFound")
        contacts = [{"email": "a@b.example", "name": "A", "phone": "1"}, {"email": "c@d.example"}]
        made = self.expect(self.server.request("PUT", "/certificates/contacts", {"contacts": contacts}), 200).json
        self.assertEqual(made["contacts"], contacts)
        self.assertEqual(self.server.get("/certificates/contacts").json, made)
        for bad in ({}, {"contacts": 5}, {"contacts": [{"name": "x"}]}, {"contacts": [{"email": "x"}] * 33}):
            self.expect(self.server.request("PUT", "/certificates/contacts", bad), 400, "BadParameter")
        self.assertEqual(self.expect(self.server.request("DELETE", "/certificates/contacts"), 200).json["contacts"], contacts)
        self.expect(self.server.get("/certificates/contacts"), 404, "ContactsNotFound")


class Pages(Case):
    def test_lists(self):
        self.assertEqual(self.server.get("/certificates").json, {"value": [], "nextLink": None})
        for i in range(7):
            issuer = "Unknown" if i in (0, 3, 6) else "Self"
            self.expect(self.server.post(f"/certificates/L{i}/create", {"policy": policy(issuer=issuer, kty="EC")}), 202)
        for i in (1, 2, 4, 5):
            wait(self.server, f"L{i}")
        # an operation that stands on a certificate is shown as the certificate
        self.expect(self.server.post("/certificates/L5/create", {"policy": policy(issuer="Unknown", kty="EC")}), 202)
        for limit in (1, 2, 3, 25):
            for pending, names in (("", ["L1", "L2", "L4", "L5"]), ("&includePending=true", [f"L{i}" for i in range(7)])):
                with self.subTest(limit=limit, pending=pending):
                    found, link = [], f"/certificates?maxresults={limit}{pending}"
                    while link:
                        page = self.expect(self.server.get(link), 200).json
                        self.assertLessEqual(len(page["value"]), limit)
                        found += [i["id"].rsplit("/", 1)[1] for i in page["value"]]
                        link = page["nextLink"]
                        if link:
                            link = link[link.index("/certificates"):].replace("api-version=7.4&", "")
                            self.assertEqual("includePending=true" in link, bool(pending))
                    self.assertEqual(found, names)
        item = self.server.get("/certificates").json["value"][0]
        self.assertEqual(set(item), {"id", "x5t", "subject", "attributes"})
        self.assertEqual(item["subject"], "CN=keyward.example, O=Who")


class Restart(unittest.TestCase):
    """What the database keeps, over restarts and crashes."""

    def setUp(self):
        self.server = Server().start()

    def tearDown(self):
        self.server.process.kill()
        self.server.process.wait()
        self.server.process.stdout.close()
        self.server.remove()

    def database(self, *statements):
        import sqlite3
        connection = sqlite3.connect(self.server.data / "keyward.db")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        finally:
            connection.close()

    def test_operations_survive(self):
        server = self.server
        operation = server.post("/certificates/wait/create", {"policy": policy(issuer="Unknown", kty="EC")}).json
        made = make(server, "have", {"policy": policy()})
        self.assertEqual(server.stop(), 0)
        server.start()
        self.assertEqual(server.get("/certificates/have").json, made)
        leaf = Authority().sign(base64.b64decode(operation["csr"]))
        merged = server.post("/certificates/wait/pending/merge", {"x5c": [std(der(leaf))]})
        self.assertEqual(merged.status, 201, merged.body)
        self.assertEqual(server.stop(), 0)

    def aged(self, days_old, days_left):
        """A key and a certificate of it that was made some time ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "aged")])
        start = datetime.datetime.utcnow() - datetime.timedelta(days=days_old)
        cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
                .not_valid_before(start).not_valid_after(start + datetime.timedelta(days=days_old + days_left))
                .sign(key, hashes.SHA256()))
        return pem(key, cert)

    def put(self, name, value, trigger, issuer="Self"):
        body = {"value": value, "tags": {"k": "v"},
                "policy": {"issuer": {"name": issuer},
                           "lifetime_actions": [{"trigger": trigger, "action": {"action_type": "AutoRenew"}}]}}
        answer = self.server.post(f"/certificates/{name}/import", body)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json

    def restart(self, *statements):
        self.assertEqual(self.server.stop(), 0)
        self.database(*statements)
        self.server.start()

    def versions(self, name, kind="certificates"):
        return len(self.server.get(f"/{kind}/{name}/versions").json["value"])

    def wait_versions(self, name, count):
        end = time.monotonic() + 30
        while self.versions(name) < count and time.monotonic() < end:
            time.sleep(0.1)

    def test_renewal(self):
        server = self.server
        old = self.aged(80, 10)
        first = self.put("due", old, {"lifetime_percentage": 50})
        self.put("days", old, {"days_before_expiry": 20})
        self.put("later", old, {"lifetime_percentage": 95})
        self.put("merge", old, {"lifetime_percentage": 50}, issuer="Unknown")
        self.restart()  # it looks at what is due soon after its start
        for name in ("due", "days"):
            self.wait_versions(name, 2)
        # a new version is not due for a long time, whoever looks: not after a restart, nor when woken in vain
        self.restart("UPDATE objects SET wake_at = 1 WHERE kind = 3")
        time.sleep(6)
        for name, count in (("due", 2), ("days", 2), ("later", 1), ("merge", 1)):
            for kind in ("certificates", "keys", "secrets"):
                self.assertEqual(self.versions(name, kind), count, (name, kind))
        second = server.get("/certificates/due").json
        cert = cert_of(second)
        self.assertEqual(cert.subject, cert_of(first).subject)
        self.assertNotEqual(cert.public_key().public_numbers(), cert_of(first).public_key().public_numbers())
        self.assertGreater(cert.not_valid_after, datetime.datetime.utcnow() + datetime.timedelta(days=80))
        self.assertEqual(second["tags"], {"k": "v"})
        # what was put off is due once its policy says so
        changed = server.request("PATCH", "/certificates/later/policy", {"lifetime_actions": [
            {"trigger": {"lifetime_percentage": 50}, "action": {"action_type": "AutoRenew"}}]})
        self.assertEqual(changed.status, 200)
        self.restart()
        self.wait_versions("later", 2)
        self.assertEqual(self.versions("later"), 2)
        self.assertEqual(server.stop(), 0)

    def test_a_crash_behind_the_answer(self):
        """What was begun is finished by the next start, and once."""
        server = self.server
        names = []
        for i in range(6):
            answer = server.post(f"/certificates/crash-{i}/create", {"policy": policy(kty="EC")})
            self.assertEqual(answer.status, 202)
            names.append(f"crash-{i}")
        server.process.kill()
        server.process.wait()
        server.close()
        self.database("UPDATE objects SET wake_at = 1 WHERE kind = 6 AND wake_at > 0")
        server.start()
        for name in names:
            self.assertEqual(wait(server, name, 30)["status"], "completed")
            for kind in ("certificates", "keys", "secrets"):
                self.assertEqual(self.versions(name, kind), 1)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main()

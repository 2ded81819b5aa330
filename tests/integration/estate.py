"""What an instance holds, for tests of recovery: filled with everything that a backup carries, written down as clients see
it, and used: what was made with the keys before has to open after, and what is signed after has to verify with the public
keys of before. The arithmetic on this side is another implementation's."""

import hashlib
import os
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from crypto_test import EC_ALG, RSA_CIPHER, RSA_SIGN, ec_public, rsa_padding, rsa_public
from keyward import b64, unb64
from keys_test import ec_jwk, rsa_jwk

EC_HASH = {32: hashes.SHA256(), 48: hashes.SHA384(), 64: hashes.SHA512()}
ROTATE = {"lifetimeActions": [{"trigger": {"timeAfterCreate": "P90D"}, "action": {"type": "Rotate"}}],
          "attributes": {"expiryTime": "P2Y"}}
AUTHORIZATION = "providers/Microsoft.Authorization"
LISTS = ("keys", "deletedkeys", "secrets", "deletedsecrets", "certificates", "deletedcertificates", "certificates/issuers",
         f"{AUTHORIZATION}/roleDefinitions", f"{AUTHORIZATION}/roleAssignments")


# --- filling ---------------------------------------------------------------------------------------------------------


def put(server, path, body):
    answer = server.request("PUT", path, body)
    assert answer.status in (200, 201), (path, answer.status, answer.body)
    return answer.json


def wait_issued(server, name):
    end = time.monotonic() + 60
    while server.get(f"/certificates/{name}/pending").json["status"] == "inProgress":
        assert time.monotonic() < end, name
        time.sleep(0.05)


def make_keys(server):
    """Every kind, some with more versions, imports, and keys with all that can be said about one."""
    for bits in (2048, 3072, 4096):
        server.create(f"rsa-{bits}", "RSA", key_size=bits, tags={"bits": str(bits)})
    for bits in (2048, 3072):
        server.create(f"rsahsm-{bits}", "RSA-HSM", key_size=bits)
    for crv in EC_ALG:
        for kty in ("EC", "EC-HSM"):
            for version in ("1", "2"):
                server.create(f"{kty.replace('-', '').lower()}-{crv}", kty, crv=crv, tags={"version": version, "crv": crv})
    for bits in (128, 192, 256):
        for kty in ("oct", "oct-HSM"):
            server.create(f"{kty.replace('-', '').lower()}-{bits}", kty, key_size=bits)
    put(server, "/keys/imported-rsa", {"key": rsa_jwk()[1], "tags": {"from": "elsewhere"}})
    put(server, "/keys/imported-ec", {"key": ec_jwk("P-256")[1], "attributes": {"exp": 4102444800}})
    for version in range(4):
        server.create("many", "RSA", key_size=2048, tags={"version": str(version), "owner": "a b & c=é"})
    server.create("off", "EC", attributes={"enabled": False})
    server.create("timed", "EC", attributes={"nbf": 4000000000, "exp": 4102444800})
    server.create("signs", "RSA", key_ops=["sign", "verify"])
    put(server, "/keys/ec-P-256/rotationpolicy", ROTATE)
    for name in ("deleted", "gone"):
        server.create(name, "EC")
        assert server.request("DELETE", f"/keys/{name}").status == 200
    assert server.request("DELETE", "/deletedkeys/gone").status == 204


def make_others(server):
    for i in range(5):
        put(server, "/secrets/many", {"value": f"value {i}", "tags": {"i": str(i)}})
    put(server, "/secrets/text", {"value": "é\n" * 8000, "contentType": "text/plain", "attributes": {"exp": 4102444800}})
    put(server, "/secrets/off", {"value": "o", "attributes": {"enabled": False}})
    put(server, "/secrets/deleted", {"value": "d"})
    assert server.request("DELETE", "/secrets/deleted").status == 200
    put(server, "/certificates/issuers/iss", {"provider": "x", "org_details": {"id": "o"}})
    put(server, "/certificates/contacts", {"contacts": [{"email": "a@b", "name": "A", "phone": "1"}]})
    for name, kty in (("cert-rsa", "RSA"), ("cert-ec", "EC"), ("cert-rsa", "RSA")):  # two versions of one
        body = {"policy": {"issuer": {"name": "Self"}, "key_props": {"kty": kty, "exportable": True},
                           "x509_props": {"subject": f"CN={name}", "validity_months": 9}}, "tags": {"name": name}}
        assert server.post(f"/certificates/{name}/create", body).status == 202
        wait_issued(server, name)
    waits = server.post("/certificates/waits/create", {"policy": {"issuer": {"name": "Unknown"}, "x509_props": {"subject": "CN=w"}}})
    assert waits.status == 202, waits.body


def guid(number):
    return f"{number:08x}-0000-4000-8000-000000000000"


def make_roles(server):
    """A role of its own, and assignments at every kind of scope."""
    put(server, f"/{AUTHORIZATION}/roleDefinitions/{guid(9)}", {"properties": {
        "roleName": "Signs alone", "description": "é", "permissions": [{"dataActions": ["Microsoft.KeyVault/managedHsm/keys/sign/action"]}]}})
    roles = [role["id"] for role in listed(server, f"{AUTHORIZATION}/roleDefinitions")]
    assert any(role.endswith(guid(9)) for role in roles), roles
    for i, role in enumerate(roles):
        body = {"properties": {"roleDefinitionId": role, "principalId": guid(100 + i)}}
        put(server, f"{('', '/keys', '/keys/rsa-2048')[i % 3]}/{AUTHORIZATION}/roleAssignments/{guid(200 + i)}", body)
    answer = server.request("PATCH", "/settings/AllowKeyManagementOperationsThroughARM", {"value": "true"})
    assert answer.status == 200, answer.body


def fill_hsm(server):
    """Every kind of key that members hold, with versions."""
    for bits in (2048, 3072):
        server.create(f"rsahsm-{bits}", "RSA-HSM", key_size=bits, tags={"bits": str(bits)})
    for crv in ("P-256", "P-384", "P-521"):
        for version in ("1", "2"):
            server.create(f"echsm-{crv}", "EC-HSM", crv=crv, tags={"version": version})
    for bits in (128, 256):
        server.create(f"octhsm-{bits}", "oct-HSM", key_size=bits)
    put(server, "/keys/imported", {"key": rsa_jwk()[1], "Hsm": True})
    put(server, "/keys/echsm-P-256/rotationpolicy", ROTATE)
    put(server, "/secrets/kept", {"value": "v"})


def fill(server):
    make_keys(server)
    make_others(server)
    make_roles(server)


# --- what clients see ------------------------------------------------------------------------------------------------


def local(server, url):
    return url.split(f"localhost:{server.port}", 1)[1]


def listed(server, path):
    found, path = [], f"/{path}?maxresults=7"
    while path:
        answer = server.get(path, version="api-version" not in path)
        assert answer.status == 200, (path, answer.body)
        found += answer.json["value"]
        path = answer.json["nextLink"] and local(server, answer.json["nextLink"])
    return found


def inventory(server):
    """{path: (status, answer)} of everything, every version in full; addresses as they are, port included."""
    seen = {name: listed(server, name) for name in LISTS}

    def note(path):
        answer = server.get(path)
        seen[path] = (answer.status, answer.json)

    for kind in ("keys", "secrets", "certificates"):
        for item in seen[kind]:
            path = local(server, item.get("kid") or item["id"])
            versions = listed(server, f"{path[1:]}/versions")
            seen[f"{path}/versions"] = versions
            for version in versions:
                note(local(server, version.get("kid") or version["id"]))
            note(path)
            if kind == "keys":
                note(f"{path}/rotationpolicy")
            elif kind == "certificates":
                note(f"{path}/policy")
    for item in seen["deletedkeys"] + seen["deletedsecrets"] + seen["deletedcertificates"]:
        note(local(server, item["recoveryId"]))
    for item in seen["certificates/issuers"]:
        note(local(server, item["id"]))
    note("/certificates/contacts")
    note("/certificates/waits/pending")
    note("/settings")
    return seen


def differences(before, after):
    return {path: (before.get(path), after.get(path)) for path in sorted({*before, *after}) if before.get(path) != after.get(path)}


# --- use -------------------------------------------------------------------------------------------------------------


class Work:
    """Ciphertexts and wraps made with every key version that may be used, and what has to be right later."""

    def __init__(self, server):
        self.keys, self.made = [], []
        for item in listed(server, "keys"):
            for version in listed(server, f"{local(server, item['kid'])[1:]}/versions"):
                self.note(server, server.get(local(server, version["kid"])).json)

    def note(self, server, bundle):
        jwk, attributes = bundle["key"], bundle["attributes"]
        if not attributes["enabled"] or attributes.get("nbf", 0) > time.time():
            return
        self.keys.append(jwk)
        path = local(server, jwk["kid"])
        plain = os.urandom(32)
        if jwk["kty"].startswith("RSA"):
            for alg in RSA_CIPHER:
                if "wrapKey" in jwk["key_ops"]:
                    self.keep(server, path, "wrapkey", "unwrapkey", alg, plain)
                if "encrypt" not in jwk["key_ops"]:
                    continue
                self.keep(server, path, "encrypt", "decrypt", alg, plain)
                self.made.append((path, "decrypt", {"alg": alg, "value": b64(rsa_public(jwk).encrypt(plain, RSA_CIPHER[alg]))}, plain))
        if jwk["kty"].startswith("oct"):
            bits = next(b for b in (128, 192, 256) if path.split("/")[2].endswith(str(b)))
            for there, back, alg in (("encrypt", "decrypt", f"A{bits}GCM"), ("encrypt", "decrypt", f"A{bits}CBCPAD"),
                                     ("wrapkey", "unwrapkey", f"A{bits}KW"), ("wrapkey", "unwrapkey", "CKM_AES_KEY_WRAP_PAD")):
                self.keep(server, path, there, back, alg, plain)

    def keep(self, server, path, there, back, alg, plain):
        out = server.ok(f"{path}/{there}", {"alg": alg, "value": b64(plain)})
        out.pop("kid")
        self.made.append((path, back, {**out, "alg": alg}, plain))

    def check(self, server):
        """(signatures, openings): every one of them right, or an exception."""
        signatures = openings = 0
        for jwk in self.keys:
            path = local(server, jwk["kid"])
            if jwk["kty"].startswith("RSA") and "sign" in jwk["key_ops"]:
                for alg in RSA_SIGN:
                    digest = hashlib.new("sha" + alg[2:], os.urandom(8)).digest()
                    out = server.ok(f"{path}/sign", {"alg": alg, "value": b64(digest)})
                    assert out["kid"] == jwk["kid"], out
                    rsa_public(jwk).verify(unb64(out["value"]), digest, *rsa_padding(alg))
                    signatures += 1
            elif jwk["kty"].startswith("EC"):
                alg, size = EC_ALG[jwk["crv"]]
                digest = os.urandom(size)
                out = server.ok(f"{path}/sign", {"alg": alg, "value": b64(digest)})
                assert out["kid"] == jwk["kid"], out
                raw = unb64(out["value"])
                half = len(raw) // 2
                der = utils.encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
                ec_public(jwk).verify(der, digest, ec.ECDSA(utils.Prehashed(EC_HASH[size])))
                signatures += 1
        for path, back, body, plain in self.made:
            value = server.ok(f"{path}/{back}", body)["value"]
            assert unb64(value) == plain, path
            openings += 1
        return signatures, openings

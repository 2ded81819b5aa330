// Every public method of CertificateClient against a running gateway.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";

import { CertificateClient, CryptographyClient, KeyClient, SecretClient, all, assertAllCalled, client, credential, poll, refused, unique, url } from "./support.mjs";

const certificates = client(CertificateClient, url, credential, {});
const keys = client(KeyClient, url, credential, {});
const secrets = client(SecretClient, url, credential, {});
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "keyward-certificates-"));
after(() => fs.rmSync(folder, { recursive: true }));

const openssl = (...args) => execFileSync("openssl", args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
const file = (name) => path.join(folder, name);
const self = { issuerName: "Self", subject: "CN=keyward.example", subjectAlternativeNames: { dnsNames: ["keyward.example", "www.keyward.example"] } };
const create = async (name, policy, options) => (await certificates.beginCreateCertificate(name, policy, { ...poll, ...options })).pollUntilDone();

test("self-signed: certificate, key and secret are one", async () => {
  for (const more of [{ keyType: "RSA", keySize: 2048 }, { keyType: "EC", keyCurveName: "P-256" }, { keyType: "RSA-HSM", keySize: 3072, exportable: false }]) {
    const name = unique("self");
    const made = await create(name, { ...self, ...more, validityInMonths: 6 }, { tags: { k: "v" } });
    const x509 = new crypto.X509Certificate(made.cer);
    assert.equal(x509.subject, "CN=keyward.example");
    assert.equal(x509.subjectAltName, "DNS:keyward.example, DNS:www.keyward.example");
    assert.ok(x509.verify(x509.publicKey));
    assert.equal(Buffer.from(made.properties.x509Thumbprint).toString("hex"), crypto.createHash("sha1").update(made.cer).digest("hex"));
    assert.equal(made.policy.keyType, more.keyType);
    assert.deepEqual(made.properties.tags, { k: "v" });
    const key = await keys.getKey(name, { version: made.properties.version });
    assert.equal(key.id, made.keyId);
    assert.equal(key.properties.managed, true);
    const data = crypto.randomBytes(50);
    const algorithm = more.keyType === "EC" ? "ES256" : "RS256";
    const { result } = await client(CryptographyClient, key, credential, {}).signData(algorithm, data);
    assert.ok(crypto.verify("sha256", data, { key: x509.publicKey, dsaEncoding: "ieee-p1363" }, result));
    const secret = await secrets.getSecret(name);
    assert.equal(secret.properties.id, made.secretId);
    assert.equal(secret.properties.contentType, "application/x-pkcs12");
    fs.writeFileSync(file("secret.p12"), Buffer.from(secret.value, "base64"));
    const pem = openssl("pkcs12", "-in", "secret.p12", "-passin", "pass:", "-nodes").toString();
    assert.ok(pem.includes("BEGIN CERTIFICATE"));
    if (more.exportable === false) assert.equal(pem.includes("PRIVATE KEY"), false);
    else assert.ok(x509.checkPrivateKey(crypto.createPrivateKey(pem)));
  }
});

test("PEM content type, versions, update", async () => {
  const name = unique("pem");
  const policy = { ...self, contentType: "application/x-pem-file", keyType: "EC", keyCurveName: "P-384", reuseKey: true };
  const first = await create(name, policy);
  const second = await create(name, policy);
  assert.notEqual(second.properties.version, first.properties.version);
  assert.equal((await all(certificates.listPropertiesOfCertificateVersions(name))).length, 2);
  assert.ok((await all(certificates.listPropertiesOfCertificates())).some((c) => c.name === name));
  const read = await certificates.getCertificateVersion(name, first.properties.version);
  assert.deepEqual(read.cer, first.cer);
  // reuse_key: both certificates are of one key
  assert.ok(new crypto.X509Certificate(first.cer).publicKey.equals(new crypto.X509Certificate(second.cer).publicKey));
  const pem = (await secrets.getSecret(name)).value;
  assert.ok(new crypto.X509Certificate(pem).checkPrivateKey(crypto.createPrivateKey(pem)));
  const changed = await certificates.updateCertificateProperties(name, second.properties.version, { enabled: false, tags: { x: "y" } });
  assert.equal(changed.properties.enabled, false);
  assert.deepEqual((await certificates.getCertificate(name)).properties.tags, { x: "y" });
});

test("policy: read, merged member by member", async () => {
  const name = unique("policy");
  await create(name, { ...self, validityInMonths: 12, lifetimeActions: [{ action: "AutoRenew", lifetimePercentage: 80 }] });
  const policy = await certificates.getCertificatePolicy(name);
  assert.equal(policy.validityInMonths, 12);
  assert.deepEqual(policy.lifetimeActions.map((a) => [a.action, a.lifetimePercentage]), [["AutoRenew", 80]]);
  await certificates.updateCertificatePolicy(name, { validityInMonths: 24, subject: "CN=changed.example" });
  const merged = await certificates.getCertificatePolicy(name);
  assert.equal(merged.validityInMonths, 24);
  assert.equal(merged.issuerName, "Self");
});

test("a request for somebody else's signature: CSR, merge, cancel, delete", async () => {
  openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA", "-days", "30");
  const name = unique("csr");
  const poller = await certificates.beginCreateCertificate(name, { ...self, issuerName: "Unknown", keyType: "RSA", keySize: 2048 }, poll);
  assert.equal(poller.isDone(), false);
  const operation = (await certificates.getCertificateOperation(name, poll)).getOperationState().certificateOperation;
  assert.equal(operation.status, "inProgress");
  fs.writeFileSync(file("csr.der"), operation.csr);
  openssl("req", "-inform", "der", "-in", "csr.der", "-verify", "-noout");
  openssl("x509", "-req", "-inform", "der", "-in", "csr.der", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "leaf.pem", "-days", "10");
  const other = fs.readFileSync(file("ca.pem"));
  await refused(certificates.mergeCertificate(name, [Buffer.from(other.toString().replace(/-----[^-]*-----|\s/g, ""))]), 400, "BadParameter");
  const leaf = fs.readFileSync(file("leaf.pem")).toString().replace(/-----[^-]*-----|\s/g, "");
  const merged = await certificates.mergeCertificate(name, [Buffer.from(leaf)]);
  assert.equal(new crypto.X509Certificate(merged.cer).issuer, "CN=Test CA");
  assert.equal((await keys.getKey(name)).id, merged.keyId);

  const cancelled = unique("cancel");
  const waiting = await certificates.beginCreateCertificate(cancelled, { ...self, issuerName: "Unknown" }, poll);
  await waiting.cancelOperation();
  const after = (await certificates.getCertificateOperation(cancelled, poll)).getOperationState().certificateOperation;
  assert.deepEqual([after.cancellationRequested, after.status], [true, "cancelled"]);
  const gone = await certificates.deleteCertificateOperation(cancelled);
  assert.equal(gone.name, cancelled);
  await assert.rejects(certificates.getCertificateOperation(cancelled, poll));
});

test("import of PEM and of PKCS#12", async () => {
  openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "import.key", "-out", "import.pem",
    "-subj", "/CN=imported.example", "-days", "30");
  const pem = Buffer.concat([fs.readFileSync(file("import.key")), fs.readFileSync(file("import.pem"))]);
  const fromPem = await certificates.importCertificate(unique("import"), pem, { policy: { contentType: "application/x-pem-file" } });
  assert.equal(new crypto.X509Certificate(fromPem.cer).subject, "CN=imported.example");
  openssl("pkcs12", "-export", "-in", "import.pem", "-inkey", "import.key", "-out", "import.p12", "-passout", "pass:word");
  const p12 = fs.readFileSync(file("import.p12"));
  const name = unique("import");
  const fromP12 = await certificates.importCertificate(name, p12, { password: "word" });
  assert.deepEqual(fromP12.cer, fromPem.cer);
  const data = Buffer.from("signed with an imported key");
  const { result } = await client(CryptographyClient, await keys.getKey(name), credential, {}).signData("ES256", data);
  assert.ok(crypto.verify("sha256", data, { key: new crypto.X509Certificate(fromPem.cer).publicKey, dsaEncoding: "ieee-p1363" }, result));
  await refused(certificates.importCertificate(unique("import"), p12, { password: "wrong" }), 400, "BadParameter");
});

test("issuers and contacts", async () => {
  const name = unique("issuer").replace(/-/g, "");
  const made = await certificates.createIssuer(name, "Test", { accountId: "me", administratorContacts: [{ firstName: "A", lastName: "B", email: "a@b.example", phone: "1" }] });
  assert.equal(made.provider, "Test");
  const changed = await certificates.updateIssuer(name, { accountId: "you" });
  assert.equal(changed.accountId, "you");
  assert.equal((await certificates.getIssuer(name)).accountId, "you");
  assert.ok((await all(certificates.listPropertiesOfIssuers())).some((i) => i.id.endsWith(`/certificates/issuers/${name}`)));
  assert.ok((await certificates.deleteIssuer(name)).id.endsWith(`/certificates/issuers/${name}`));
  await assert.rejects(certificates.getIssuer(name), (e) => e.statusCode === 404);

  const contacts = [{ email: "ops@keyward.example", name: "Ops", phone: "123" }];
  assert.equal((await certificates.setContacts(contacts))[0].email, "ops@keyward.example");
  assert.equal((await certificates.getContacts())[0].name, "Ops");
  await certificates.deleteContacts();
  await assert.rejects(certificates.getContacts(), (e) => e.statusCode === 404);
});

test("delete, recover, purge, backup, restore take key and secret with them", async () => {
  const name = unique("life");
  const made = await create(name, { ...self, keyType: "EC", keyCurveName: "P-256" });
  const value = (await secrets.getSecret(name)).value;
  await refused(keys.beginDeleteKey(name, poll), 403, "Forbidden");
  await (await certificates.beginDeleteCertificate(name, poll)).pollUntilDone();
  await refused(keys.getKey(name), 404, "KeyNotFound");
  await refused(secrets.getSecret(name), 404, "SecretNotFound");
  assert.equal((await certificates.getDeletedCertificate(name)).name, name);
  assert.ok((await all(certificates.listDeletedCertificates())).some((c) => c.name === name));
  await (await certificates.beginRecoverDeletedCertificate(name, poll)).pollUntilDone();
  assert.equal((await certificates.getCertificate(name)).properties.version, made.properties.version);
  assert.equal((await secrets.getSecret(name)).value, value);
  const blob = await certificates.backupCertificate(name);
  await refused(certificates.restoreCertificateBackup(blob), 409, "Conflict");
  await (await certificates.beginDeleteCertificate(name, poll)).pollUntilDone();
  await certificates.purgeDeletedCertificate(name);
  await refused(certificates.getDeletedCertificate(name), 404, "CertificateNotFound");
  const changed = Buffer.from(blob);
  changed[changed.length >> 1] ^= 1;
  await refused(certificates.restoreCertificateBackup(changed), 400, "BadParameter");
  const restored = await certificates.restoreCertificateBackup(blob);
  assert.deepEqual(restored.cer, made.cer);
  assert.equal((await secrets.getSecret(name)).value, value);
  assert.ok((await keys.getKey(name)).id, made.keyId);
});

test("every public method of CertificateClient was called", () => assertAllCalled(CertificateClient));

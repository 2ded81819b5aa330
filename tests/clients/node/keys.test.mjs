// Every public method of KeyClient against a running gateway.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import { test } from "node:test";

import { KeyClient, all, assertAllCalled, client, credential, poll, publicKey, refused, unique, url } from "./support.mjs";

const keys = client(KeyClient, url, credential, {});

test("createKey, createRsaKey, createEcKey, createOctKey give what was asked for", async () => {
  const plain = await keys.createKey(unique("plain"), "EC");
  assert.equal(plain.key.crv, "P-256");
  for (const keySize of [2048, 3072, 4096]) {
    const key = await keys.createRsaKey(unique("rsa"), { keySize, keyOps: ["sign", "verify"], tags: { size: `${keySize}` } });
    assert.equal(key.keyType, "RSA");
    assert.equal(key.key.n.length * 8, keySize);
    assert.deepEqual(key.keyOperations, ["sign", "verify"]);
    assert.deepEqual(key.properties.tags, { size: `${keySize}` });
    assert.equal(publicKey(key.key).asymmetricKeyDetails.modulusLength, keySize);
  }
  for (const curve of ["P-256", "P-384", "P-521", "P-256K"]) {
    const key = await keys.createEcKey(unique("ec"), { curve, hsm: true });
    assert.equal(key.keyType, "EC-HSM");
    assert.equal(key.key.crv, curve);
    publicKey(key.key); // refuses a point that is not on the curve
  }
  const oct = await keys.createOctKey(unique("oct"), { keySize: 256, hsm: true });
  assert.equal(oct.keyType, "oct-HSM");
  assert.equal(oct.key.k, undefined);
});

test("attributes: enabled, notBefore, expiresOn, created, updated, recoveryLevel", async () => {
  const name = unique("attributes");
  const notBefore = new Date(Date.now() - 60_000);
  const expiresOn = new Date(Date.now() + 86_400_000);
  notBefore.setMilliseconds(0);
  expiresOn.setMilliseconds(0);
  const made = await keys.createEcKey(name, { notBefore, expiresOn });
  assert.equal(+made.properties.notBefore, +notBefore);
  assert.equal(+made.properties.expiresOn, +expiresOn);
  assert.ok(Math.abs(made.properties.createdOn - Date.now()) < 120_000);
  assert.equal(made.properties.recoveryLevel, "Recoverable+Purgeable");
  assert.equal(made.properties.vaultUrl, url);
  const changed = await keys.updateKeyProperties(name, { enabled: false, tags: { a: "b" } });
  assert.equal(changed.properties.enabled, false);
  assert.deepEqual(changed.properties.tags, { a: "b" });
  const again = await keys.updateKeyProperties(name, made.properties.version, { enabled: true });
  assert.equal(again.properties.enabled, true);
  assert.equal((await keys.getKey(name, { version: made.properties.version })).properties.enabled, true);
});

test("importKey: the public half that comes back is that of the private one", async () => {
  const pair = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = pair.privateKey.export({ format: "jwk" });
  const part = (name) => Buffer.from(jwk[name], "base64url");
  const imported = await keys.importKey(unique("import"), {
    kty: "RSA", n: part("n"), e: part("e"), d: part("d"), p: part("p"), q: part("q"), dp: part("dp"), dq: part("dq"), qi: part("qi"),
  }, { tags: { from: "node" } });
  assert.ok(publicKey(imported.key).equals(pair.publicKey));
  await refused(keys.importKey(unique("import"), { kty: "RSA", n: part("n"), e: part("e") }), 400, "BadParameter");
});

test("versions, lists and pages", async () => {
  const name = unique("versions");
  for (let i = 0; i < 3; i++) await keys.createEcKey(name);
  const versions = await all(keys.listPropertiesOfKeyVersions(name));
  assert.equal(versions.length, 3);
  assert.equal(new Set(versions.map((v) => v.version)).size, 3);
  const stem = unique("page");
  const wanted = [];
  for (let i = 0; i < 30; i++) wanted.push((await keys.createEcKey(`${stem}-${i}`)).name);
  const listed = (await all(keys.listPropertiesOfKeys())).map((k) => k.name);
  for (const one of wanted) assert.ok(listed.includes(one), one);
  assert.equal(new Set(listed).size, listed.length);
  const page = (await keys.listPropertiesOfKeys().byPage({ maxPageSize: 5 }).next()).value;
  assert.equal(page.length, 5);
});

test("delete, deleted list, recover, purge", async () => {
  const name = unique("delete");
  const made = await keys.createEcKey(name);
  const deleted = await (await keys.beginDeleteKey(name, poll)).pollUntilDone();
  assert.equal(deleted.name, name);
  assert.ok(deleted.properties.deletedOn && deleted.properties.scheduledPurgeDate && deleted.properties.recoveryId);
  await refused(keys.getKey(name), 404, "KeyNotFound");
  await refused(keys.createEcKey(name), 409, "Conflict");
  assert.equal((await keys.getDeletedKey(name)).key.kid, made.key.kid);
  assert.ok((await all(keys.listDeletedKeys())).some((k) => k.name === name));
  const back = await (await keys.beginRecoverDeletedKey(name, poll)).pollUntilDone();
  assert.equal(back.properties.version, made.properties.version);
  assert.equal((await keys.getKey(name)).key.kid, made.key.kid);
  await (await keys.beginDeleteKey(name, poll)).pollUntilDone();
  await keys.purgeDeletedKey(name);
  await refused(keys.getDeletedKey(name), 404, "KeyNotFound");
  assert.notEqual((await keys.createEcKey(name)).properties.version, made.properties.version);
});

test("backupKey and restoreKeyBackup keep every version, and what they sign", async () => {
  const name = unique("backup");
  await keys.createEcKey(name, { tags: { v: "1" } });
  const second = await keys.createEcKey(name, { tags: { v: "2" } });
  const before = (await all(keys.listPropertiesOfKeyVersions(name))).map((v) => v.version).sort();
  const blob = await keys.backupKey(name);
  await refused(keys.restoreKeyBackup(blob), 409, "Conflict");
  await (await keys.beginDeleteKey(name, poll)).pollUntilDone();
  await refused(keys.restoreKeyBackup(blob), 409, "Conflict");
  await keys.purgeDeletedKey(name);
  for (const at of [0, 7, blob.length >> 1, blob.length - 1]) {
    const changed = Buffer.from(blob);
    changed[at] ^= 1;
    await refused(keys.restoreKeyBackup(changed), 400, "BadParameter");
  }
  await refused(keys.getKey(name), 404, "KeyNotFound");
  const restored = await keys.restoreKeyBackup(blob);
  assert.equal(restored.properties.version, second.properties.version);
  assert.deepEqual(restored.properties.tags, { v: "2" });
  assert.deepEqual((await all(keys.listPropertiesOfKeyVersions(name))).map((v) => v.version).sort(), before);
  const digest = crypto.randomBytes(32);
  const { result } = await keys.getCryptographyClient(name).sign("ES256", digest);
  assert.equal((await keys.getCryptographyClient(name, { keyVersion: second.properties.version }).verify("ES256", digest, result)).result, true);
});

test("getRandomBytes", async () => {
  const one = await keys.getRandomBytes(32);
  assert.equal(one.length, 32);
  assert.notDeepEqual(one, await keys.getRandomBytes(32));
  await refused(keys.getRandomBytes(0), 400, "BadParameter");
});

test("rotation: policy, and rotateKey makes a version like the one before", async () => {
  const name = unique("rotate");
  const first = await keys.createRsaKey(name, { keySize: 3072, keyOps: ["sign", "verify"], tags: { keep: "me" } });
  const policy = await keys.updateKeyRotationPolicy(name, {
    expiresIn: "P90D", lifetimeActions: [{ action: "Rotate", timeBeforeExpiry: "P30D" }],
  });
  assert.equal(policy.expiresIn, "P90D");
  const read = await keys.getKeyRotationPolicy(name);
  assert.deepEqual(read.lifetimeActions.filter((a) => a.action === "Rotate").map((a) => a.timeBeforeExpiry), ["P30D"]);
  const second = await keys.rotateKey(name);
  assert.notEqual(second.properties.version, first.properties.version);
  assert.equal(second.key.n.length, 384);
  assert.deepEqual(second.keyOperations, ["sign", "verify"]);
  assert.ok(Math.abs(second.properties.expiresOn - Date.now() - 90 * 86_400_000) < 86_400_000);
  assert.equal((await keys.getKey(name)).properties.version, second.properties.version);
  await refused(keys.updateKeyRotationPolicy(name, { expiresIn: "P1D", lifetimeActions: [] }), 400, "BadParameter");
});

test("what cannot be is refused clearly: release and attestation", async () => {
  const name = unique("release");
  await keys.createRsaKey(name);
  await assert.rejects(keys.releaseKey(name, "e30.e30.e30"), (e) => e.statusCode === 400 || e.statusCode === 403);
  await assert.rejects(keys.getKeyAttestation(name), (e) => e.statusCode >= 400 && e.statusCode < 500);
});

test("every public method of KeyClient was called", () => {
  assertAllCalled(KeyClient, ["disambiguateUpdateKeyPropertiesArgs"]);
});

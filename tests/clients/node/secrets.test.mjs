// Every public method of SecretClient against a running gateway.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import { test } from "node:test";

import { SecretClient, all, assertAllCalled, client, credential, poll, refused, unique, url } from "./support.mjs";

const secrets = client(SecretClient, url, credential, {});

test("setSecret, getSecret: value, content type, tags, times", async () => {
  const name = unique("secret");
  const notBefore = new Date(Math.floor(Date.now() / 1000) * 1000 - 60_000);
  const expiresOn = new Date(+notBefore + 86_400_000);
  const value = "grüße \u0001 \" \\ \n " + crypto.randomBytes(100).toString("base64");
  const made = await secrets.setSecret(name, value, { contentType: "text/plain", tags: { a: "1" }, notBefore, expiresOn });
  assert.equal(made.value, value);
  assert.equal(made.properties.id, `${url}/secrets/${name}/${made.properties.version}`);
  for (const read of [await secrets.getSecret(name), await secrets.getSecret(name, { version: made.properties.version })]) {
    assert.equal(read.value, value);
    assert.equal(read.properties.contentType, "text/plain");
    assert.deepEqual(read.properties.tags, { a: "1" });
    assert.equal(+read.properties.notBefore, +notBefore);
    assert.equal(+read.properties.expiresOn, +expiresOn);
    assert.equal(read.properties.recoveryLevel, "Recoverable+Purgeable");
  }
  await refused(secrets.getSecret(unique("none")), 404, "SecretNotFound");
});

test("25 KB is the bound", async () => {
  const name = unique("large");
  const value = "x".repeat(25 * 1024);
  await secrets.setSecret(name, value);
  assert.equal((await secrets.getSecret(name)).value, value);
  await refused(secrets.setSecret(name, value + "x"), 400, "BadParameter");
});

test("updateSecretProperties; a disabled secret is not read", async () => {
  const name = unique("update");
  const made = await secrets.setSecret(name, "v");
  const changed = await secrets.updateSecretProperties(name, made.properties.version, { contentType: "a/b", tags: { t: "u" } });
  assert.equal(changed.contentType ?? changed.properties?.contentType, "a/b");
  assert.equal((await secrets.getSecret(name)).value, "v");
  await secrets.updateSecretProperties(name, made.properties.version, { enabled: false });
  await refused(secrets.getSecret(name), 403, "Forbidden");
  await secrets.updateSecretProperties(name, made.properties.version, { enabled: true });
  assert.deepEqual((await secrets.getSecret(name)).properties.tags, { t: "u" });
});

test("versions and lists show no value", async () => {
  const name = unique("versions");
  for (let i = 0; i < 3; i++) await secrets.setSecret(name, `value-${i}`);
  const versions = await all(secrets.listPropertiesOfSecretVersions(name));
  assert.equal(versions.length, 3);
  const values = await Promise.all(versions.map((v) => secrets.getSecret(name, { version: v.version })));
  assert.deepEqual(values.map((s) => s.value).sort(), ["value-0", "value-1", "value-2"]);
  assert.equal((await secrets.getSecret(name)).value, "value-2");
  for (let i = 0; i < 30; i++) await secrets.setSecret(`${name}-${i}`, "v");
  const listed = await all(secrets.listPropertiesOfSecrets());
  assert.ok(listed.length >= 31);
  assert.equal(JSON.stringify(listed).includes("value-"), false);
});

test("delete, deleted list, recover, purge", async () => {
  const name = unique("delete");
  const made = await secrets.setSecret(name, "kept");
  const deleted = await (await secrets.beginDeleteSecret(name, poll)).pollUntilDone();
  assert.ok(deleted.properties.deletedOn && deleted.properties.scheduledPurgeDate && deleted.properties.recoveryId);
  await refused(secrets.getSecret(name), 404, "SecretNotFound");
  await refused(secrets.setSecret(name, "again"), 409, "Conflict");
  assert.equal((await secrets.getDeletedSecret(name)).name, name);
  assert.ok((await all(secrets.listDeletedSecrets())).some((s) => s.name === name));
  await (await secrets.beginRecoverDeletedSecret(name, poll)).pollUntilDone();
  assert.equal((await secrets.getSecret(name)).properties.version, made.properties.version);
  await (await secrets.beginDeleteSecret(name, poll)).pollUntilDone();
  await secrets.purgeDeletedSecret(name);
  await refused(secrets.getDeletedSecret(name), 404, "SecretNotFound");
});

test("backupSecret and restoreSecretBackup", async () => {
  const name = unique("backup");
  const first = await secrets.setSecret(name, "one");
  await secrets.setSecret(name, "two", { tags: { n: "2" } });
  const blob = await secrets.backupSecret(name);
  assert.equal(Buffer.from(blob).includes("two"), false);
  await refused(secrets.restoreSecretBackup(blob), 409, "Conflict");
  await (await secrets.beginDeleteSecret(name, poll)).pollUntilDone();
  await refused(secrets.restoreSecretBackup(blob), 409, "Conflict");
  await secrets.purgeDeletedSecret(name);
  const changed = Buffer.from(blob);
  changed[changed.length - 20] ^= 4;
  await refused(secrets.restoreSecretBackup(changed), 400, "BadParameter");
  const restored = await secrets.restoreSecretBackup(blob);
  assert.deepEqual(restored.tags ?? restored.properties?.tags, { n: "2" });
  assert.equal((await secrets.getSecret(name)).value, "two");
  assert.equal((await secrets.getSecret(name, { version: first.properties.version })).value, "one");
});

test("every public method of SecretClient was called", () => assertAllCalled(SecretClient));

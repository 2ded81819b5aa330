// Every public method of CryptographyClient, remote and local, with each result checked by node:crypto.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import { test } from "node:test";

import { CryptographyClient, KeyClient, assertAllCalled, client, credential, publicKey, recorded, refused, unique, url } from "./support.mjs";

const keys = client(KeyClient, url, credential, {});
const { RSA_PKCS1_PADDING, RSA_PKCS1_OAEP_PADDING, RSA_PKCS1_PSS_PADDING } = crypto.constants;

const over = (key) => client(CryptographyClient, key, credential, {});
/** The package does public-key RSA work itself once it has the key; this one always asks the gateway. */
const remote = (key) => recorded(CryptographyClient, over(key).remoteProvider);
const digestOf = (algorithm, data) => crypto.createHash(`sha${algorithm.slice(-3).replace("56K", "256")}`).update(data).digest();

test("RSA signatures, by the gateway and by node", async () => {
  for (const [keySize, hsm] of [[2048, false], [3072, true], [4096, false]]) {
    const made = await keys.createRsaKey(unique("rsa"), { keySize, hsm });
    const pub = publicKey(made.key);
    const service = over(made);
    for (const algorithm of ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]) {
      const data = crypto.randomBytes(777);
      const hash = `sha${algorithm.slice(2)}`;
      const options = algorithm.startsWith("PS")
        ? { key: pub, padding: RSA_PKCS1_PSS_PADDING, saltLength: Number(algorithm.slice(2)) / 8 } : { key: pub };
      const digest = digestOf(algorithm, data);
      const signed = await service.sign(algorithm, digest);
      assert.ok(crypto.verify(hash, data, options, signed.result), algorithm);
      const signedData = await service.signData(algorithm, data);
      assert.ok(crypto.verify(hash, data, options, signedData.result), algorithm);
      assert.equal((await service.verify(algorithm, digest, signed.result)).result, true);
      const changed = Buffer.from(signed.result);
      changed[changed.length - 1] ^= 1;
      assert.equal((await service.verify(algorithm, digest, changed)).result, false);
      // the same package, local
      if (algorithm.startsWith("RS"))
        assert.equal((await service.verifyData(algorithm, data, signed.result)).result, true);
    }
    await refused(service.sign("RS256", crypto.randomBytes(31)), 400, "BadParameter");
  }
});

test("ECDSA signatures of every curve", async () => {
  for (const [curve, algorithm] of [["P-256", "ES256"], ["P-384", "ES384"], ["P-521", "ES512"], ["P-256K", "ES256K"]]) {
    const made = await keys.createEcKey(unique("ec"), { curve });
    const pub = publicKey(made.key);
    const service = over(made);
    const data = crypto.randomBytes(100);
    const digest = digestOf(algorithm, data);
    const { result } = await service.sign(algorithm, digest);
    const hash = algorithm === "ES256K" ? "sha256" : `sha${algorithm.slice(2)}`;
    assert.ok(crypto.verify(hash, data, { key: pub, dsaEncoding: "ieee-p1363" }, result), algorithm);
    assert.equal((await service.verify(algorithm, digest, result)).result, true);
    assert.equal((await service.verifyData(algorithm, data, result)).result, true);
    assert.ok(crypto.verify(hash, data, { key: pub, dsaEncoding: "ieee-p1363" }, (await service.signData(algorithm, data)).result));
    assert.equal((await service.verify(algorithm, crypto.randomBytes(digest.length), result)).result, false);
  }
});

test("RSA encrypt and decrypt, wrapKey and unwrapKey: remote, local, and node", async () => {
  const made = await keys.createRsaKey(unique("rsa"), { keySize: 2048 });
  const pub = publicKey(made.key);
  const service = over(made);
  for (const [algorithm, padding, oaepHash] of [
    ["RSA-OAEP", RSA_PKCS1_OAEP_PADDING, "sha1"], ["RSA-OAEP-256", RSA_PKCS1_OAEP_PADDING, "sha256"], ["RSA1_5", RSA_PKCS1_PADDING]]) {
    const plaintext = crypto.randomBytes(32);
    for (const ciphertext of [
      (await service.encrypt({ algorithm, plaintext })).result, // local where the package can
      (await remote(made).encrypt({ algorithm, plaintext })).result,
      crypto.publicEncrypt({ key: pub, padding, oaepHash }, plaintext)])
      assert.deepEqual(Buffer.from((await service.decrypt({ algorithm, ciphertext })).result), plaintext, algorithm);
    for (const wrapped of [(await service.wrapKey(algorithm, plaintext)).result, (await remote(made).wrapKey(algorithm, plaintext)).result])
      assert.deepEqual(Buffer.from((await service.unwrapKey(algorithm, wrapped)).result), plaintext, algorithm);
  }
  // the older form of the two calls
  const { result } = await service.encrypt("RSA-OAEP", Buffer.from("older"));
  assert.equal(Buffer.from((await service.decrypt("RSA-OAEP", result)).result).toString(), "older");
  await refused(service.decrypt("RSA-OAEP", crypto.randomBytes(256)), 400, "BadParameter");
});

const node = {
  wrap: (bits, kek, key) => {
    const cipher = crypto.createCipheriv(`aes${bits}-wrap`, kek, Buffer.alloc(8, 0xa6));
    return Buffer.concat([cipher.update(key), cipher.final()]);
  },
};

test("AES keys: GCM, CBC, CBCPAD and key wrap", async () => {
  for (const keySize of [128, 192, 256]) {
    const made = await keys.createOctKey(unique("oct"), { keySize, hsm: true });
    const service = over(made);
    const plaintext = crypto.randomBytes(64);
    const additionalAuthenticatedData = crypto.randomBytes(20);
    const sealed = await service.encrypt({ algorithm: `A${keySize}GCM`, plaintext, additionalAuthenticatedData });
    const parts = { algorithm: `A${keySize}GCM`, ciphertext: sealed.result, iv: sealed.iv, authenticationTag: sealed.authenticationTag, additionalAuthenticatedData };
    assert.deepEqual(Buffer.from((await service.decrypt(parts)).result), plaintext);
    await refused(service.decrypt({ ...parts, authenticationTag: crypto.randomBytes(16) }), 400, "BadParameter");
    for (const mode of ["CBC", "CBCPAD"]) {
      const algorithm = `A${keySize}${mode}`;
      const data = mode === "CBC" ? plaintext : plaintext.subarray(0, 33);
      const box = await service.encrypt({ algorithm, plaintext: data, iv: crypto.randomBytes(16) });
      assert.deepEqual(Buffer.from((await service.decrypt({ algorithm, ciphertext: box.result, iv: box.iv })).result), data);
    }
    const secret = crypto.randomBytes(32);
    const wrapped = await service.wrapKey(`A${keySize}KW`, secret);
    assert.equal(wrapped.result.length, 40);
    assert.deepEqual(Buffer.from((await service.unwrapKey(`A${keySize}KW`, wrapped.result)).result), secret);
  }
});

test("an imported AES key gives what node:crypto gives", async () => {
  const k = crypto.randomBytes(32);
  const made = await keys.importKey(unique("oct"), { kty: "oct", k, keyOps: ["encrypt", "decrypt", "wrapKey", "unwrapKey"] });
  const service = over(made);
  const secret = crypto.randomBytes(32);
  assert.deepEqual(Buffer.from((await service.wrapKey("A256KW", secret)).result), node.wrap(256, k, secret));
  const iv = crypto.randomBytes(16);
  const cipher = crypto.createCipheriv("aes-256-cbc", k, iv);
  const expected = Buffer.concat([cipher.update("text to hide"), cipher.final()]);
  assert.deepEqual(Buffer.from((await service.encrypt({ algorithm: "A256CBCPAD", plaintext: Buffer.from("text to hide"), iv })).result), expected);
  const sealed = await service.encrypt({ algorithm: "A256GCM", plaintext: Buffer.from("sealed") });
  const open = crypto.createDecipheriv("aes-256-gcm", k, sealed.iv).setAuthTag(sealed.authenticationTag);
  assert.equal(Buffer.concat([open.update(sealed.result), open.final()]).toString(), "sealed");
});

test("purely local, from a public JWK", async () => {
  const made = await keys.createRsaKey(unique("local"));
  const local = recorded(CryptographyClient, new CryptographyClient(made.key));
  const data = Buffer.from("signed by the gateway, verified without it");
  const { result } = await over(made).signData("RS256", data);
  assert.equal((await local.verifyData("RS256", data, result)).result, true);
  const { result: ciphertext } = await local.encrypt({ algorithm: "RSA-OAEP", plaintext: data.subarray(0, 20) });
  assert.deepEqual(Buffer.from((await over(made).decrypt({ algorithm: "RSA-OAEP", ciphertext })).result), data.subarray(0, 20));
});

test("what the key does not permit is refused", async () => {
  // the package itself looks at key_ops before it asks: `remote` leaves that to the gateway
  const digest = crypto.randomBytes(32);
  const made = await keys.createRsaKey(unique("ops"), { keyOps: ["verify"] });
  await assert.rejects(over(made).sign("RS256", digest));
  await refused(remote(made).sign("RS256", digest), 403, "Forbidden");
  const off = await keys.createRsaKey(unique("off"), { enabled: false });
  await refused(remote(off).sign("RS256", digest), 403, "Forbidden");
  const later = await keys.createRsaKey(unique("later"), { notBefore: new Date(Date.now() + 86_400_000) });
  await refused(remote(later).sign("RS256", digest), 403, "Forbidden");
});

test("every public method of CryptographyClient was called", async () => {
  const made = await keys.createEcKey(unique("id"));
  assert.equal(over(made).keyID, made.id);
  assert.equal(over(made).vaultUrl, url);
  assertAllCalled(CryptographyClient, ["initializeIV", "disambiguateEncryptArguments", "disambiguateDecryptArguments", "getKeyMaterial",
    "fetchKey", "getProvider", "ensureValid"]);
});

// What the tests of the Node packages share: clients that reach the gateway, and a record of what was called.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import { createRequire } from "node:module";

globalThis.crypto ??= crypto.webcrypto; // which the packages want: from node 20 on it is there; Debian 12 has 18

// the packages stand in the build tree, not beside these files
const installed = createRequire(`${process.env.KEYWARD_CLIENTS}/npm/package.json`);
export const { KeyClient, CryptographyClient } = installed("@azure/keyvault-keys");
export const { SecretClient } = installed("@azure/keyvault-secrets");
export const { CertificateClient } = installed("@azure/keyvault-certificates");

export const url = process.env.KEYWARD_URL;

export const credential = {
  getToken: async () => ({ token: process.env.KEYWARD_TOKEN, expiresOnTimestamp: Date.now() + 3600_000 }),
};

/** Pollers ask again at once: what they wait for is there when the first answer is. */
export const poll = { intervalInMs: 10 };

/** A name no other test has. */
export const unique = (stem) => `${stem}-${crypto.randomBytes(5).toString("hex")}`;

const called = new Map(); // class -> names

/** A client of `type` that records which methods were called. */
export function client(type, ...args) {
  const last = args.at(-1);
  return recorded(type, new type(...args.slice(0, -1), { disableChallengeResourceVerification: true, ...last }));
}

export function recorded(type, object) {
  if (!called.has(type)) called.set(type, new Set());
  const names = called.get(type);
  return new Proxy(object, {
    get(target, name) {
      const value = target[name];
      if (typeof value !== "function") {
        names.add(name);
        return value;
      }
      return (...args) => {
        names.add(name);
        return value.apply(target, args);
      };
    },
  });
}

/** Every public method of `type` was called; `inner` are those its declarations call private. */
export function assertAllCalled(type, inner = []) {
  const missing = Object.getOwnPropertyNames(type.prototype)
    .filter((name) => name !== "constructor" && !inner.includes(name) && !called.get(type).has(name));
  assert.deepEqual(missing, []);
}

/** The call is refused with this status and code. */
export async function refused(promise, status, code) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.statusCode, status, error.message);
    if (code) assert.equal(error.code, code);
    return true;
  });
}

export async function all(pages) {
  const found = [];
  for await (const item of pages) found.push(item);
  return found;
}

/** A key of the service as node:crypto takes it. */
export function publicKey(key) {
  const text = (bytes) => bytes && Buffer.from(bytes).toString("base64url");
  const jwk = { kty: key.kty.replace("-HSM", ""), crv: key.crv, n: text(key.n), e: text(key.e), x: text(key.x), y: text(key.y) };
  if (jwk.crv === "P-256K") jwk.crv = "secp256k1";
  return crypto.createPublicKey({ key: jwk, format: "jwk" });
}

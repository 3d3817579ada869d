// Tokens as those who issue them make them, by Node's own cryptography.
import { createHmac, generateKeyPairSync, sign } from "node:crypto";

const encoded = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** Claims of a token that holds for a minute, with these in their place. */
export const claimsOf = (claims) => ({ sub: "ann", exp: Math.floor(Date.now() / 1_000) + 60, roles: ["writer"], objects: ["*"], ...claims });

const token = (header, claims, signature) => {
  const message = `${encoded(header)}.${encoded(claimsOf(claims))}`;
  return `${message}.${signature(Buffer.from(message)).toString("base64url")}`;
};

/** A token signed with a secret. */
export const hs256 = (secret, claims = {}, header = {}) =>
  token({ alg: "HS256", typ: "JWT", ...header }, claims, (message) => createHmac("sha256", secret).update(message).digest());

/** Whoever issues tokens by public keys: `{jwk, token(claims, header)}`. `alg` is ES256 or EdDSA. */
export function issuer(alg, kid) {
  const { publicKey, privateKey } = alg === "ES256" ? generateKeyPairSync("ec", { namedCurve: "P-256" }) : generateKeyPairSync("ed25519");
  const digest = alg === "ES256" ? "sha256" : null;
  return {
    jwk: { ...publicKey.export({ format: "jwk" }), kid, alg, use: "sig" },
    token: (claims = {}, header = {}) =>
      token({ alg, kid, ...header }, claims, (message) => sign(digest, message, { key: privateKey, dsaEncoding: "ieee-p1363" })),
  };
}

export const bearer = (text) => ({ authorization: `Bearer ${text}` });

/** The SHA-256 of bytes. Browsers have it on pages served over https, and on localhost. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}

/** Whether there is `sha256` here. */
export function hasSha256(): boolean {
  return globalThis.crypto?.subtle !== undefined;
}

/** Bytes as hexadecimal text. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

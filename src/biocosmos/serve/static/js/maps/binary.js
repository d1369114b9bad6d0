// @ts-check
// Messages of many numbers: a header in JSON, then arrays as they are (serve/likeness/binary.py).
import { toast } from "../toast.js";

const ARRAYS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i4: Int32Array, f4: Float32Array };
const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** The header and the arrays by name of a message. */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  for (const { name, type, length: count, offset } of header.arrays) {
    const Kind = ARRAYS[type];
    const start = 4 + length + offset;
    if (!LITTLE && Kind.BYTES_PER_ELEMENT > 1) new Uint8Array(buffer, start, count * Kind.BYTES_PER_ELEMENT).reverse();
    const array = new Kind(buffer, start, count);
    arrays[name] = !LITTLE && Kind.BYTES_PER_ELEMENT > 1 ? array.reverse() : array;
  }
  return { header, ...arrays };
}

/** GET a message; what the server refuses is shown and thrown. */
export async function getBinary(path, { signal } = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", signal });
  } catch (error) {
    if (error?.name !== "AbortError") toast("the server does not answer: is it still running?", { error: true });
    throw error;
  }
  if (!response.ok) {
    const body = await response.json().catch(() => null);
    const says = body?.error ?? `the server answered ${response.status}`;
    toast(says, { error: true });
    throw new Error(says);
  }
  return unpack(await response.arrayBuffer());
}

/** Bits, the first the lowest of the first byte, as a byte each. */
export function unbit(bits, count) {
  const bytes = new Uint8Array(count);
  for (let i = 0; i < count; i++) bytes[i] = (bits[i >> 3] >> (i & 7)) & 1;
  return bytes;
}

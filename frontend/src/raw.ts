/** Raw messages of the Jupyter collaboration websocket. Pure. */

import * as decoding from 'lib0/decoding';

/** First byte of a raw message; 0 is sync and 1 awareness (`RAW_MESSAGE_TYPE` of `@jupyter/docprovider`). */
const RAW = 2;

/** The text of a raw message, or null if `data` is another message or is cut short. */
export function rawText(data: unknown): string | null {
  if (!(data instanceof ArrayBuffer)) {
    return null;
  }
  const bytes = new Uint8Array(data);
  if (bytes[0] !== RAW) {
    return null;
  }
  try {
    const decoder = decoding.createDecoder(bytes);
    decoding.readVarUint(decoder);
    return decoding.readVarString(decoder);
  } catch {
    return null;
  }
}

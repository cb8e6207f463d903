import * as encoding from 'lib0/encoding';

import type { IClock, Translate } from '../src/describe';
import type { IRoomStatus } from '../src/status';

export const STATUS: IRoomStatus = {
  home: 'site-a.example',
  online: true,
  role: 'editor',
  reason: '',
  offered: false,
  position: 7,
  savedPosition: 7,
  savedAt: 0,
  savedBy: '',
  pending: 0,
  problem: '',
  holder: '',
  etag: ''
};

/** A raw message as the server sends it. */
export function rawMessage(text: string): ArrayBuffer {
  const encoder = encoding.createEncoder();
  encoding.writeVarUint(encoder, 2);
  encoding.writeVarString(encoder, text);
  return toBuffer(encoding.toUint8Array(encoder));
}

export function statusMessage(status: Partial<IRoomStatus>): ArrayBuffer {
  return rawMessage(JSON.stringify({ type: 'cs3collab', ...STATUS, ...status }));
}

export function toBuffer(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer;
}

function fill(text: string, args: readonly unknown[]): string {
  return text.replace(/%(\d)/g, (_match, index: string) => String(args[Number(index) - 1]));
}

/** English, as `TranslationBundle` gives it for a language without translations. */
export const ENGLISH: Translate = {
  __: (text, ...args) => fill(text, args),
  _n: (one, many, count, ...args) => fill(count === 1 ? one : many, [count, ...(args as unknown[])])
};

export const CLOCK: IClock = { time: seconds => `t${seconds}`, date: seconds => `d${seconds}` };

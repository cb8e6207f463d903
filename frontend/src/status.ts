/** What the server says about a room, checked. Pure. */

export type Role = 'editor' | 'viewer';

/** Times are Unix seconds; positions count durable updates from 1. */
export interface IRoomStatus {
  readonly home: string;
  readonly online: boolean;
  readonly role: Role;
  /** Why this person may only read, else empty. */
  readonly reason: string;
  /** Whether this person, who only follows others now, may take the right to edit. */
  readonly offered: boolean;
  readonly position: number;
  readonly savedPosition: number;
  readonly savedAt: number;
  readonly savedBy: string;
  /** Edits of this browser that the Jupyter server holds and the home site has not acknowledged. */
  readonly pending: number;
  /** Why the file is not being saved and what to do, or what happened to it, else empty. */
  readonly problem: string;
  /** Who holds the lock of the file if it is not us, else empty. */
  readonly holder: string;
  readonly etag: string;
}

const MESSAGE_CHARS = 65536;
const TEXT_CHARS = 500;

function text(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, TEXT_CHARS) : '';
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

function time(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0;
}

function parseObject(json: string): Record<string, unknown> | null {
  if (json.length > MESSAGE_CHARS) {
    return null;
  }
  try {
    const raw: unknown = JSON.parse(json);
    return typeof raw === 'object' && raw !== null && !Array.isArray(raw)
      ? (raw as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

/**
 * The status in the JSON of a raw message, or null if it is another message.
 *
 * A role that is not known is read as `viewer`: the server refuses what a viewer writes, so the safe reading shows no edits
 * that are not kept.
 */
export function parseStatus(json: string): IRoomStatus | null {
  const fields = parseObject(json);
  if (fields?.type !== 'cs3collab') {
    return null;
  }
  return {
    home: text(fields.home),
    online: fields.online === true,
    role: fields.role === 'editor' ? 'editor' : 'viewer',
    reason: text(fields.reason),
    offered: fields.offered === true,
    position: count(fields.position),
    savedPosition: count(fields.savedPosition),
    savedAt: time(fields.savedAt),
    savedBy: text(fields.savedBy),
    pending: count(fields.pending),
    problem: text(fields.problem),
    holder: text(fields.holder),
    etag: text(fields.etag)
  };
}

/** Why a save that was asked for failed, in the JSON of a raw message, or null if it is another message. */
export function parseSaveFailure(json: string): string | null {
  const fields = parseObject(json);
  return fields?.type === 'save' && fields.status === 'failed' ? text(fields.message) : null;
}

/** Close codes after which connecting again is no use: this copy, this person's access, or the file is out of the question. */
const REJECTED = new Set([1003, 4403, 4404]);

/** Reasons of that close that are not about the history of the document. */
const OTHERWISE = new Set(['initialization_error', 'version_mismatch']);

/** Whether the server closed because this copy has another history than the document now. */
export function isOtherHistory(code: number, reason: string): boolean {
  return code === 1003 && !OTHERWISE.has(text(parseObject(reason)?.reason));
}

/**
 * Why the server gave up this copy of the document, or null if connecting again may help.
 *
 * The reason of a close is words, or the JSON that `@jupyter/docprovider` knows (`ISessionClosePayload`), of which the words are
 * taken if there are any, else the code.
 */
export function rejection(code: number, reason: string): string | null {
  if (!REJECTED.has(code)) {
    return null;
  }
  const fields = parseObject(reason);
  return fields === null ? reason.slice(0, TEXT_CHARS) : text(fields.errorReason) || text(fields.reason);
}

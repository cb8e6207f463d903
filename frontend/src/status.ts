/** What the server says about a room, checked. Pure. */

export type Role = 'editor' | 'viewer';

/** Times are Unix seconds; positions count durable updates from 1. */
export interface IRoomStatus {
  readonly home: string;
  readonly online: boolean;
  readonly role: Role;
  /** Why this person may only read, else empty. */
  readonly reason: string;
  readonly position: number;
  readonly savedPosition: number;
  readonly savedAt: number;
  readonly savedBy: string;
  /** Edits the Jupyter server holds that the home site has not acknowledged. */
  readonly pending: number;
  /** Why the file is not being saved, else empty. */
  readonly problem: string;
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

/**
 * The status in the JSON of a raw message, or null if it is another message.
 *
 * A role that is not known is read as `viewer`: the server refuses what a viewer writes, so the safe reading shows no edits
 * that are not kept.
 */
export function parseStatus(json: string): IRoomStatus | null {
  if (json.length > MESSAGE_CHARS) {
    return null;
  }
  let raw: unknown;
  try {
    raw = JSON.parse(json);
  } catch {
    return null;
  }
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    return null;
  }
  const fields = raw as Record<string, unknown>;
  if (fields.type !== 'cs3collab') {
    return null;
  }
  const savedAt = fields.savedAt;
  return {
    home: text(fields.home),
    online: fields.online === true,
    role: fields.role === 'editor' ? 'editor' : 'viewer',
    reason: text(fields.reason),
    position: count(fields.position),
    savedPosition: count(fields.savedPosition),
    savedAt: typeof savedAt === 'number' && Number.isFinite(savedAt) && savedAt > 0 ? savedAt : 0,
    savedBy: text(fields.savedBy),
    pending: count(fields.pending),
    problem: text(fields.problem),
    etag: text(fields.etag)
  };
}

/** Asks the server to bring another version of a live document in. `docs/reference/merge-api.md`. */

import { ServerConnection } from '@jupyterlab/services';

import type { Asked } from './api';
import { post } from './api';
import type { Translate } from './describe';
import type { IRoom } from './tokens';

/** The text of a file, with that which it was made from if it is known, or the path of a file. */
export type Version = { readonly content: string; readonly base?: string } | { readonly copy: string };

export interface IMerged {
  /** How many changes were not taken over. */
  readonly conflicts: number;
  /** The file that keeps the version if any were not. */
  readonly copy: string;
}

/** What has to be brought in, or null: a viewer has written nothing, and of what is in the file nothing is lost. */
export function toBringIn(content: string, room: Pick<IRoom, 'base' | 'state'>): Version | null {
  const { base, state } = room;
  if (content === base || state.status?.role === 'viewer') {
    return null;
  }
  return base === null ? { content } : { content, base };
}

/** Answers after which asking again may help: a server that has just started reaches its storage a little later. */
const AGAIN = new Set([429, 502, 503, 504]);
const DELAYS_MS = [500, 1000, 2000, 4000, 8000];

function parseMerged(value: unknown): IMerged {
  const { conflicts, copy } = value as { conflicts?: unknown; copy?: unknown };
  return {
    conflicts: typeof conflicts === 'number' ? conflicts : 0,
    copy: typeof copy === 'string' ? copy : ''
  };
}

function worthAgain(error: unknown): boolean {
  return (
    error instanceof ServerConnection.NetworkError ||
    (error instanceof ServerConnection.ResponseError && AGAIN.has(error.response.status))
  );
}

/** Resolves when all is durable. Rejects with the server's words. What was brought in before is not brought in twice. */
export async function bringIn(
  context: Asked,
  version: Version,
  settings: ServerConnection.ISettings,
  delays: readonly number[] = DELAYS_MS
): Promise<IMerged> {
  const ask = async (): Promise<IMerged> => {
    const response = await post('merge', context, settings, version);
    return parseMerged(await response.json());
  };
  for (const delay of delays) {
    try {
      return await ask();
    } catch (error) {
      if (!worthAgain(error)) {
        throw error;
      }
      await new Promise(resolve => setTimeout(resolve, delay));
    }
  }
  return ask();
}

const NAME_CHARS = 40;

/** JupyterLab cuts a notification at 140 characters. */
export function shortName(name: string): string {
  return name.length > NAME_CHARS ? `${name.slice(0, NAME_CHARS - 1)}…` : name;
}

/** What a notification says when a document was loaded anew; `merged` is null if nothing had to be brought in. */
export function describeReload(name: string, merged: IMerged | null, trans: Translate): string {
  if (merged === null) {
    return trans.__('“%1” was loaded again, for the server started it anew.', shortName(name));
  }
  if (merged.conflicts === 0) {
    return trans.__('“%1” was started anew on the server. What you typed was brought in.', shortName(name));
  }
  return trans._n(
    '“%2”: what you typed was brought in. %1 change conflicts; yours is kept in %3.',
    '“%2”: what you typed was brought in. %1 changes conflict; yours are kept in %3.',
    merged.conflicts,
    shortName(name),
    merged.copy
  );
}

/** Asks whether this person is the one who decides on conflicts. `docs/reference/merge-api.md`. */

import type { ServerConnection } from '@jupyterlab/services';

import type { Asked } from '../api';
import { post } from '../api';
import type { IConflict } from './record';

/**
 * Takes the notes of all of `conflicts` off the document. Resolves to false if somebody else was faster with one of them, rejects
 * with the server's words.
 */
export async function decide(
  context: Asked,
  conflicts: readonly IConflict[],
  settings: ServerConnection.ISettings
): Promise<boolean> {
  const keys = conflicts.map(({ key }) => key);
  const response = await post('conflicts', context, settings, { keys });
  const { decided } = (await response.json()) as { decided?: unknown };
  return decided === true;
}

/** What counts as an edit. Pure. */

import type { Transaction } from 'yjs';

/** Whether a transaction is an edit of this person: local, and not only of `state`, where Jupyter notes the file's path and hash. */
export function isEdit(transaction: Transaction, stateMap: object): boolean {
  return transaction.local && [...transaction.changed.keys()].some(type => type !== stateMap);
}

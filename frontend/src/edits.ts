/** What counts as an edit. Pure. */

import type { Transaction } from 'yjs';

/** Whether a transaction changes more than `state`, where Jupyter notes the file's path and hash. */
export function isContent(transaction: Transaction, stateMap: object): boolean {
  return [...transaction.changed.keys()].some(type => type !== stateMap);
}

/** Whether a transaction is an edit of this person. */
export function isEdit(transaction: Transaction, stateMap: object): boolean {
  return transaction.local && isContent(transaction, stateMap);
}

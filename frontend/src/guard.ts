/** Keeps this person's hands off a document they may only read. The server refuses their edits too; this keeps them from being made. */

import type { Transaction } from 'yjs';

import type { SharedDocument } from './tokens';

/** A shared model whose cells may keep undo histories of their own. */
interface ICellHolder {
  readonly cells?: readonly { clearUndoHistory(): void }[];
}

/**
 * A gate before local writes of one document.
 *
 * Every local write of `@jupyter/ydoc` and of Lab's editor binding goes through `Doc.transact` of this document, and what comes from
 * the server through the function of that name, so replacing the method on the one instance holds back exactly the former.
 * Two things go past it: undo, whose history is therefore dropped on closing the gate, and the map `state`, in which the stock
 * provider notes the room's name at every opening; that write is also left out where it would change nothing, so that opening a
 * document leaves no trace in its history.
 */
export class WriteGuard {
  constructor(private readonly _document: SharedDocument) {
    const { ydoc, ystate } = _document;
    const transact = ydoc.transact.bind(ydoc);
    ydoc.transact = <T>(change: (transaction: Transaction) => T, origin?: unknown): T =>
      this._closed ? (undefined as T) : transact(change, origin);
    const set = ystate.set.bind(ystate);
    ystate.set = <T>(key: string, value: T): T => {
      if (!this._closed && ystate.get(key) !== value) {
        set(key, value);
      }
      return value;
    };
  }

  get closed(): boolean {
    return this._closed;
  }

  set closed(value: boolean) {
    if (value && !this._closed) {
      this._document.clearUndoHistory();
      (this._document as SharedDocument & ICellHolder).cells?.forEach(cell => cell.clearUndoHistory());
    }
    this._closed = value;
  }

  private _closed = false;
}

/** The conflicts of one live document. */

import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import type { YMapEvent } from 'yjs';

import type { SharedDocument } from '../tokens';
import type { IConflict } from './record';
import { parseConflict } from './record';

/** The root map of the Y document in which the server notes conflicts. It is no part of the file. */
const ROOT = 'conflicts';

/** Follows the records in a shared document, whoever writes or removes them. */
export class Conflicts {
  constructor(private readonly _document: SharedDocument) {
    this._map = _document.ydoc.getMap<unknown>(ROOT);
    this._read();
    this._map.observe(this._onChange);
    _document.disposed.connect(() => {
      this._map.unobserve(this._onChange);
      Signal.clearData(this);
    });
  }

  /** A conflict is the same object as long as its record is. */
  get all(): readonly IConflict[] {
    return this._all;
  }

  /** Emits the conflicts that are new. */
  get changed(): ISignal<this, readonly IConflict[]> {
    return this._changed;
  }

  has(conflict: IConflict): boolean {
    return this._map.has(conflict.key);
  }

  /** Removes the records, for everybody. */
  remove(conflicts: readonly IConflict[]): void {
    this._document.ydoc.transact(() => {
      conflicts.filter(conflict => this.has(conflict)).forEach(conflict => this._map.delete(conflict.key));
    }, this);
  }

  private readonly _onChange = (event: YMapEvent<unknown>): void => {
    this._read();
    const added = [...event.changes.keys].filter(([, change]) => change.action === 'add').map(([key]) => key);
    this._changed.emit(this._all.filter(conflict => added.includes(conflict.key)));
  };

  private _read(): void {
    const known = this._known;
    this._known = new Map(
      [...this._map.entries()].map(([key, value]) => [value, known.get(value) ?? parseConflict(key, value)])
    );
    this._all = [...this._known.values()].filter(conflict => conflict !== null);
  }

  private _known = new Map<unknown, IConflict | null>();
  private _all: readonly IConflict[] = [];
  private readonly _map;
  private readonly _changed = new Signal<this, readonly IConflict[]>(this);
}

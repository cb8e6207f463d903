/** Keeps the opening of a notebook from changing it: what its kernel says of itself is noted with the first edit. */

import type { IMapChange, YNotebook } from '@jupyter/ydoc';
import { YNotebook as Notebook } from '@jupyter/ydoc';
import type { PartialJSONValue } from '@lumino/coreutils';
import { JSONExt } from '@lumino/coreutils';
import type { Signal } from '@lumino/signaling';
import type { Doc, Transaction } from 'yjs';

import { isEdit } from './edits';
import type { SharedDocument } from './tokens';

const KEYS = new Set(['kernelspec', 'language_info']);

function nameIn(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? (value as { name?: unknown }).name : undefined;
}

/** Whether `value` says more of the kernel or language the notebook has, but does not choose another. */
export function isNote(key: string, stored: unknown, value: unknown): boolean {
  const name = nameIn(stored);
  return KEYS.has(key) && (name === undefined || name === '' || name === nameIn(value));
}

/**
 * Holds back what `NotebookPanel` writes into the metadata whenever a kernel connects, such as the version of the language.
 *
 * Else every opening, with another Python than last time, would be an edit: a new version of the file, and, where two sites have
 * different kernels, each would undo the other's. Lab reads here what is held back, so cells are highlighted as the kernel says.
 */
class HeldKernelInfo {
  constructor(private readonly _notebook: YNotebook) {
    this._get = _notebook.getMetadata.bind(_notebook);
    this._set = _notebook.setMetadata.bind(_notebook) as (key: unknown, value?: unknown) => void;
    _notebook.getMetadata = ((key?: string) =>
      key !== undefined && this._held.has(key)
        ? JSONExt.deepCopy(this._held.get(key) as PartialJSONValue)
        : this._get(key)) as YNotebook['getMetadata'];
    _notebook.setMetadata = (key: unknown, value?: unknown) => this._write(key, value);
    _notebook.ydoc.on(
      'update',
      (_update: Uint8Array, _origin: unknown, _doc: Doc, transaction: Transaction) => {
        if (this._held.size > 0 && isEdit(transaction, _notebook.ystate)) {
          queueMicrotask(() => this._release());
        }
      }
    );
  }

  private _write(key: unknown, value: unknown): void {
    if (typeof key !== 'string' || this._edited || !isNote(key, this._get(key), value)) {
      this._set(key, value);
      return;
    }
    const oldValue = this._notebook.getMetadata(key);
    this._held.set(key, value);
    const signal = this._notebook.metadataChanged as Signal<unknown, IMapChange>;
    signal.emit({ key, type: 'change', oldValue, newValue: value });
  }

  private _release(): void {
    const held = [...this._held];
    this._edited = true;
    this._held.clear();
    if (!this._notebook.isDisposed) {
      held.forEach(([key, value]) => this._set(key, value));
    }
  }

  private _edited = false;
  private readonly _held = new Map<string, unknown>();
  private readonly _get: (key?: string) => unknown;
  private readonly _set: (key: unknown, value?: unknown) => void;
}

/** To be called before Lab gets the document. Does nothing to one that is not a notebook. */
export function holdKernelInfo(document: SharedDocument): void {
  if (document instanceof Notebook) {
    new HeldKernelInfo(document);
  }
}

/** Remembers what a document said when all of it was in its file: what was written here since is what differs from that. */

import type { Doc, Transaction } from 'yjs';

import { isContent } from './edits';
import type { SharedDocument } from './tokens';

/** An update comes before the status that counts it. */
const QUIET_MS = 300;
/** Of the time of a page, this part at most goes into remembering. */
const EFFORT = 1 / 200;

/** The document as the text of a file. */
export function fileText(document: SharedDocument): string {
  const source = document.getSource();
  return typeof source === 'string' ? source : JSON.stringify(source);
}

/**
 * Takes the text when the document has been saved and quiet for a moment.
 *
 * The text may be older than the file; it never has what the file had not, else merging would take that for deleted.
 */
export class Basis {
  constructor(private readonly _document: SharedDocument) {
    const touched = (_update: Uint8Array, _origin: unknown, _doc: Doc, transaction: Transaction): void => {
      if (isContent(transaction, _document.ystate)) {
        this._isCurrent = false;
        this._isCounted = false;
        this._settle();
      }
    };
    _document.ydoc.on('update', touched);
    _document.disposed.connect(() => {
      _document.ydoc.off('update', touched);
      clearTimeout(this._timer);
    });
  }

  /** Null as long as it is not known. */
  get text(): string | null {
    return this._text;
  }

  /** The document is here; before, it is empty. */
  loaded(): void {
    this._isLoaded = true;
    this._settle();
  }

  /** Whether all that the server knows of is in the file, and it knows of all. */
  set saved(value: boolean) {
    this._isSaved = value;
    this._isCounted = value;
    this._settle();
  }

  /** No status will come any more: the last one counts if nothing came after it. */
  closed(): void {
    if (this._isLoaded && this._isSaved && this._isCounted && !this._isCurrent) {
      this._take();
    }
  }

  private _settle(): void {
    clearTimeout(this._timer);
    if (this._isLoaded && this._isSaved && !this._isCurrent) {
      const rest = Math.max(QUIET_MS, this._notBefore - performance.now());
      this._timer = setTimeout(() => this._take(), rest);
    }
  }

  private _take(): void {
    clearTimeout(this._timer);
    const began = performance.now();
    this._text = fileText(this._document);
    this._isCurrent = true;
    const now = performance.now();
    this._notBefore = now + (now - began) / EFFORT;
  }

  private _text: string | null = null;
  private _isLoaded = false;
  private _isSaved = false;
  private _isCurrent = false;
  private _isCounted = false;
  private _notBefore = 0;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

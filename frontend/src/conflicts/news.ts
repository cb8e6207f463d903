/** One notification for all conflicts of a document that come while it is open. */

import { Notification } from '@jupyterlab/apputils';

import type { Translate } from '../describe';
import type { IConflict } from './record';
import type { Subject } from './subject';
import { describeNews } from './words';

/** What comes within this time is told at once; JupyterLab loses an update of a notification that it is still showing. */
const GATHER_MS = 500;

export class News {
  constructor(
    private readonly _subject: Subject,
    private readonly _trans: Translate,
    private readonly _show: (conflict: IConflict) => void
  ) {
    // Those that were there before can be seen in the document.
    void _subject.context.ready.then(() => {
      _subject.conflicts.changed.connect((_, added) => this._follow(added));
      _subject.context.disposed.connect(() => this._dismiss());
    });
  }

  /** Somebody looks at them. */
  seen(): void {
    this._keys = [];
    this._dismiss();
  }

  private _follow(added: readonly IConflict[]): void {
    this._keys = this._subject.conflicts.all
      .map(({ key }) => key)
      .filter(key => this._keys.includes(key) || added.some(conflict => conflict.key === key));
    if (this._keys.length === 0) {
      this._dismiss();
    } else {
      this._timer ??= setTimeout(() => this._tell(), GATHER_MS);
    }
  }

  /** A notification that the person has closed stays closed until there is a new conflict. */
  private _tell(): void {
    this._timer = null;
    const isNew = this._keys.some(key => !this._told.includes(key));
    this._told = this._keys;
    const message = describeNews(this._subject.name, this._keys.length, this._trans);
    if (this._id !== null && Notification.manager.has(this._id)) {
      Notification.update({ id: this._id, message });
    } else if (isNew) {
      const label = this._trans.__('Show');
      this._id = Notification.warning(message, {
        autoClose: false,
        actions: [{ label, caption: label, callback: () => this._first() }]
      });
    }
  }

  private _first(): void {
    const first = this._subject.groups.flat().find(({ key }) => this._keys.includes(key));
    if (first !== undefined) {
      this._show(first);
    }
  }

  private _dismiss(): void {
    clearTimeout(this._timer ?? undefined);
    this._timer = null;
    if (this._id !== null) {
      Notification.dismiss(this._id);
      this._id = null;
    }
  }

  private _keys: readonly string[] = [];
  private _told: readonly string[] = [];
  private _timer: ReturnType<typeof setTimeout> | null = null;
  private _id: string | null = null;
}

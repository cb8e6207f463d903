/** Tells somebody who looks elsewhere in Lab that a document can be edited now. */

import { Notification } from '@jupyterlab/apputils';

/** A notification that comes with the offer and goes with it. */
export class Offer {
  constructor(
    private readonly _edit: string,
    private readonly _accept: () => void
  ) {}

  /** `words` are shown while the offer stands; null: it does not. */
  set words(words: string | null) {
    if (words === null) {
      this._end();
    } else if (this._id === null) {
      this._id = Notification.info(words, {
        autoClose: false,
        actions: [{ label: this._edit, displayType: 'accent', callback: this._accept }]
      });
    }
  }

  private _end(): void {
    if (this._id !== null) {
      Notification.dismiss(this._id);
      this._id = null;
    }
  }

  private _id: string | null = null;
}

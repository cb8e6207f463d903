/** Takes the stock "Loading" dialog away once there is nothing to wait for. */

import { Dialog } from '@jupyterlab/apputils';

/**
 * Documents that are on their way.
 *
 * `@jupyter/docprovider` asks after 5 s whether to wait on, and leaves the question standing when the document is there. Which
 * document a dialog asks for cannot be told, and its "Cancel" gives that one up, so none is closed before all are there; by then
 * the answer means nothing to it.
 */
export class Loading {
  constructor(private readonly _title: string) {}

  add(ready: Promise<unknown>, disposed: Promise<unknown>): void {
    this._count += 1;
    const done = (): void => {
      this._count -= 1;
      if (this._count === 0) {
        this._close();
      }
    };
    Promise.race([ready, disposed]).then(done, done);
  }

  private _close(): void {
    const asking = Dialog.tracker.filter(
      dialog => dialog.node.querySelector('.jp-Dialog-header')?.textContent === this._title
    );
    asking.forEach(dialog => dialog.reject());
  }

  private _count = 0;
}

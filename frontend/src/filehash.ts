/** Tells Lab which version of the file it shows, lest it takes the room's own saves for somebody else's. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { Contents } from '@jupyterlab/services';
import type { Signal } from '@lumino/signaling';

import type { IRoom, SharedDocument } from './tokens';
import { IRoomStatusTracker } from './tokens';

/**
 * Keeps the hash that Lab compares before "Save" up to date: without it every "Save" after an autosave asks "File Changed".
 *
 * The stock server notes the hash in the document's `state`, and `RtcContentProvider` passes a change of it on. Where the server
 * notes none, the same change is reported here for every new etag, with the hash that the contents manager tells.
 */
class FileHash {
  constructor(
    private readonly _contents: Contents.IManager,
    private readonly _context: DocumentRegistry.Context,
    room: IRoom
  ) {
    const update = (): void => {
      const etag = room.state.status?.etag ?? '';
      if (_context.isReady && etag !== '' && etag !== this._etag) {
        this._etag = etag;
        this._refresh().catch((error: unknown) =>
          console.warn('cs3collab: the file cannot be looked at', error)
        );
      }
    };
    room.changed.connect(update);
    _context.disposed.connect(() => room.changed.disconnect(update));
    void _context.ready.then(update);
  }

  private async _refresh(): Promise<void> {
    const context = this._context;
    const model = context.model.sharedModel as unknown as SharedDocument;
    if (model.ystate.has('hash')) {
      return;
    }
    const file = await this._contents.get(context.path, { content: false, hash: true });
    const known = context.contentsModel?.hash;
    if (!context.isDisposed && typeof file.hash === 'string' && file.hash !== known) {
      const change = { name: 'hash', oldValue: known, newValue: file.hash };
      (model.changed as Signal<unknown, unknown>).emit({ stateChange: [change] });
    }
  }

  private _etag = '';
}

export const filehash: JupyterFrontEndPlugin<void> = {
  id: '@cs3collab/frontend:filehash',
  description: 'Tells Lab which version of the file a live document was saved as.',
  autoStart: true,
  requires: [IRoomStatusTracker],
  activate: (app: JupyterFrontEnd, tracker: IRoomStatusTracker) => {
    const seen = new WeakSet();
    for (const factory of ['Notebook', 'Editor']) {
      app.docRegistry.addWidgetExtension(factory, {
        createNew: (_widget, context) => {
          const room = tracker.get(context.model.sharedModel);
          if (room !== undefined && !seen.has(context)) {
            seen.add(context);
            new FileHash(app.serviceManager.contents, context, room);
          }
        }
      });
    }
  }
};

/** Keeps Lab from asking what to do about a file that has changed: of a live document the room merges what others write. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { Signal } from '@lumino/signaling';

import type { IRoom } from './tokens';
import { IRoomStatusTracker } from './tokens';

type Context = DocumentRegistry.Context & { lastModifiedCheckMargin?: number };

/**
 * Before "Save" Lab compares the hash, or else the time, of the file with those it knows, and asks "File Changed". It would ask
 * whenever the room has just saved. So it is made to know neither: `RtcContentProvider` takes over a hash that the document's
 * state is said to have, and every later one is taken back in the same way.
 */
export function forgetFile(context: Context, room: IRoom): void {
  let asked: string | null = null;
  const forget = (): void => {
    // A stock server notes the hash in the document's state, and has no status.
    if (!context.isReady || room.state.status === null) {
      return;
    }
    context.lastModifiedCheckMargin = Infinity;
    const known = context.contentsModel?.hash ?? null;
    const isNew = known !== asked;
    asked = known;
    if (isNew && known !== null) {
      const change = { name: 'hash', oldValue: known, newValue: undefined };
      (context.model.sharedModel.changed as Signal<unknown, unknown>).emit({ stateChange: [change] });
    }
  };
  room.changed.connect(forget);
  context.fileChanged.connect(forget);
  context.saveState.connect(forget);
  context.disposed.connect(() => room.changed.disconnect(forget));
  void context.ready.then(forget);
}

export const filehash: JupyterFrontEndPlugin<void> = {
  id: '@cs3collab/frontend:filehash',
  description: 'Keeps Lab from asking about changes of the file, which are merged into the live document.',
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
            forgetFile(context, room);
          }
        }
      });
    }
  }
};

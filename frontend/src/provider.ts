/** Plugins that listen along on the connection of every collaborative document. */

import { IDocumentProviderFactory, WebSocketProvider } from '@jupyter/docprovider';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ServerConnection } from '@jupyterlab/services';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { holdKernelInfo } from './kernelinfo';
import { Loading } from './loading';
import { RoomStatusTracker } from './rooms';
import { listenedWebSocket } from './socket';
import { IRoomStatusTracker } from './tokens';

const tracker = new RoomStatusTracker();

export const rooms: JupyterFrontEndPlugin<IRoomStatusTracker> = {
  id: '@cs3collab/frontend:rooms',
  description: 'Keeps what is known of each live document.',
  provides: IRoomStatusTracker,
  activate: () => tracker
};

/**
 * Stands in for `@jupyter/docprovider-extension:websocket-provider-document-factory`.
 *
 * It makes the same stock provider with the same protocol. The stock "Show Diff" answer to a conflict is left out: it is private to
 * the stock extension, and our server merges instead of sending conflicts.
 */
export const provider: JupyterFrontEndPlugin<IDocumentProviderFactory> = {
  id: '@cs3collab/frontend:provider',
  description:
    'Makes the stock document provider and listens to what the server says about saving and roles.',
  optional: [ITranslator],
  provides: IDocumentProviderFactory,
  activate: (app: JupyterFrontEnd, translator: ITranslator | null) => {
    const trans = (translator ?? nullTranslator).load('jupyter_collaboration');
    const loading = new Loading(trans.__('Loading'));
    return {
      create: options => {
        const settings = options.serverSettings ?? ServerConnection.makeSettings();
        const room = tracker.open(options.model);
        holdKernelInfo(options.model);
        const made = new WebSocketProvider({
          url: options.url,
          path: options.path,
          contentType: options.contentType,
          format: options.format,
          model: options.model,
          user: options.user,
          translator: trans,
          serverSettings: { ...settings, WebSocket: listenedWebSocket(settings.WebSocket, room) },
          onConflictSaveAs: async () => {
            await app.commands.execute('docmanager:save-as');
          },
          onConflictRevert: async () => {
            await app.commands.execute('docmanager:reload');
          }
        });
        const save = made.save.bind(made);
        made.save = () => room.save(save);
        room.onGap = () => void made.reconnect();
        made.ready.then(
          () => room.loaded(),
          () => undefined
        );
        loading.add(made.ready, new Promise(resolve => options.model.disposed.connect(resolve)));
        return made;
      }
    };
  }
};

/** Brings in what was written in a page whose history is no longer the server's, then loads the document anew. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import type { DocumentRegistry, IDocumentWidget } from '@jupyterlab/docregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { fileText } from './basis';
import { COMPARE } from './conflicts/plugin';
import type { Translate } from './describe';
import { FACTORIES } from './documents';
import type { IMerged } from './merging';
import { bringIn, describeReload, toBringIn } from './merging';
import { reopen } from './reopen';
import { isParting } from './state';
import type { IRoom } from './tokens';
import { IRoomStatusTracker } from './tokens';

class Rebase {
  constructor(
    private readonly _app: JupyterFrontEnd,
    private readonly _documents: IDocumentManager,
    private readonly _trans: Translate,
    private readonly _context: DocumentRegistry.Context,
    private readonly _room: IRoom
  ) {
    const follow = (): void => {
      if (isParting(_room.state) && !this._isBusy) {
        this._isBusy = true;
        void this._run();
      }
    };
    _room.changed.connect(follow);
    _context.disposed.connect(() => _room.changed.disconnect(follow));
  }

  private async _run(): Promise<void> {
    const name = this._context.localPath.slice(this._context.localPath.lastIndexOf('/') + 1);
    const version = toBringIn(fileText(this._context.model.sharedModel as never), this._room);
    let merged: IMerged | null = null;
    try {
      if (version !== null) {
        merged = await bringIn(this._context, version, this._app.serviceManager.serverSettings);
      }
    } catch (error) {
      // What is here stays until the person has decided.
      this._isBusy = false;
      this._room.notBroughtIn(error instanceof Error ? error.message : String(error));
      return;
    }
    const widget = this._widget();
    if (widget !== undefined) {
      await reopen(this._app.shell, this._documents, widget);
    }
    this._tell(describeReload(name, merged, this._trans), (merged?.conflicts ?? 0) > 0);
  }

  /** In which it is seen, if in any. */
  private _widget(): IDocumentWidget | undefined {
    const { currentWidget } = this._app.shell;
    const isHere =
      currentWidget !== null && this._documents.contextForWidget(currentWidget) === this._context;
    return isHere ? (currentWidget as IDocumentWidget) : this._documents.findWidget(this._context.path, null);
  }

  private _tell(words: string, conflicting: boolean): void {
    if (conflicting) {
      const label = this._trans.__('Show');
      const callback = (): void => void this._app.commands.execute(COMPARE);
      Notification.warning(words, { autoClose: false, actions: [{ label, caption: label, callback }] });
    } else {
      Notification.info(words, { autoClose: 10_000 });
    }
  }

  private _isBusy = false;
}

export const rebase: JupyterFrontEndPlugin<void> = {
  id: '@cs3collab/frontend:rebase',
  description: 'Brings in what was written in a page when the server has started the document anew.',
  autoStart: true,
  requires: [IRoomStatusTracker, IDocumentManager],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    tracker: IRoomStatusTracker,
    documents: IDocumentManager,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('cs3collab');
    const seen = new WeakSet();
    for (const factory of FACTORIES) {
      app.docRegistry.addWidgetExtension(factory, {
        createNew: (_widget, context) => {
          const room = tracker.get(context.model.sharedModel);
          if (room !== undefined && !seen.has(context)) {
            seen.add(context);
            new Rebase(app, documents, trans, context, room);
          }
        }
      });
    }
  }
};

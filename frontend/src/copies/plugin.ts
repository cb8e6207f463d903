/** Offers to merge what other programs kept of a document when they could not write it. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import { FileDialog, IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { FACTORIES } from '../documents';
import { IRoomStatusTracker } from '../tokens';
import { CopyDesk } from './desk';
import { originalOf, split } from './find';
import { parseCopy } from './names';

const MERGE_COPY = 'cs3collab:merge-copy';

/** Lets the person say of which file it is a copy; null if they do not. */
async function askForOriginal(
  manager: IDocumentManager,
  translator: ITranslator,
  copy: string,
  title: string
): Promise<string | null> {
  const originals = parseCopy(split(copy)[1])?.originals ?? [];
  const result = await FileDialog.getOpenFiles({
    manager,
    translator,
    title,
    filter: model => (model.type === 'directory' || originals.includes(model.name) ? {} : null)
  });
  const chosen = result.value?.find(({ type }) => type !== 'directory');
  return result.button.accept && chosen !== undefined ? chosen.path : null;
}

export const copies: JupyterFrontEndPlugin<void> = {
  id: '@cs3collab/frontend:copies',
  description: 'Recognises conflict copies of shared documents and offers to merge them.',
  autoStart: true,
  requires: [IRoomStatusTracker, IDocumentManager],
  optional: [IFileBrowserFactory, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    tracker: IRoomStatusTracker,
    documents: IDocumentManager,
    browsers: IFileBrowserFactory | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('cs3collab');
    const desk = new CopyDesk(app, documents, trans);
    const open = new Set<DocumentRegistry.Context>();
    for (const factory of FACTORIES) {
      app.docRegistry.addWidgetExtension(factory, {
        createNew: (_widget, context) => {
          const room = tracker.get(context.model.sharedModel);
          if (room !== undefined && !open.has(context)) {
            open.add(context);
            context.disposed.connect(() => open.delete(context));
            desk.follow(context, room);
          }
        }
      });
    }

    /** The copy that is selected in the file browser. */
    const selected = (): string | null => {
      const items = [...(browsers?.tracker.currentWidget?.selectedItems() ?? [])];
      const item = items.length === 1 ? items[0] : null;
      return item !== null && item.type !== 'directory' && parseCopy(item.name) !== null ? item.path : null;
    };
    const merge = async (copy: string): Promise<void> => {
      const paths = [...open].map(context => context.path);
      const found = await originalOf(app.serviceManager.contents, copy, paths);
      const title = trans.__('Which file is %1 a copy of?', split(copy)[1]);
      const path = found ?? (await askForOriginal(documents, translator ?? nullTranslator, copy, title));
      const widget = path === null ? undefined : documents.openOrReveal(path);
      if (path === null || widget === undefined) {
        return;
      }
      await widget.context.ready;
      if (tracker.get(widget.context.model.sharedModel) === undefined) {
        const words = trans.__('“%1” is not edited live, so nothing can be merged into it.', path);
        Notification.error(words, { autoClose: false });
        return;
      }
      await desk.merge(widget.context, copy);
    };
    app.commands.addCommand(MERGE_COPY, {
      label: () => {
        const name = split(selected() ?? '')[1];
        return trans.__('Merge into %1', parseCopy(name)?.originals.at(0) ?? '…');
      },
      caption: trans.__('Brings what this copy has and the document lacks into the live document'),
      isVisible: () => selected() !== null,
      execute: async () => {
        const copy = selected();
        if (copy !== null) {
          desk.answered(copy); // opening the document must not offer it
          await merge(copy);
        }
      }
    });
    if (browsers !== null) {
      app.contextMenu.addItem({
        command: MERGE_COPY,
        selector: '.jp-DirListing-item[data-isdir="false"]',
        rank: 4
      });
    }
  }
};

/** Shows where somebody else changed a document too, and lets people compare and decide. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IEditorExtensionRegistry, IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { FACTORIES, isDocument } from '../documents';
import { IRoomStatusTracker } from '../tokens';
import { Desk } from './desk';
import { ConflictItem } from './item';
import { comparedIn } from './panel';

const ID = '@cs3collab/frontend:conflicts';
export const COMPARE = 'cs3collab:compare';
const SAVE = 'cs3collab:save-compared';

export const conflicts: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Shows where somebody else changed a shared document too; people compare and decide.',
  autoStart: true,
  requires: [IRoomStatusTracker, IDocumentManager, IEditorExtensionRegistry, IEditorLanguageRegistry],
  optional: [IStatusBar, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    tracker: IRoomStatusTracker,
    documents: IDocumentManager,
    extensions: IEditorExtensionRegistry,
    languages: IEditorLanguageRegistry,
    bar: IStatusBar | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('cs3collab');
    const desk = new Desk(app, documents, trans, { extensions, languages });
    for (const factory of FACTORIES) {
      app.docRegistry.addWidgetExtension(factory, {
        createNew: widget => {
          const room = isDocument(widget) ? tracker.get(widget.context.model.sharedModel) : undefined;
          if (isDocument(widget) && room !== undefined) {
            desk.add(widget, room);
          }
        }
      });
    }

    app.commands.addCommand(COMPARE, {
      label: trans.__('Compare with What Others Changed'),
      isEnabled: () => (desk.current?.conflicts.all.length ?? 0) > 0,
      execute: () => {
        const subject = desk.current;
        if (subject !== null) {
          desk.compare(subject, null);
        }
      }
    });
    app.commands.addCommand(SAVE, {
      label: trans.__('Save the Compared Document'),
      isEnabled: () => comparedIn(app.shell.currentWidget)?.mayEdit ?? false,
      execute: () => comparedIn(app.shell.currentWidget)?.context.save()
    });
    app.commands.addKeyBinding({ command: SAVE, keys: ['Accel S'], selector: '.cs3-ComparePanel' });
    palette?.addItem({ command: COMPARE, category: trans.__('File Operations') });

    const item = new ConflictItem(trans, subject => desk.compare(subject, null));
    const follow = (): void => {
      item.subject = desk.current;
    };
    app.shell.currentChanged?.connect(follow);
    void app.restored.then(follow);
    bar?.registerStatusItem(ID, {
      item,
      align: 'left',
      rank: 5,
      isActive: () => item.active,
      activeStateChanged: item.activeChanged
    });
  }
};

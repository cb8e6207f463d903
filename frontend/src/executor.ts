/** Runs cells, except where this person may not edit: outputs are part of the document. */

import { NotebookCellServerExecutor } from '@jupyter/docprovider';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { INotebookCellExecutor, runCell } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { mayEdit } from './state';
import { IRoomStatusTracker } from './tokens';

/** Stands in for `@jupyter/docprovider-extension:notebook-cell-executor` and does the same where cells may be run. */
export const executor: JupyterFrontEndPlugin<INotebookCellExecutor> = {
  id: '@cs3collab/frontend:executor',
  description: 'Runs cells of notebooks this person may edit.',
  requires: [IRoomStatusTracker],
  optional: [ITranslator],
  provides: INotebookCellExecutor,
  activate: (app: JupyterFrontEnd, tracker: IRoomStatusTracker, translator: ITranslator | null) => {
    const trans = (translator ?? nullTranslator).load('cs3collab');
    const inner =
      PageConfig.getOption('serverSideExecution') === 'true'
        ? new NotebookCellServerExecutor({ serverSettings: app.serviceManager.serverSettings })
        : { runCell };
    return {
      runCell: async options => {
        const room = tracker.get(options.notebook.sharedModel);
        if (options.cell.model.type === 'code' && room !== undefined && !mayEdit(room.state)) {
          Notification.info(trans.__('Preview mode: make a copy to run its cells.'), { autoClose: 3000 });
          return false;
        }
        return inner.runCell(options);
      }
    };
  }
};

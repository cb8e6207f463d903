/** Opens a document anew, where it was. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { IDocumentWidget } from '@jupyterlab/docregistry';
import { FileEditor } from '@jupyterlab/fileeditor';
import { NotebookPanel } from '@jupyterlab/notebook';
import { Widget } from '@lumino/widgets';

/** Where somebody was in a document. */
interface IPlace {
  readonly cell: string | null;
  readonly index: number;
  readonly editing: boolean;
  readonly cursor: CodeEditor.IPosition | null;
}

function placeIn(widget: IDocumentWidget): IPlace {
  if (widget instanceof NotebookPanel) {
    const { activeCell, activeCellIndex, mode } = widget.content;
    return {
      cell: activeCell?.model.sharedModel.getId() ?? null,
      index: activeCellIndex,
      editing: mode === 'edit',
      cursor: activeCell?.editor?.getCursorPosition() ?? null
    };
  }
  const cursor = widget.content instanceof FileEditor ? widget.content.editor.getCursorPosition() : null;
  return { cell: null, index: 0, editing: false, cursor };
}

async function goTo(widget: IDocumentWidget, place: IPlace): Promise<void> {
  await widget.context.ready;
  await widget.revealed;
  if (widget instanceof NotebookPanel) {
    const notebook = widget.content;
    const found = notebook.widgets.findIndex(cell => cell.model.sharedModel.getId() === place.cell);
    notebook.activeCellIndex = found < 0 ? place.index : found;
    await notebook.scrollToItem(notebook.activeCellIndex);
    await notebook.activeCell?.ready;
    if (place.editing) {
      notebook.mode = 'edit'; // what is typed on must not be taken for commands
    }
    if (found >= 0 && place.cursor !== null) {
      notebook.activeCell?.editor?.setCursorPosition(place.cursor);
    }
  } else if (widget.content instanceof FileEditor && place.cursor !== null) {
    widget.content.editor.setCursorPosition(place.cursor);
    widget.content.editor.revealPosition(place.cursor);
  }
}

/** Closes every widget of the document, so that its model goes too, and opens it anew in the place of `widget`. */
export async function reopen(
  shell: JupyterFrontEnd.IShell,
  documents: IDocumentManager,
  widget: IDocumentWidget
): Promise<void> {
  const { context } = widget;
  const path = context.path;
  const factory = widget instanceof NotebookPanel ? 'Notebook' : 'Editor';
  const activate = shell.currentWidget === widget;
  const place = placeIn(widget);
  const gone = new Promise<void>(resolve => context.disposed.connect(() => resolve()));
  const keeper = new Widget();
  keeper.id = `cs3-place-${widget.id}`;
  keeper.title.label = widget.title.label;
  shell.add(keeper, 'main', { ref: widget.id, mode: 'tab-before', activate: false });
  let other: IDocumentWidget | undefined = widget;
  while (other !== undefined) {
    other.dispose();
    other = documents.findWidget(path, null);
  }
  await gone;
  const again = documents.openOrReveal(path, factory, undefined, {
    ref: keeper.id,
    mode: 'tab-before',
    activate
  });
  keeper.dispose();
  if (again !== undefined) {
    await goTo(again, place);
  }
}

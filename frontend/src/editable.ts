/** Makes the widgets of a document editable or not. */

import type { Cell } from '@jupyterlab/cells';
import type { IDocumentWidget } from '@jupyterlab/docregistry';
import { FileEditor } from '@jupyterlab/fileeditor';
import { NotebookPanel } from '@jupyterlab/notebook';

/** `syncEditable` off keeps the cell's metadata out of it; on, the cell takes its state from the metadata again. */
function setCellEditable(cell: Cell, editable: boolean): void {
  cell.syncEditable = editable;
  if (!editable) {
    cell.readOnly = true;
  }
}

/** Sets what Lab offers to change in `widget`. Idempotent; to be called again when cells came in. */
export function setEditable(widget: IDocumentWidget, editable: boolean): void {
  widget.context.model.readOnly = !editable;
  widget.toggleClass('cs3-mod-preview', !editable);
  if (widget instanceof NotebookPanel) {
    widget.content.widgets.forEach(cell => setCellEditable(cell, editable));
  } else if (widget.content instanceof FileEditor) {
    widget.content.editor.setOption('readOnly', !editable);
  }
}

/** Calls `apply` whenever the widget has got new parts. */
export function onNewParts(widget: IDocumentWidget, apply: () => void): void {
  if (widget instanceof NotebookPanel) {
    widget.content.modelContentChanged.connect(apply);
  }
}

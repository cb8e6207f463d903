/** The edits that take over what somebody else wrote. They are edits of this person, like typing: undo takes them back. */

import { diff } from '@codemirror/merge';
import type { ISharedText, SharedCell, YNotebook } from '@jupyter/ydoc';
import type { UndoManager } from 'yjs';

import { placeAmong } from './record';

/** Cursors and what others type elsewhere in the text stay where they are as long as the difference is found in this time. */
const DIFF_MS = 500;

type Undoable = ISharedText & { readonly undoManager?: UndoManager | null };

/** Makes `text` say `theirs` by changing only what differs, in one step of undo; `also` is done in the same transaction. */
export function replaceText(text: ISharedText, theirs: string, also: () => void): void {
  (text as Undoable).undoManager?.stopCapturing();
  const changes = diff(text.getSource(), theirs, { scanLimit: 5000, timeout: DIFF_MS });
  text.transact(() => {
    for (const change of [...changes].reverse()) {
      text.updateSource(change.fromA, change.toA, theirs.slice(change.fromB, change.toB));
    }
    also();
  });
}

/** Deletes the cell `id`, if it is there. */
export function deleteCell(notebook: YNotebook, id: string, also: () => void): void {
  const index = notebook.cells.findIndex(cell => cell.id === id);
  notebook.undoManager.stopCapturing();
  notebook.transact(() => {
    if (index >= 0) {
      notebook.deleteCell(index);
    }
    also();
  });
}

/** Inserts `cell` where it stands among the cells `theirs`, if it is not there. */
export function insertCell(
  notebook: YNotebook,
  cell: SharedCell.Cell & { readonly id: string },
  theirs: readonly string[],
  also: () => void
): void {
  const ours = notebook.cells.map(({ id }) => id);
  notebook.undoManager.stopCapturing();
  notebook.transact(() => {
    if (!ours.includes(cell.id)) {
      notebook.insertCell(placeAmong(ours, theirs, cell.id), cell);
    }
    also();
  });
}

/** Reads the file that keeps the version of somebody else. */

import type { SharedCell } from '@jupyter/ydoc';
import type { Contents } from '@jupyterlab/services';

import type { IConflict } from './record';

export interface ITheirCell {
  readonly cell: SharedCell.Cell & { readonly id: string };
  /** The ids of the cells of their version, in order. */
  readonly among: readonly string[];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The cell of a conflict as the notebook `content` has it, or, where that has none, a code cell with the text of the record. */
export function theirCell(conflict: IConflict, content: unknown): ITheirCell {
  const cells = isObject(content) && Array.isArray(content.cells) ? content.cells.filter(isObject) : [];
  const among = cells.map(cell => (typeof cell.id === 'string' ? cell.id : ''));
  const found = cells[among.indexOf(conflict.cell)] as Record<string, unknown> | undefined;
  const fallback = { cell_type: 'code', metadata: {}, outputs: [], execution_count: null };
  const source = conflict.theirs ?? '';
  return {
    cell: { ...(found ?? fallback), id: conflict.cell, source } as unknown as ITheirCell['cell'],
    among
  };
}

/** The content of the copy: of a notebook an object, of a text file its text. Rejects as the contents manager does. */
export async function readCopy(
  contents: Contents.IManager,
  path: string,
  type: 'notebook' | 'file'
): Promise<unknown> {
  const format = type === 'notebook' ? 'json' : 'text';
  const model = await contents.get(path, { type, format, content: true });
  return model.content;
}

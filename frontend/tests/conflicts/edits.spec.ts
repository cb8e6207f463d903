import { YFile, YNotebook } from '@jupyter/ydoc';
import { beforeEach, describe, expect, it } from 'vitest';
import * as Y from 'yjs';

import { theirCell } from '../../src/conflicts/copied';
import { deleteCell, insertCell, replaceText } from '../../src/conflicts/edits';
import { conflict } from './data';

const nothing = (): void => undefined;
const code = (id: string, source: string): object => ({
  id,
  cell_type: 'code',
  source,
  metadata: {},
  outputs: [],
  execution_count: null
});

let notebook: YNotebook;
const ids = (): string[] => notebook.cells.map(cell => cell.id);

beforeEach(() => {
  const cells = [code('a', 'one\ntwo 😀\nthree'), code('b', 'more')] as never;
  notebook = YNotebook.create({ disableDocumentWideUndoRedo: true, data: { cells } });
});

describe('replacing a text', () => {
  it.each([
    ['one\ntwo 😀\nthree', ''],
    ['', 'one'],
    ['one\ntwo 😀\nthree', 'one\ntwo 😁\nthree!'],
    ['😀😃😄', '😄😀'],
    ['x = 1', 'y = 1\nz']
  ])('%j by %j', (before, after) => {
    const file = YFile.create();
    file.setSource(before);
    replaceText(file, after, nothing);
    expect(file.getSource()).toBe(after);
  });

  it('leaves in place what is the same, with the cursors in it', () => {
    const cell = notebook.getCell(0);
    const cursor = Y.createRelativePositionFromTypeIndex(cell.ysource, 5);
    replaceText(cell, 'zero\none\ntwo 😁\nthree', nothing);
    expect(cell.getSource()).toBe('zero\none\ntwo 😁\nthree');
    const moved = Y.createAbsolutePositionFromRelativePosition(cursor, notebook.ydoc);
    expect(moved?.index).toBe(10);
  });

  it('is one transaction and one step of undo, apart from what was typed just before', () => {
    const cell = notebook.getCell(0);
    cell.updateSource(0, 0, '# ');
    let transactions = 0;
    notebook.ydoc.on('update', () => transactions++);
    replaceText(cell, 'theirs', () => notebook.ydoc.getMap('conflicts').set('k', 1));
    expect(transactions).toBe(1);
    cell.undo();
    expect(cell.getSource()).toBe('# one\ntwo 😀\nthree');
    cell.undo();
    expect(cell.getSource()).toBe('one\ntwo 😀\nthree');
  });
});

describe('cells', () => {
  it('are deleted, and come back by undo', () => {
    deleteCell(notebook, 'a', nothing);
    expect(ids()).toEqual(['b']);
    deleteCell(notebook, 'a', nothing);
    expect(ids()).toEqual(['b']);
    notebook.undo();
    expect(ids()).toEqual(['a', 'b']);
  });

  it('are inserted where they stand in the other version, once', () => {
    const content = { cells: [code('a', ''), { ...code('n', 'new'), cell_type: 'raw' }, code('b', '')] };
    const { cell, among } = theirCell(conflict({ cell: 'n', theirs: 'new' }), content);
    insertCell(notebook, cell, among, nothing);
    insertCell(notebook, cell, among, nothing);
    expect(ids()).toEqual(['a', 'n', 'b']);
    expect(notebook.getCell(1).toJSON()).toMatchObject({ cell_type: 'raw', source: 'new' });
    notebook.undo();
    expect(ids()).toEqual(['a', 'b']);
  });

  it.each([null, {}, { cells: 'none' }, { cells: [null, 3] }])(
    'are made of the record if the copy is %j',
    content => {
      const { cell, among } = theirCell(conflict({ cell: 'n' }), content);
      insertCell(notebook, cell, among, nothing);
      expect(ids()).toEqual(['a', 'b', 'n']);
      expect(notebook.getCell(2).toJSON()).toMatchObject({ cell_type: 'code', source: 'theirs' });
    }
  );
});

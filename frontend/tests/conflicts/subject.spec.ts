import { YFile, YNotebook } from '@jupyter/ydoc';
import { Signal } from '@lumino/signaling';
import { beforeEach, describe, expect, it } from 'vitest';
import * as Y from 'yjs';

import type { IConflict } from '../../src/conflicts/record';
import { Subject } from '../../src/conflicts/subject';
import { Room } from '../../src/rooms';
import { statusMessage } from '../data';

const NOTE = { cell: 'a', kind: 'source', copy: '', at: 7, who: 'Marie Curie', theirs: 'theirs' };

/** Two browsers with the same notebook, one of which is looked at. */
let notebook: YNotebook;
let other: Y.Doc;
let room: Room;
let subject: Subject;
let files: Record<string, unknown>;
/** What happens at the home site when this person asks to decide. */
let decide: (keys: readonly string[]) => Promise<boolean>;

function open(model: YNotebook | YFile, extra: object = {}): Subject {
  const context = { path: 'folder/doc', localPath: 'folder/doc', model: { sharedModel: model, ...extra } };
  const contents = {
    get: (path: string) =>
      path in files ? Promise.resolve({ content: files[path] }) : Promise.reject(new Error(`no ${path}`))
  };
  const asked = (conflicts: readonly IConflict[]) => decide(conflicts.map(({ key }) => key));
  return new Subject(context as never, room, contents as never, asked);
}

function link(first: Y.Doc, second: Y.Doc): void {
  Y.applyUpdate(second, Y.encodeStateAsUpdate(first), 'link');
  first.on('update', (update: Uint8Array, origin: unknown) => {
    if (origin !== 'link') Y.applyUpdate(second, update, 'link');
  });
  second.on('update', (update: Uint8Array, origin: unknown) => {
    if (origin !== 'link') Y.applyUpdate(first, update, 'link');
  });
}

const note = (key: string, fields: object = {}): void =>
  void other.getMap('conflicts').set(key, { ...NOTE, ...fields });
const only = (): IConflict[] => [...subject.conflicts.all];

/** As the authority does it, whose news come before its answer. */
function decideOn(keys: readonly string[]): boolean {
  const notes = other.getMap('conflicts');
  const all = keys.every(key => notes.has(key));
  keys.filter(() => all).forEach(key => notes.delete(key));
  return all;
}

beforeEach(() => {
  files = {};
  decide = keys => Promise.resolve(decideOn(keys));
  const cells = [{ id: 'a', cell_type: 'code', source: 'ours', metadata: {} }] as never;
  notebook = YNotebook.create({ disableDocumentWideUndoRedo: true, data: { cells } });
  other = new Y.Doc();
  link(notebook.ydoc, other);
  room = new Room(notebook);
  room.onMessage(statusMessage({ role: 'editor' }));
  const models = {
    get: (index: number) => ({ sharedModel: notebook.cells[index] }),
    changed: new Signal({})
  };
  subject = open(notebook, { cells: models });
});

describe('conflicts', () => {
  it('are those that are there, and those that come', () => {
    note('x');
    const later = open(notebook);
    expect(later.conflicts.all).toHaveLength(1);
    const added: string[] = [];
    later.conflicts.changed.connect((_, conflicts) => added.push(...conflicts.map(({ key }) => key)));
    note('y');
    note('junk', { cell: 1 });
    expect(added).toEqual(['y', 'junk']);
    other.getMap('conflicts').delete('x');
    expect(later.conflicts.all.map(({ key }) => key).sort()).toEqual(['junk', 'y']);
    expect(added).toHaveLength(2);
  });

  it('are no edits of the notebook: it says the same and is not dirty', () => {
    notebook.dirty = false;
    const before = notebook.toJSON();
    let changes = 0;
    notebook.changed.connect(() => changes++);
    note('x');
    subject.keep(only());
    expect(other.getMap('conflicts').size).toBe(0);
    expect(notebook.toJSON()).toEqual(before);
    expect(notebook.dirty).toBe(false);
    expect(changes).toBe(0);
  });

  it('that somebody else decides on are gone here', () => {
    note('x');
    let news = 0;
    subject.changed.connect(() => news++);
    other.getMap('conflicts').delete('x');
    expect(subject.groups).toEqual([]);
    expect(news).toBe(1);
  });
});

describe('taking their version', () => {
  it('changes the text and takes the note away, for everybody at once', async () => {
    note('x');
    await subject.use(only());
    expect(notebook.getCell(0).getSource()).toBe('theirs');
    expect(other.getMap('conflicts').size).toBe(0);
    notebook.getCell(0).undo();
    expect(notebook.getCell(0).getSource()).toBe('ours');
    expect(other.getMap('conflicts').size).toBe(0);
  });

  it('does nothing once somebody else has decided', async () => {
    note('x');
    const held = only();
    other.getMap('conflicts').delete('x');
    expect(await subject.use(held)).toBe('late');
    subject.keep(held);
    expect(notebook.getCell(0).getSource()).toBe('ours');
  });

  it('does nothing when somebody else is faster', async () => {
    note('x');
    decide = keys => {
      decideOn(keys);
      return Promise.resolve(decideOn(keys));
    };
    expect(await subject.use(only())).toBe('late');
    expect(notebook.getCell(0).getSource()).toBe('ours');
  });

  it('of two browsers at once is done by one', async () => {
    note('x');
    const theirs = YNotebook.create({ disableDocumentWideUndoRedo: true });
    link(notebook.ydoc, theirs.ydoc);
    room = new Room(theirs);
    room.onMessage(statusMessage({ role: 'editor' }));
    const cells = { get: (index: number) => ({ sharedModel: theirs.cells[index] }), changed: new Signal({}) };
    const second = open(theirs, { cells });
    const outcomes = await Promise.all([subject.use(only()), second.use([...second.conflicts.all])]);
    expect(outcomes.sort()).toEqual(['late', 'taken']);
    expect(notebook.getCell(0).getSource()).toBe('theirs');
    expect(theirs.getCell(0).getSource()).toBe('theirs');
  });

  it('is lost with its cell, and says so', async () => {
    note('x');
    decide = keys => {
      decideOn(keys);
      notebook.deleteCell(0);
      return Promise.resolve(true);
    };
    expect(await subject.use(only())).toBe('lost');
    expect(notebook.cells.length).toBe(0);
  });

  it('changes nothing while the home site cannot say who is first', async () => {
    note('x');
    decide = () => Promise.reject(new Error('away'));
    await expect(subject.use(only())).rejects.toThrow('away');
    expect(notebook.getCell(0).getSource()).toBe('ours');
    expect(subject.groups.length).toBe(1);
  });

  it('does nothing in preview mode', async () => {
    note('x');
    room.onMessage(statusMessage({ role: 'viewer' }));
    expect(subject.mayEdit).toBe(false);
    await subject.use(only());
    subject.keep(only());
    subject.conflicts.remove(only());
    expect(notebook.getCell(0).getSource()).toBe('ours');
    expect(other.getMap('conflicts').size).toBe(1);
  });

  it('deletes the cell that they deleted', async () => {
    note('x', { kind: 'deleted', theirs: null });
    await subject.use(only());
    expect(notebook.cells).toHaveLength(0);
    expect(only()).toEqual([]);
  });

  it('inserts the cell that is gone, as it is in their file', async () => {
    const theirs = { id: 'n', cell_type: 'markdown', source: 'new', metadata: { tags: ['t'] } };
    files['folder/copy'] = { cells: [theirs, { id: 'a' }] };
    note('x', { cell: 'n', kind: 'deleted', theirs: 'new', copy: 'copy' });
    expect(subject.placeOf(only()[0])).toBe('gone');
    await subject.use(only());
    expect(notebook.cells.map(cell => cell.id)).toEqual(['n', 'a']);
    expect(notebook.getCell(0).toJSON()).toMatchObject(theirs);
  });

  it('inserts the cell from the note where their file cannot be read', async () => {
    note('x', { cell: 'n', kind: 'deleted', theirs: 'new', copy: 'copy' });
    await subject.use(only());
    expect(notebook.getCell(1).getSource()).toBe('new');
  });
});

describe('a text file', () => {
  let file: YFile;

  beforeEach(() => {
    file = YFile.create();
    file.setSource('title\nours\n');
    other = new Y.Doc();
    link(file.ydoc, other);
    room = new Room(file);
    subject = open(file, { sharedModel: file });
  });

  it('is compared as a whole, with the copy: the notes have some of its lines', async () => {
    files['folder/copy'] = 'title\ntheirs\n';
    note('x', { cell: '', theirs: 'theirs\n', copy: 'copy' });
    note('y', { cell: '', theirs: 'other\n', copy: 'copy' });
    expect(subject.groups).toHaveLength(1);
    expect(await subject.theirText(only()[0])).toBe('title\ntheirs\n');
  });

  it('stays as it is where the copy cannot be read', async () => {
    note('x', { cell: '', theirs: 'theirs\n', copy: 'copy' });
    await expect(subject.use(only())).rejects.toThrow('no folder/copy');
    expect(file.getSource()).toBe('title\nours\n');
    expect(only()).toHaveLength(1);
  });
});

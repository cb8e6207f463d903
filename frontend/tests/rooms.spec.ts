import { YFile, YNotebook } from '@jupyter/ydoc';
import { beforeEach, describe, expect, it } from 'vitest';
import * as Y from 'yjs';

import { Room, RoomStatusTracker } from '../src/rooms';
import { isParting } from '../src/state';
import { rawMessage, statusMessage } from './data';

const CELLS = [
  { cell_type: 'code' as const, source: 'a = 1', metadata: {}, outputs: [], execution_count: null },
  { cell_type: 'markdown' as const, source: '# b', metadata: {} }
];

let notebook: YNotebook;
let room: Room;
let sent: Uint8Array[];

const sources = (): string[] => notebook.cells.map(cell => cell.getSource());

beforeEach(() => {
  notebook = YNotebook.create({ data: { cells: CELLS } });
  sent = [];
  room = new Room(notebook);
  notebook.ydoc.on(
    'update',
    (update: Uint8Array, _origin: unknown, _doc: Y.Doc, transaction: Y.Transaction) => {
      if (transaction.local) {
        sent.push(update);
      }
    }
  );
});

describe('preview mode', () => {
  beforeEach(() => room.onMessage(statusMessage({ role: 'viewer' })));

  it.each<[string, () => void]>([
    ['insert a cell', () => void notebook.addCell({ cell_type: 'code' })],
    ['delete a cell', () => notebook.deleteCell(0)],
    ['move a cell', () => notebook.moveCell(0, 1)],
    ['type', () => notebook.getCell(0).updateSource(0, 0, 'x')],
    ['type as the editor does', () => bind(notebook).insert(0, 'x')],
    ['replace a source', () => notebook.getCell(0).setSource('x')],
    ['set metadata of the notebook', () => notebook.setMetadata('k', 1)],
    ['set metadata of a cell', () => notebook.getCell(0).setMetadata('k', 1)],
    ['set outputs', () => setOutputs(notebook)],
    [
      'replace everything',
      () => notebook.fromJSON({ cells: [], metadata: {}, nbformat: 4, nbformat_minor: 5 })
    ],
    ['note that it is dirty', () => (notebook.dirty = true)],
    ['note the room', () => notebook.ystate.set('document_id', 'x')],
    ['undo', () => void notebook.undo()]
  ])('does not let one %s', (_name, change) => {
    const before = Y.encodeStateVector(notebook.ydoc);
    change();
    expect(sent).toEqual([]);
    expect(Y.encodeStateVector(notebook.ydoc)).toEqual(before);
    expect(sources()).toEqual(['a = 1', '# b']);
  });

  it('shows what others write', () => {
    const other = new Y.Doc();
    Y.applyUpdate(other, Y.encodeStateAsUpdate(notebook.ydoc));
    other.getArray<Y.Map<unknown>>('cells').delete(1);
    Y.applyUpdate(notebook.ydoc, Y.encodeStateAsUpdate(other));
    expect(sources()).toEqual(['a = 1']);
  });

  it('ends when the role is back', () => {
    room.onMessage(statusMessage({ role: 'editor' }));
    notebook.getCell(0).setSource('x');
    expect(sources()).toEqual(['x', '# b']);
    expect(sent.length).toBeGreaterThan(0);
  });
});

/** Writes as Lab's editor binding does: to the text, in a transaction of its document. */
function bind(document: YNotebook): { insert(index: number, text: string): void } {
  const text = (document.getCell(0) as unknown as { ysource: Y.Text }).ysource;
  return { insert: (index, chars) => text.doc?.transact(() => text.insert(index, chars), 'editor') };
}

function setOutputs(document: YNotebook): void {
  const cell = document.getCell(0);
  if (cell.cell_type === 'code') {
    cell.setOutputs([{ output_type: 'stream', name: 'stdout', text: 'x' }]);
    cell.execution_count = 3;
  }
}

describe('a room', () => {
  it('is editable until the server says otherwise', () => {
    notebook.getCell(0).setSource('x');
    expect(sources()[0]).toBe('x');
    expect(room.state.status).toBeNull();
  });

  it('drops what could be undone when the right to edit goes', () => {
    room.onMessage(statusMessage({}));
    notebook.deleteCell(1);
    room.onMessage(statusMessage({ position: 9 }));
    room.onMessage(statusMessage({ position: 9, role: 'viewer' }));
    expect(notebook.canUndo()).toBe(false);
    expect(notebook.undo()).toBe(false);
    expect(sources()).toEqual(['a = 1']);
  });

  it('counts edits, and not what Jupyter notes', () => {
    room.onMessage(statusMessage({}));
    notebook.dirty = true;
    expect(room.state.awaiting).toBeNull();
    notebook.getCell(0).setSource('x');
    expect(room.state.awaiting).toBe(7);
  });

  it('leaves no trace of noting what is noted', () => {
    notebook.ystate.set('document_id', 'json:notebook:1');
    sent = [];
    notebook.ystate.set('document_id', 'json:notebook:1');
    expect(sent).toEqual([]);
    notebook.ystate.set('document_id', 'json:notebook:2');
    expect(sent.length).toBe(1);
  });

  it.each<[string, boolean, ArrayBuffer[]]>([
    ['after writes of a viewer', true, [statusMessage({ role: 'viewer' }), statusMessage({})]],
    ['only once', true, [statusMessage({ role: 'viewer' }), statusMessage({}), statusMessage({})]],
    ['not for an editor', false, [statusMessage({}), statusMessage({})]]
  ])('asks for a new connection %s', (_name, asks, messages) => {
    let asked = 0;
    room.onGap = () => (asked += 1);
    notebook.ystate.set('document_id', 'json:notebook:1');
    messages.forEach(message => room.onMessage(message));
    expect(asked).toBe(asks ? 1 : 0);
  });

  it('asks for no new connection when nothing was written', () => {
    let asked = 0;
    room.onGap = () => (asked += 1);
    room.onMessage(statusMessage({ role: 'viewer' }));
    room.onMessage(statusMessage({}));
    expect(asked).toBe(0);
  });

  it('tells of changes once', () => {
    let told = 0;
    room.changed.connect(() => (told += 1));
    room.onMessage(statusMessage({}));
    room.onMessage(new ArrayBuffer(0));
    expect(room.onClose(1006, '')).toBe(false);
    expect(room.onClose(1006, '')).toBe(false);
    expect(told).toBe(2);
  });

  it('takes the rejection of its copy for itself, and leaves that of a stock server alone', () => {
    expect(room.onClose(1003, 'other lineage')).toBe(false);
    room.onMessage(statusMessage({}));
    expect(room.onClose(1003, '{"reason":"unknown_session"}')).toBe(true);
    expect(isParting(room.state)).toBe(true);
    notebook.getCell(0).setSource('x');
    expect(sources()[0]).toBe('a = 1');
    room.notBroughtIn('why');
    expect(room.state.stopped).toEqual({ kind: 'parted', failure: 'why' });
    room.bringInAgain();
    expect(isParting(room.state)).toBe(true);
  });

  it('tries nothing again where nothing was tried', () => {
    room.bringInAgain();
    expect(room.state.stopped).toBeNull();
  });

  it('guards files too', () => {
    const file = new YFile();
    const fileRoom = new Room(file);
    file.setSource('x');
    fileRoom.onMessage(statusMessage({ role: 'viewer' }));
    file.updateSource(0, 0, 'y');
    expect(file.getSource()).toBe('x');
  });
});

describe('a save', () => {
  const answer = (status: string, message: string): void =>
    room.onMessage(rawMessage(JSON.stringify({ type: 'save', responseTo: 1, status, message })));

  it('fails with the reason the server gives', async () => {
    const save = room.save(() => {
      answer('failed', 'the disk is full');
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      return Promise.reject('Saving failed');
    });
    await expect(save).rejects.toThrow('The disk is full');
  });

  it('fails with what the stock provider says when the server gives no reason', async () => {
    answer('failed', 'of an earlier one');
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
    await expect(room.save(() => Promise.reject('Saving failed'))).rejects.toThrow('Saving failed');
  });

  it('succeeds', async () => {
    answer('success', '');
    await expect(room.save(() => Promise.resolve())).resolves.toBeUndefined();
  });

  it('is told to who looks while it is under way, however it ends', async () => {
    for (const end of [Promise.resolve(), Promise.reject(new Error('no'))]) {
      const save = room.save(() => end);
      expect(room.state.saves).toBe(1);
      await save.catch(() => undefined);
      expect(room.state.saves).toBe(0);
    }
  });
});

describe('the tracker', () => {
  it('knows the rooms it opened', () => {
    const tracker = new RoomStatusTracker();
    const file = new YFile();
    expect(tracker.get(file)).toBeUndefined();
    const opened = tracker.open(file);
    expect(tracker.get(file)).toBe(opened);
  });
});

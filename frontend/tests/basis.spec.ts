import { YFile, YNotebook } from '@jupyter/ydoc';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import * as Y from 'yjs';

import { Basis, fileText } from '../src/basis';
import { Room } from '../src/rooms';
import { statusMessage } from './data';

const LONG_MS = 60_000;

let file: YFile;
let basis: Basis;

beforeEach(() => {
  vi.useFakeTimers();
  file = new YFile();
  file.setSource('saved');
  basis = new Basis(file);
});
afterEach(() => void vi.useRealTimers());

describe('what was in the file', () => {
  it('is the text once the document is loaded, saved and quiet', () => {
    basis.saved = true;
    vi.advanceTimersByTime(LONG_MS);
    expect(basis.text).toBeNull();
    basis.loaded();
    expect(basis.text).toBeNull();
    vi.advanceTimersByTime(LONG_MS);
    expect(basis.text).toBe('saved');
  });

  it('is not what was written since', () => {
    basis.loaded();
    basis.saved = true;
    vi.advanceTimersByTime(LONG_MS);
    basis.saved = false;
    file.setSource('saved, and more');
    vi.advanceTimersByTime(LONG_MS);
    expect(basis.text).toBe('saved');
    basis.saved = true;
    vi.advanceTimersByTime(LONG_MS);
    expect(basis.text).toBe('saved, and more');
  });

  it('is not what just came, for the status that counts it has not come', () => {
    basis.loaded();
    basis.saved = true;
    const other = new Y.Doc();
    Y.applyUpdate(other, Y.encodeStateAsUpdate(file.ydoc));
    other.getText('source').insert(0, 'not ');
    Y.applyUpdate(file.ydoc, Y.encodeStateAsUpdate(other));
    vi.advanceTimersByTime(100);
    basis.saved = false;
    vi.advanceTimersByTime(LONG_MS);
    expect(basis.text).toBeNull();
  });

  it.each<[string, boolean, string | null]>([
    ['what the last status says is saved', false, 'saved'],
    ['unless something came after it', true, null]
  ])('is, when the connection ends, %s', (_name, more, expected) => {
    basis.loaded();
    basis.saved = true;
    if (more) {
      file.setSource('more');
    }
    basis.closed();
    basis.saved = false;
    expect(basis.text).toBe(expected);
  });

  it('does not wait for what Jupyter notes beside', () => {
    basis.loaded();
    basis.saved = true;
    file.ystate.set('hash', 'x');
    basis.closed();
    expect(basis.text).toBe('saved');
  });

  it('is asked for no more once the document is closed', () => {
    basis.loaded();
    basis.saved = true;
    file.dispose();
    vi.advanceTimersByTime(LONG_MS);
    expect(basis.text).toBeNull();
  });
});

it('a room remembers it by what the server says', () => {
  const notebook = YNotebook.create({ data: { cells: [{ cell_type: 'code', source: 'a' }] } } as never);
  const room = new Room(notebook);
  room.loaded();
  room.onMessage(statusMessage({ position: 8, savedPosition: 7 }));
  vi.advanceTimersByTime(LONG_MS);
  expect(room.base).toBeNull();
  room.onMessage(statusMessage({ position: 8, savedPosition: 8 }));
  vi.advanceTimersByTime(LONG_MS);
  expect(room.base).toBe(fileText(notebook));
  notebook.getCell(0).setSource('b');
  vi.advanceTimersByTime(LONG_MS);
  expect(room.base).not.toBe(fileText(notebook));
});

import { YFile, YNotebook } from '@jupyter/ydoc';
import { beforeEach, describe, expect, it } from 'vitest';
import * as Y from 'yjs';

import { holdKernelInfo, isNote } from '../src/kernelinfo';

const OLD = { name: 'python', version: '3.6.1' };
const NEW = { name: 'python', version: '3.11.7', pygments_lexer: 'ipython3' };
const R = { name: 'R', version: '4.4.1' };

let notebook: YNotebook;
const stored = (): unknown => (notebook.ymeta.get('metadata') as Y.Map<unknown>).get('language_info');
const settled = (): Promise<void> => Promise.resolve();

beforeEach(() => {
  notebook = YNotebook.create({
    data: { cells: [{ cell_type: 'code', source: 'a', metadata: {} }], metadata: { language_info: OLD } }
  });
  holdKernelInfo(notebook);
});

it.each<[string, unknown, unknown, boolean]>([
  ['language_info', OLD, NEW, true],
  ['language_info', undefined, NEW, true],
  ['language_info', { name: '' }, NEW, true],
  ['language_info', OLD, R, false],
  ['kernelspec', { name: 'python3' }, { name: 'python3', display_name: 'Python 3' }, true],
  ['kernelspec', { name: 'python3' }, { name: 'ir' }, false],
  ['title', undefined, 'x', false]
])('sees in %s whether %j is only noted as %j', (key, old, value, note) => {
  expect(isNote(key, old, value)).toBe(note);
});

describe('what a kernel says of itself', () => {
  it('is not written by itself, but Lab hears and reads it', () => {
    const heard: string[] = [];
    notebook.metadataChanged.connect((_, change) => heard.push(change.key));
    const before = Y.encodeStateVector(notebook.ydoc);
    notebook.setMetadata('language_info', NEW);
    expect(Y.encodeStateVector(notebook.ydoc)).toEqual(before);
    expect(stored()).toEqual(OLD);
    expect(notebook.getMetadata('language_info')).toEqual(NEW);
    expect(heard).toEqual(['language_info']);
  });

  it('is written with the first edit, and from then on at once', async () => {
    notebook.setMetadata('language_info', NEW);
    notebook.getCell(0).setSource('b');
    await settled();
    expect(stored()).toEqual(NEW);
    notebook.setMetadata('language_info', OLD);
    expect(stored()).toEqual(OLD);
  });

  it('waits through edits of others and notes of Jupyter', async () => {
    notebook.setMetadata('language_info', NEW);
    const other = new Y.Doc();
    other.getMap('meta').set('x', 1);
    Y.applyUpdate(notebook.ydoc, Y.encodeStateAsUpdate(other));
    notebook.ystate.set('hash', 'x');
    await settled();
    expect(stored()).toEqual(OLD);
  });
});

it('writes at once that another language was chosen', () => {
  notebook.setMetadata('language_info', R);
  expect(stored()).toEqual(R);
});

it('leaves other metadata alone', () => {
  notebook.setMetadata('title', 'x');
  notebook.setMetadata({ title: 'y' });
  expect(notebook.getMetadata()).toEqual({ title: 'y' });
});

it('does nothing to a text', () => {
  expect(() => holdKernelInfo(YFile.create())).not.toThrow();
});

import { describe, expect, it } from 'vitest';

import type { Place, Use } from '../../src/conflicts/record';
import {
  beside,
  inGroups,
  inOrder,
  KINDS,
  parseConflict,
  placeAmong,
  placeOf,
  useOf
} from '../../src/conflicts/record';
import { conflict } from './data';

describe('a record', () => {
  it('is read', () => {
    const record = { cell: 'a', kind: 'source', copy: 'copy.ipynb', at: 7, who: '', theirs: 'theirs' };
    expect(parseConflict('k', record)).toEqual(conflict());
    expect(parseConflict('k', { ...record, theirs: null })?.theirs).toBeNull();
  });

  it.each([null, undefined, 1, 'text', []])('that is %j is none', value =>
    expect(parseConflict('k', value)).toBeNull()
  );

  it('may lack everything, and be of a later version', () => {
    expect(parseConflict('k', { kind: 'colour', at: NaN, theirs: 5, more: true })).toEqual(
      conflict({ cell: '', kind: null, copy: '', at: 0, theirs: null })
    );
  });

  it.each(['../up.ipynb', '/root.ipynb', 'a\\b', '..', '.'])('does not point to %s', copy =>
    expect(parseConflict('k', { copy })?.copy).toBe('')
  );
});

describe('a place', () => {
  it.each<[string, readonly string[] | null, Place]>([
    ['a', ['a', 'b'], 'cell'],
    ['a', ['b'], 'gone'],
    ['', ['a'], 'notebook'],
    ['', null, 'file'],
    ['a', null, 'file']
  ])('of %j among %j is %s', (cell, cells, place) => expect(placeOf(conflict({ cell }), cells)).toBe(place));
});

describe('their version', () => {
  it.each<[Parameters<typeof conflict>[0], Place, Use | null]>([
    [{}, 'cell', 'replace'],
    [{}, 'gone', 'insert'],
    [{}, 'file', 'replace'],
    [{ copy: '' }, 'file', null],
    [{}, 'notebook', null],
    [{ theirs: null }, 'cell', null],
    [{ theirs: null }, 'gone', null],
    [{ kind: 'deleted' }, 'gone', 'insert'],
    [{ kind: 'deleted' }, 'cell', 'replace'],
    [{ kind: 'deleted', theirs: null }, 'cell', 'delete'],
    [{ kind: 'deleted', theirs: null }, 'gone', null],
    [{ kind: 'deleted', theirs: null }, 'file', null],
    [{ kind: null }, 'cell', null]
  ])('of %j in a %s: %s', (fields, place, use) => expect(useOf(conflict(fields), place)).toBe(use));

  it.each(KINDS.filter(kind => kind !== 'source' && kind !== 'deleted'))(
    'of %s is never put where the source is',
    kind => {
      for (const place of ['cell', 'gone', 'file', 'notebook'] as const) {
        expect(useOf(conflict({ kind }), place)).toBeNull();
      }
    }
  );
});

describe('conflicts', () => {
  const [first, second, gone, whole] = [
    conflict({ key: '4', cell: 'a' }),
    conflict({ key: '3', cell: 'b' }),
    conflict({ key: '2', cell: 'c', at: 8 }),
    conflict({ key: '1', cell: '', at: 9 })
  ];

  it('are in the order of the document', () => {
    expect(inOrder([whole, gone, second, first], ['a', 'b'])).toEqual([gone, whole, first, second]);
  });

  it('of one other version of a text file are decided on at once', () => {
    const lines = [conflict({ key: '1', cell: '' }), conflict({ key: '2', cell: '', theirs: 'more' })];
    const other = conflict({ key: '3', cell: '', copy: 'other.md', at: 9 });
    const deleted = conflict({ key: '4', cell: '', kind: 'invalid', at: 10 });
    expect(inGroups([deleted, other, ...lines], null)).toEqual([lines, [other], [deleted]]);
    expect(inGroups([first, second], ['a', 'b'])).toEqual([[first], [second]]);
  });
});

it.each([
  ['a/b/doc.ipynb', 'a/b/copy.ipynb'],
  ['doc.ipynb', 'copy.ipynb'],
  ['RTC:doc.ipynb', 'RTC:copy.ipynb'],
  ['RTC:a/doc.ipynb', 'RTC:a/copy.ipynb']
])('beside %s is %s', (path, copy) => expect(beside(path, 'copy.ipynb')).toBe(copy));

it.each<[string[], string[], number]>([
  [['a', 'c'], ['a', 'b', 'c'], 1],
  [['c'], ['a', 'b', 'c'], 0],
  [['a', 'x', 'c'], ['a', 'y', 'b', 'c'], 1],
  [['x', 'y'], ['a'], 2]
])('among %j, the cell of %j is at %i', (ours, theirs, index) =>
  expect(placeAmong(ours, theirs, 'b')).toBe(index)
);

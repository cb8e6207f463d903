import { describe, expect, it } from 'vitest';

import type { Outcome, Place } from '../../src/conflicts/record';
import { KINDS } from '../../src/conflicts/record';
import {
  describeChoice,
  describeConflict,
  describeCount,
  describeNews,
  describeOutcome,
  describePlace
} from '../../src/conflicts/words';
import { ENGLISH } from '../data';
import { conflict } from './data';

const say = (fields: Parameters<typeof conflict>[0], place: Place = 'cell'): string =>
  describeConflict(conflict(fields), place, ENGLISH);

describe('a conflict', () => {
  it('names who did it, if that is known', () => {
    expect(say({})).toBe('Changed by someone else too');
    expect(say({ who: 'Marie Curie' })).toBe('Changed by Marie Curie too');
  });

  it('says who deleted what', () => {
    expect(say({ kind: 'deleted', theirs: null })).toBe('Deleted by someone else, changed here');
    expect(say({ kind: 'deleted' }, 'gone')).toBe('A cell deleted here was changed by someone else');
    expect(say({ kind: 'deleted' })).toBe('Changed by someone else too');
  });

  it('says what else was changed', () => {
    const said = KINDS.map(kind => say({ kind, theirs: null }));
    expect(new Set(said).size).toBe(KINDS.length);
    expect(say({ kind: 'metadata' }, 'notebook')).toContain('of the notebook');
    expect(say({ kind: null })).toBe('Changed by someone else too');
  });
});

it('tells where it is', () => {
  expect(describePlace('cell', 2, ENGLISH)).toBe('Cell 3');
  const places: Place[] = ['cell', 'gone', 'file', 'notebook'];
  expect(new Set(places.map(place => describePlace(place, 0, ENGLISH))).size).toBe(4);
});

describe('the choice', () => {
  it('needs no words where both versions are seen', () =>
    expect(describeChoice(conflict(), 'replace', ENGLISH)).toBe(''));

  it('says where their version is, or what it is', () => {
    expect(describeChoice(conflict({ kind: 'outputs', theirs: null }), null, ENGLISH)).toContain(
      'copy.ipynb'
    );
    expect(describeChoice(conflict({ kind: 'cell_type', theirs: 'raw' }), null, ENGLISH)).toContain('raw');
    expect(describeChoice(conflict({ copy: '', theirs: null }), null, ENGLISH)).not.toContain(
      'Their version'
    );
  });
});

it('counts', () => {
  expect(describeCount(1, ENGLISH)).toBe('1 conflict');
  expect(describeCount(2, ENGLISH)).toBe('2 conflicts');
});

it('fits into a notification, whatever the name', () => {
  const said = describeNews('n'.repeat(200), 1000, ENGLISH);
  expect(said.length).toBeLessThanOrEqual(140);
  expect(said).toContain('1000 changes');
  expect(describeNews('a.ipynb', 1, ENGLISH)).toContain(
    '“a.ipynb” was changed elsewhere too. 1 change could'
  );
});

it('what became of taking their version is said where it is not seen', () => {
  const said = (outcome: Outcome, copy = '') => describeOutcome(outcome, conflict({ copy }), ENGLISH);
  expect(said('taken')).toBe('');
  expect(said('late')).toContain('Somebody else');
  expect(said('lost')).toContain('not taken over');
  expect(said('lost', 'c.ipynb')).toContain('in c.ipynb');
});

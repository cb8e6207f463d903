import { describe, expect, it } from 'vitest';

import { isOtherHistory, parseStatus, rejection } from '../src/status';
import { STATUS } from './data';

describe('parseStatus', () => {
  it('reads every field', () => {
    const status = {
      ...STATUS,
      savedAt: 12.5,
      savedBy: 'einstein',
      problem: 'quota',
      holder: 'marie',
      etag: '"1"'
    };
    expect(parseStatus(JSON.stringify({ type: 'cs3collab', ...status }))).toEqual(status);
  });

  it.each([
    '',
    'null',
    '[]',
    '1',
    '{',
    '{"type":"save","responseTo":1,"status":"success"}',
    '{"type":"conflict"}'
  ])('is null for %s', text => {
    expect(parseStatus(text)).toBeNull();
  });

  it('is null for what is too long', () => {
    expect(parseStatus(JSON.stringify({ type: 'cs3collab', reason: 'x'.repeat(70000) }))).toBeNull();
  });

  it('reads what is missing or odd in the safe way', () => {
    const odd = {
      type: 'cs3collab',
      role: 'owner',
      online: 1,
      position: -1,
      savedPosition: 1.5,
      savedAt: 'x',
      pending: null
    };
    expect(parseStatus(JSON.stringify(odd))).toEqual({
      ...STATUS,
      home: '',
      online: false,
      role: 'viewer',
      position: 0,
      savedPosition: 0
    });
  });

  it('bounds texts', () => {
    const status = parseStatus(
      JSON.stringify({ type: 'cs3collab', reason: 'x'.repeat(1000), offered: 'yes' })
    );
    expect(status?.offered).toBe(false);
    expect(status?.reason.length).toBe(500);
  });
});

describe('rejection', () => {
  it.each([
    [1000, '', null],
    [1006, 'gone', null],
    [1013, 'try again', null],
    [4404, 'not there', 'not there'],
    [4403, 'unshared', 'unshared'],
    [1003, '{"reason":"unknown_session","reloadable":true}', 'unknown_session'],
    [1003, '{"reason":"initialization_error","errorReason":"x"}', 'x'],
    [1003, '{}', ''],
    [1003, 'the document has another lineage', 'the document has another lineage'],
    [1003, '', '']
  ])('of %i %s is %j', (code, reason, words) => {
    expect(rejection(code, reason)).toBe(words);
  });

  it.each([
    [true, 1003, '{"reason":"unknown_session","reloadable":true}'],
    [true, 1003, 'the document was started anew at its home site'],
    [false, 1003, '{"reason":"initialization_error","errorReason":"x"}'],
    [false, 4403, 'unshared'],
    [false, 1006, '']
  ])('is for another history: %s, of %i %s', (expected, code, reason) => {
    expect(isOtherHistory(code, reason)).toBe(expected);
  });
});
